//! One component in service on this node: its bounded queue, its links, its calls.
//!
//! States: *serving* → *finishing* (its host leaves: it takes what calls under way still need) → *stopped* (takes nothing,
//! finishes what it has) → cut off.

use crate::server::link_admission::{Gate, Gates};
use crate::server::meter::{Meter, Metered};
use crate::transport::in_flight::Outcome;
use crate::{
    call::{CallError, Context, Part, Ran},
    link::{Link, LinkKey},
    name::{ComponentId, FunctionName},
    serve::{Answer, Request, Service},
    types::{ComponentTypes, Digest},
    wire::FunctionKey,
};
use foldhash::fast::RandomState;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    any::Any,
    collections::HashMap,
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How much of one component runs and waits on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Calls that run at once; 256 by default.
    pub concurrent: NonZeroUsize,
    /// Calls that may wait for one of those to end; 1,024 by default. One more is answered `Overloaded`.
    pub queued: usize,
    /// Largest result in bytes; 16 MiB by default.
    pub result: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            concurrent: NonZeroUsize::MIN.saturating_add(255),
            queued: 1_024,
            result: 16 * 1024 * 1024,
        }
    }
}

impl ServeLimits {
    /// Calls that run at once.
    pub fn concurrent(mut self, calls: NonZeroUsize) -> Self {
        self.concurrent = calls;
        self
    }

    /// Calls that may wait.
    pub fn queued(mut self, calls: usize) -> Self {
        self.queued = calls;
        self
    }

    /// Largest result in bytes.
    pub fn result(mut self, bytes: usize) -> Self {
        self.result = bytes;
        self
    }
}

pub(crate) struct Served {
    pub(crate) id: ComponentId,
    pub(crate) digest: Digest,
    /// The fence of its lease; 0 when it needs none.
    pub(crate) fence: u64,
    pub(crate) types: Arc<ComponentTypes>,
    service: Arc<dyn Service>,
    /// Every exported function, with its interface's compatible name.
    functions: HashMap<FunctionKey, Arc<str>, RandomState>,
    limits: ServeLimits,
    running: Arc<Semaphore>,
    /// Calls admitted and not yet ended: running and queued.
    admitted: AtomicUsize,
    /// The last of them has ended.
    idle: Notify,
    state: AtomicU8,
    /// Ends the calls that still run when the component is taken out of service.
    end: CancellationToken,
    gates: Gates,
    pub(crate) meter: Meter,
}

/// Whether a component takes calls; only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum State {
    Serving,
    /// Its host is leaving: only what calls that are under way still need.
    Finishing,
    Stopped,
}

