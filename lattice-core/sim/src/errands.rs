//! What hosts of a [`Scenario`](super::Scenario) do with the desks and streams of components.

use super::{
    holdings::{Holdings, UnderWay},
    host::RunningHost,
    invariant::Invariant,
    passing::{self, DEAL, Ending, FLOW, KEEP, OPEN, PLACE, TOUCH, function},
    store::Boot,
    work::{EVERYWHERE, FRONT, GREETER, LEDGER, id},
};
use futures_util::future::join;
use lattice_core::{
    __private::Random,
    call::{CallError, Context},
    client::Caller,
    id::Source,
    name::LinkName,
    serve::CallerInstance,
    stream::{Body, Handle, Handles, Holder, Owned, Stale, channel},
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a stream may take. It is dropped then.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two rounds of calls.
const PAUSE: Duration = Duration::from_millis(300);

/// An errand to do.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    target: &'static str,
    /// Of each call.
    timeout: Duration,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Desks(Desks),
    Flow(Flow),
}

/// Gets desks, uses them, keeps them for some time, uses them again, and drops or gives them.
#[derive(Debug, Clone)]
struct Desks {
    count: u32,
    come: Come,
    rounds: u32,
    kept: Duration,
    given: Option<Given>,
}

/// How desks come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Come {
    Results,
    Stream,
}

/// To whom they are given, and how long they are kept there.
#[derive(Debug, Clone, Copy)]
struct Given {
    to: &'static str,
    ms: u32,
}

/// Sends a stream, and reads the one that comes back.
#[derive(Debug, Clone)]
struct Flow {
    size: u32,
    pause: Duration,
    /// Where its writer breaks it, and where its reader has enough.
    stops: [Option<u32>; 2],
}

impl Errand {
    /// Returns a random errand, which keeps nothing for longer than `longest`.
    pub(super) fn random(random: &mut Random, longest: Duration) -> Self {
        let target = [GREETER, GREETER, EVERYWHERE, LEDGER][random.below(4) as usize];
        let timeout = Duration::from_millis(500 + random.below(2_500));
        let what = if random.below(3) == 0 {
            What::Flow(Flow::random(random))
        } else {
            What::Desks(Desks::random(random, longest))
        };
        Self {
            target,
            timeout,
            what,
        }
    }

    /// Does it, on that boot of a host. `number` is that of the errand.
    pub(super) async fn run(
        self,
        up: RunningHost,
        (boot, number): (Boot, u64),
        holdings: Holdings,
        _under_way: UnderWay,
    ) {
        let Ok(caller) = up.node.caller(FRONT) else {
            return;
        };
        let at = At {
            caller,
            boot,
            holdings,
            timeout: self.timeout,
        };
        let done = match self.what {
            What::Desks(desks) => desks.run(&at, self.target).await,
            What::Flow(flow) => flow.run(&at, self.target, number).await,
        };
        if let Err(error) = done {
            tracing::debug!(%error, number, "an errand was not done");
        }
    }
}

impl Desks {
    fn random(random: &mut Random, longest: Duration) -> Self {
        let kept = match random.below(4) {
            0 => longest,
            1 => random.up_to(longest),
            _ => random.up_to(Duration::from_secs(2)),
        };
        let come = if random.below(3) == 0 {
            Come::Stream
        } else {
            Come::Results
        };
        let to = [EVERYWHERE, LEDGER][random.below(2) as usize];
        let ms = random.below(5_000) as u32;
        Self {
            count: 1 + random.below(4) as u32,
            come,
            rounds: random.below(3) as u32,
            kept: kept.min(longest),
            given: (random.below(2) == 0).then_some(Given { to, ms }),
        }
    }

    async fn run(self, at: &At, target: &str) -> Result<(), CallError> {
        let held = match self.come {
            Come::Results => self.opened(at, target).await?,
            Come::Stream => self.dealt(at, target).await?,
        };
        for _ in 0..self.rounds {
            at.touch(&held, target).await;
            sleep(PAUSE).await;
        }
        sleep(self.kept).await;
        at.touch(&held, target).await;
        if let Some(Given { to, ms }) = self.given {
            for desk in held {
                let given = vec![Handle::Own(desk.given())];
                at.pass(to, KEEP, &(PLACE, ms), given).await?;
            }
        }
        Ok(())
    }

    async fn opened(&self, at: &At, target: &str) -> Result<Vec<Desk>, CallError> {
        let mut held = Vec::new();
        for _ in 0..self.count {
            let body = at.pass(target, OPEN, &(), Handles::new()).await?;
            let (_, id): (u8, u64) = decoded(&body)?;
            if let Some(Handle::Own(owned)) = body.handles.into_iter().next() {
                held.push(at.holds(id, owned));
            }
        }
        Ok(held)
    }