/// A call's place in the queue; dropping it frees the place.
pub(crate) struct Place(Arc<Served>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.admitted.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// How far a call got without waiting.
pub(crate) enum Begun {
    /// To its end.
    Done(Outcome),
    /// The service takes time.
    Running(Running),
    /// It has to wait for its link or its turn first.
    Waits(Request, Metered),
}

/// A call that the service works on.
pub(crate) struct Running {
    work: BoxFuture<'static, Outcome>,
    link: Option<Arc<Link>>,
    deadline: Instant,
    metered: Metered,
    _turn: OwnedSemaphorePermit,
}

impl Served {
    pub(crate) fn new(id: ComponentId, service: Arc<dyn Service>, limits: ServeLimits) -> Self {
        let types = service.types();
        let functions = types
            .exports
            .iter()
            .flat_map(|(interface, functions)| {
                let compat: Arc<str> = interface.compat().into();
                let key = move |(name, text): (&FunctionName, &String)| {
                    (FunctionKey::new(interface, name, text), compat.clone())
                };
                functions.functions.iter().map(key)
            })
            .collect();
        let running = limits.concurrent.get().min(Semaphore::MAX_PERMITS);
        Self {
            id,
            digest: types.digest(),
            fence: 0,
            types,
            service,
            functions,
            limits,
            running: Arc::new(Semaphore::new(running)),
            admitted: AtomicUsize::new(0),
            idle: Notify::new(),
            state: AtomicU8::new(State::Serving as u8),
            end: CancellationToken::new(),
            gates: Gates::default(),
            meter: Meter::new(),
        }
    }

    /// The same, under a lease.
    pub(crate) fn fenced(mut self, fence: u64) -> Self {
        self.fence = fence;
        self
    }

    /// Whether a caller that knows of this fence means this very one. 0 is for a caller that doesn't know.
    pub(crate) fn is_meant_by(&self, fence: u64) -> bool {
        self.fence == 0 || fence == 0 || self.fence == fence
    }

    /// A place in the queue, or why there is none.
    pub(crate) fn admit(self: &Arc<Self>, context: &Context) -> Result<Place, CallError> {
        let most = self
            .limits
            .concurrent
            .get()
            .saturating_add(self.limits.queued);
        // Counted first, asked then: whoever drains sees either the count or the refusal.
        let before = self.admitted.fetch_add(1, Ordering::SeqCst);
        let place = Place(self.clone());
        if before >= most {
            self.meter.refused();
            return Err(CallError::Overloaded {
                component: self.id.clone(),
            });
        }
        if self.takes(context) {
            Ok(place)
        } else {
            self.meter.refused();
            Err(self.stopping())
        }
    }

    /// Whether a call is let in now, however many there are.
    pub(crate) fn takes(&self, context: &Context) -> bool {
        match self.state() {
            State::Serving => true,
            State::Finishing => context.hops > 0,
            State::Stopped => false,
        }
    }

    /// The compatible name of the interface that exports `function`.
    pub(crate) fn interface_of(&self, function: FunctionKey) -> Option<&str> {
        self.functions.get(&function).map(|compat| &**compat)
    }

    /// Calls admitted and not yet ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Runs a call that has a place: waits for its link and its turn, then for the service, all by the deadline.
    pub(crate) async fn run(&self, request: Request, now: Instant) -> Outcome {
        self.finish(self.begin(request, now)).await
    }

    /// Brings a call that has begun to its end.
    pub(crate) async fn finish(&self, begun: Begun) -> Outcome {
        match begun {
            Begun::Done(outcome) => outcome,
            Begun::Running(running) => self.answer_of(running).await,
            Begun::Waits(request, metered) => Box::pin(self.wait_and_run(request, metered)).await,
        }
    }

    /// Runs a call that has a place as far as it goes without waiting.
    pub(crate) fn begin(&self, request: Request, now: Instant) -> Begun {
        let metered = self.meter.call(now);
        if now >= request.context.deadline {
            let late = Err(CallError::DeadlineExceeded { ran: Ran::No });
            return Begun::Done(self.meter.end(metered, late));
        }
        if let Some(link) = &request.link
            && !self.gates.is_open(link)
        {
            return Begun::Waits(request, metered.waits());
        }
        match self.running.clone().try_acquire_owned() {
            Ok(turn) => self.start(request, metered, turn),
            Err(_) => Begun::Waits(request, metered.waits()),
        }
    }

    async fn wait_and_run(&self, request: Request, metered: Metered) -> Outcome {
        let deadline = request.context.deadline;
        let waits = async {
            // Before its turn: a link that its provider is slow to accept holds up nobody else.
            if let Some(link) = &request.link {
                self.gates.pass(link, deadline).await?;
            }
            match timeout_at(deadline, self.running.clone().acquire_owned()).await {
                Ok(turn) => turn.map_err(|_| self.stopping()),
                Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
            }
        };
        let turn = match self.end.run_until_cancelled(waits).await {
            Some(turn) => turn,
            None => Err(self.stopping()),
        };
        match turn {
            Ok(turn) => self.finish(self.start(request, metered, turn)).await,
            Err(error) => self.meter.end(metered, Err(error)),
        }
    }

    fn start(&self, request: Request, metered: Metered, turn: OwnedSemaphorePermit) -> Begun {
        let (link, deadline) = (request.link.clone(), request.context.deadline);
        let called = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.call(request)));
        match called.map_err(panicked) {
            Ok(Answer::Ready(result)) => {
                let outcome = self.checked(result, link.as_deref());
                Begun::Done(self.meter.end(metered, outcome))
            }
            Ok(Answer::Later(work)) => Begun::Running(Running {
                work,
                link,
                deadline,
                metered: metered.waits(),
                _turn: turn,
            }),
            Err(error) => Begun::Done(self.meter.end(metered, Err(error))),
        }
    }

    async fn answer_of(&self, running: Running) -> Outcome {
        let metered = running.metered;
        let outcome = self.outcome_of(running).await;
        self.meter.end(metered, outcome)
    }

    async fn outcome_of(&self, running: Running) -> Outcome {
        let Running {
            work,
            link,
            deadline,
            _turn,
            ..
        } = running;
        let run = timeout_at(deadline, AssertUnwindSafe(work).catch_unwind());
        let result = match self.end.run_until_cancelled(run).await {
            Some(Ok(Ok(result))) => result,
            Some(Ok(Err(panic))) => return Err(panicked(panic)),
            Some(Err(_)) => return Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
            None => {
                return Err(CallError::InstanceLost {
                    reason: "it was taken out of service".to_owned(),
                });
            }
        };
        self.checked(result, link.as_deref())
    }

    fn checked(&self, result: Outcome, link: Option<&Link>) -> Outcome {
        let result = result.map_err(|error| self.as_own(error, link))?;
        if result.len() > self.limits.result {
            return Err(CallError::TooLarge {
                what: Part::Result,
                limit: self.limits.result as u64,
            });
        }
        Ok(result)
    }

    /// What the service says of a call that it was given. An error of a call that it made itself is its own failure: it
    /// has run, whatever that call did.
    fn as_own(&self, error: CallError, link: Option<&Link>) -> CallError {
        match error {
            CallError::BadArguments { .. }
            | CallError::NotExported { .. }
            | CallError::OperatorDenied => error,
            CallError::Overloaded { ref component } | CallError::Stopping { ref component }
                if *component == self.id =>
            {
                error
            }
            CallError::LinkRejected { ref source_id, .. }
                if link.is_some_and(|link| link.source == *source_id) =>
            {
                error
            }
            CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::Maybe },
            CallError::TooLarge {
                what: Part::Arguments,
                ..
            } => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error if error.ran() == Ran::No => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error => error,
        }
    }

    /// Tells the service of a link, and answers what it says.
    pub(crate) fn link(
        self: &Arc<Self>,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = Gate> + Send + use<> {
        let told = self.gates.tell(&*self.service, link, within);
        let served = self.clone();
        async move { served.gates.settle(told.await) }
    }

    /// Every link that the service was told of.
    pub(crate) fn told(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.gates.told()
    }

    /// Tells the service that a link is gone.
    pub(crate) fn unlink(&self, key: &LinkKey) {
        if !self.gates.remove(key) {
            return;
        }
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.unlinked(key)));
        if told.is_err() {
            tracing::error!(component = %self.id, link = %key, "the provider panicked while a link was taken away");
        }
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::SeqCst) {
            0 => State::Serving,
            1 => State::Finishing,
            _ => State::Stopped,
        }
    }

    pub(crate) fn stopping(&self) -> CallError {
        CallError::Stopping {
            component: self.id.clone(),
        }
    }

    /// Whether it takes calls from others.
    pub(crate) fn is_serving(&self) -> bool {
        self.state() == State::Serving
    }

    /// Takes only what calls under way still need.
    pub(crate) fn finish_up(&self) {
        self.state
            .fetch_max(State::Finishing as u8, Ordering::SeqCst);
    }

    /// Takes no new calls.
    pub(crate) fn stop(&self) {
        self.state.fetch_max(State::Stopped as u8, Ordering::SeqCst);
    }

    /// Ends the calls that still run.
    pub(crate) fn cut_off(&self) {
        self.stop();
        self.end.cancel();
    }

    /// Waits until no call runs or waits here.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // From here on it hears of the last call's end.
            idle.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> CallError {
    CallError::CalleeFailed {
        reason: format!("it panicked: {}", panic_text(&*panic)),
    }
}

/// The message of a panic, when it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