    async fn dealt(&self, at: &At, target: &str) -> Result<Vec<Desk>, CallError> {
        let body = at
            .pass(target, DEAL, &(self.count,), Handles::new())
            .await?;
        let Some(Handle::Stream(mut elements)) = body.handles.into_iter().next() else {
            return Ok(Vec::new());
        };
        let me = Holder::Local(Source::Component(id(FRONT)));
        let (mut held, mut last, mut came) = (Vec::new(), 0, 0);
        loop {
            elements.ask(1);
            let chunk = match timeout(PATIENCE, elements.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                // It broke, or takes too long.
                Ok(Err(_)) | Err(_) => return Ok(held),
            };
            let (_, id) = from_bytes::<(u8, u64)>(&chunk.bytes).unwrap_or_default();
            let mut handles = chunk.handles.into_iter();
            let (Some(Handle::Own(owned)), None) = (handles.next(), handles.next()) else {
                at.check(false, || "an element is not one desk".to_owned());
                return Ok(held);
            };
            at.check(id > last, || format!("desk {id} came after {last}"));
            (last, came) = (id, came + 1);
            let desk = owned.resource();
            let taken = desk.owner().hand_over(desk.id(), &Holder::OnTheWay, &me);
            if taken.is_ok() {
                held.push(at.holds(id, owned));
            }
        }
        at.holdings.whole();
        at.check(came == self.count, || {
            format!("{came} of {} desks were dealt", self.count)
        });
        Ok(held)
    }
}

impl Flow {
    fn random(random: &mut Random) -> Self {
        let most = [10, 2_000, 40_000][random.below(3) as usize];
        let size = random.below(most) as u32;
        let pause = if random.below(3) == 0 {
            random.up_to(Duration::from_millis(100))
        } else {
            Duration::ZERO
        };
        let stops = [(); 2].map(|()| {
            let stops = random.below(5) == 0;
            let at = random.below(u64::from(size) + 1) as u32;
            stops.then_some(at)
        });
        Self { size, pause, stops }
    }

    async fn run(self, at: &At, target: &str, number: u64) -> Result<(), CallError> {
        let Self { size, pause, stops } = self;
        let [broken, enough] = stops;
        let (writer, reader) = channel();
        let writes = passing::write(writer, (number, size), broken);
        let reads = async {
            let args = (number, size, PLACE);
            let sent = vec![Handle::Stream(reader)];
            let body = at.pass(target, FLOW, &args, sent).await?;
            let Some(Handle::Stream(back)) = body.handles.into_iter().next() else {
                return Ok(Ok(Ending::Stopped));
            };
            Ok::<_, CallError>(passing::read(back, number, (pause, enough)).await)
        };
        let Ok((read, ())) = timeout(PATIENCE, join(reads, writes)).await else {
            return Ok(());
        };
        match read? {
            Ok(Ending::Whole(count)) => {
                at.check(count == size && broken.is_none(), || {
                    format!("stream {number} of {size} elements ended cleanly after {count}, and its writer breaks it at {broken:?}")
                });
                at.holdings.whole();
            }
            Ok(Ending::Broken | Ending::Stopped) => {}
            Err(what) => at.check(false, || what),
        }
        Ok(())
    }
}

/// Where an errand is done.
struct At {
    caller: Caller,
    boot: Boot,
    holdings: Holdings,
    timeout: Duration,
}

/// A desk whose handle the errand has.
struct Desk {
    id: u64,
    /// `None` only once it is given away.
    owned: Option<Owned>,
    holdings: Holdings,
}

impl At {
    async fn pass(
        &self,
        target: &str,
        name: &str,
        args: &impl Encode,
        handles: Handles,
    ) -> Result<Body, CallError> {
        let bytes = to_bytes(args).map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        })?;
        let options = (CallerInstance::Here, Context::new(self.timeout));
        let (function, link) = (function(name), LinkName::new(target)?);
        let body = Body { bytes, handles };
        self.caller.pass_via(&function, &link, body, options).await
    }

    fn holds(&self, id: u64, owned: Owned) -> Desk {
        self.holdings.taken(id, self.boot);
        Desk {
            id,
            owned: Some(owned),
            holdings: self.holdings.clone(),
        }
    }

    /// Uses desks, if their owners can be reached.
    async fn touch(&self, held: &[Desk], target: &str) {
        for desk in held {
            let Some(owned) = &desk.owned else {
                continue;
            };
            let lent = vec![Handle::Borrow(owned.resource().clone())];
            match self.pass(target, TOUCH, &(PLACE,), lent).await {
                Ok(body) => {
                    let found = decoded::<u64>(&body).ok();
                    if found != Some(desk.id) {
                        let what = format!("the handle of desk {} led to {found:?}", desk.id);
                        self.holdings.violated(Invariant::KeepsHandles, what);
                    }
                    self.holdings.used();
                }
                Err(CallError::StaleHandle { reason, .. }) if is_of_another(&reason) => {
                    let what = format!("desk {} was refused: {reason}", desk.id);
                    self.holdings.violated(Invariant::KeepsHandles, what);
                }
                Err(_) => {}
            }
        }
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.holdings.violated(Invariant::KeepsBytes, what());
        }
    }
}

/// Whether a call was refused because its caller doesn't hold the handle, which it does.
fn is_of_another(reason: &str) -> bool {
    let not_held = Stale::NotHeld(String::new()).to_string();
    reason.contains(not_held.trim())
}

impl Desk {
    /// Gives the handle away.
    fn given(mut self) -> Owned {
        self.owned.take().expect("it was not given before")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Before the handle is.
        self.holdings.let_go(self.id);
    }
}

fn decoded<T: Decode>(body: &Body) -> Result<T, CallError> {
    from_bytes(&body.bytes).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })
}
