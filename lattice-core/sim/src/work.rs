//! The components and calls of a [`Scenario`](super::Scenario).

use super::{
    bug::InjectedBug,
    history::History,
    holdings::Holdings,
    host::RunningHost,
    invariant::Invariant,
    passing::{self, Passing},
    record::Via,
    schedule::HostIndex,
    store::Boot,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use lattice_core::{
    agent::{Prepared, Runtime, RuntimeError, Work, WorkItem},
    call::{CallError, Context, FunctionRef},
    id::Origin,
    link::Link,
    name::{ComponentId, FunctionName, InterfaceName, LinkName},
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::{ComponentTypes, InterfaceTypes},
    value::{ValueError, from_bytes, to_bytes},
    wire::Source,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;

/// The interface that every component of a scenario exports.
pub(super) const WORK: &str = "sim:work/work@0.1.0";
/// A function that isn't idempotent.
pub(super) const ONCE: &str = "once";
/// An idempotent function.
pub(super) const AGAIN: &str = "again";
/// A function that returns its data, which doesn't fit a message.
pub(super) const CARRY: &str = "carry";
const LOOK: &str = "look";
const WORKS: &str = "func(id: u64, ms: u32) -> u64";
const CARRIES: &str = "func(id: u64, ms: u32, data: list<u8>) -> tuple<u64, u32, list<u8>>";
/// How much data it is: more than a message of the bus has.
const DATA: usize = 1_200_000;
const LOOKS: &str = "func()";

pub(super) const GREETER: &str = "greeter";
pub(super) const EVERYWHERE: &str = "everywhere";
pub(super) const LEDGER: &str = "ledger";
/// The source of the links that always exist.
pub(super) const FRONT: &str = "front";
/// The source of a link that comes and goes.
const GUEST: &str = "guest";
/// A source without links.
const UNLINKED: &str = "unlinked";

/// How long a component takes to start.
const COMES_UP: Duration = Duration::from_millis(120);

pub(super) fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("an id of this file")
}

/// The function that probes whether a component serves, and leaves no trace.
pub(super) fn look() -> FunctionRef {
    function(LOOK, LOOKS)
}

fn function(name: &str, signature: &str) -> FunctionRef {
    let interface = InterfaceName::new(WORK).expect("an interface of this file");
    let name = FunctionName::new(name).expect("a function of this file");
    FunctionRef::new(interface, name, signature)
}

/// The arguments of [`CARRY`], which are also its result: each call has other data.
fn carried(id: u64, ms: u32) -> Result<Bytes, ValueError> {
    let mut whole = BytesMut::with_capacity(DATA + 32);
    whole.extend_from_slice(&to_bytes(&(id, ms, DATA as u32))?);
    for word in 0..DATA as u64 / 8 {
        whole.put_u64(word ^ id << 32);
    }
    Ok(whole.freeze())
}

/// Returns the id and the time of a call of [`CARRY`], if its data is what its caller has sent.
fn read_carried(whole: &Bytes) -> Option<(u64, u32)> {
    let head = whole.slice(..whole.len().checked_sub(DATA)?);
    let (id, ms, _) = from_bytes::<(u64, u32, u32)>(&head).ok()?;
    (carried(id, ms).ok()? == *whole).then_some((id, ms))
}

/// The links that always exist.
pub(super) fn links() -> Vec<Link> {
    let link = |target| {
        let link = Link::new(FRONT, WORK, target).and_then(|link| link.named(target));
        let link = link.and_then(|link| link.idempotent([AGAIN]));
        link.expect("names of this file")
    };
    vec![link(GREETER), link(EVERYWHERE), link(LEDGER)]
}

/// The link that comes and goes.
pub(super) fn guest() -> Link {
    Link::new(GUEST, WORK, GREETER).expect("names of this file")
}

/// A link that isn't declared anywhere.
pub(super) fn undeclared() -> Link {
    Link::new(UNLINKED, WORK, GREETER).expect("names of this file")
}

/// The runtime of one boot of a host.
pub(super) struct Native {
    pub(super) boot: Boot,
    pub(super) history: History,
    pub(super) bug: Option<InjectedBug>,
    /// If components pass resources and streams.
    pub(super) holdings: Option<Holdings>,
}

impl Runtime for Native {
    fn prepare(&self, job: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            let image = match &job.work {
                Work::Actor { image, .. } => image.to_string(),
                _ => String::new(),
            };
            sleep(COMES_UP).await;
            let is_stuck = self.bug == Some(InjectedBug::NeverComesUp)
                && self.boot.host == HostIndex(0)
                && job.component.as_str() == EVERYWHERE;
            if image.contains("broken") || is_stuck {
                return Err(RuntimeError::new("it is broken; fix it"));
            }
            let once = job.component.as_str() == LEDGER;
            let service = Worker {
                boot: self.boot,
                history: self.history.clone(),
                once: once.then(|| job.component.clone()),
                bug: self.bug,
                works: [ONCE, AGAIN].map(|name| function(name, WORKS)),
                carries: function(CARRY, CARRIES),
                passing: self.holdings.clone().map(|holdings| {
                    Passing::new(self.boot, (self.history.clone(), holdings), self.bug)
                }),
            };
            Ok(Prepared {
                service: Arc::new(service),
                limits: ServeLimits::default(),
            })
        })
    }
}

/// A component that records its runs.
struct Worker {
    boot: Boot,
    history: History,
    once: Option<ComponentId>,
    bug: Option<InjectedBug>,
    works: [FunctionRef; 2],
    carries: FunctionRef,
    passing: Option<Passing>,
}

impl Worker {
    fn run(&self, id: u64, source: &Source) {
        self.history.run(id, self.boot, self.once.as_ref(), source);
    }

    /// Returns the data that it was given.
    fn carry(&self, request: &Request) -> Answer {
        let mut result = request.args.clone();
        if let Some((id, _)) = read_carried(&result) {
            self.run(id, &request.source);
        } else {
            let what = format!("arguments of {:?} arrived damaged", request.source);
            self.history.report(Invariant::KeepsBytes, what);
        }
        if self.bug == Some(InjectedBug::DamagesBytes) {
            result = result.slice(..result.len() - 1);
        }
        Answer::Ready(Ok(result))
    }
}

impl Service for Worker {
    fn types(&self) -> Arc<ComponentTypes> {
        let functions = self
            .works
            .iter()
            .map(|work| (work.function().clone(), WORKS));
        let functions = functions.chain([
            (look().function().clone(), LOOKS),
            (self.carries.function().clone(), CARRIES),
        ]);
        let functions = functions
            .map(|(name, text)| (name, text.to_owned()))
            .collect();
        let interface = InterfaceName::new(WORK).expect("an interface of this file");
        let mut exports = BTreeMap::from([(interface, InterfaceTypes { functions })]);
        exports.extend(self.passing.as_ref().map(|_| passing::exports()));
        Arc::new(ComponentTypes {
            exports,
            ..ComponentTypes::default()
        })
    }

    fn placed(&self, component: &ComponentId, on: &Origin) {
        if let Some(passing) = &self.passing {
            passing.placed(component, on);
        }
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, mut request: Request) -> Answer {
        let passing = self.passing.as_ref();
        if let Some(answer) = passing.and_then(|passing| passing.call(&mut request)) {
            return answer;
        }
        let bad = |reason: String| Err(CallError::BadArguments { reason });
        if self.carries.key() == request.function {
            return self.carry(&request);
        }
        if !self.works.iter().any(|work| work.key() == request.function) {
            return Answer::Ready(to_bytes(&()).or_else(|error| bad(error.to_string())));
        }
        let (id, ms) = match from_bytes::<(u64, u32)>(&request.args) {
            Ok(args) => args,
            Err(error) => return Answer::Ready(bad(error.to_string())),
        };
        self.run(id, &request.source);
        match self.bug {
            Some(InjectedBug::RunsTwice) => self.run(id, &request.source),
            Some(InjectedBug::DeniesThatItRan) => {
                return Answer::Ready(bad("it has run".to_owned()));
            }
            _ => {}
        }
        let result = to_bytes(&id).or_else(|error| bad(error.to_string()));
        if ms == 0 {
            return Answer::Ready(result);
        }
        let (history, boot, once) = (self.history.clone(), self.boot, self.once.is_some());
        Answer::Later(Box::pin(async move {
            sleep(Duration::from_millis(u64::from(ms))).await;
            if once {
                history.answers(id, boot);
            }
            result
        }))
    }
}

/// A call to make.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) target: &'static str,
    pub(super) via: Via,
    pub(super) function: &'static str,
    /// How long the component works, in milliseconds.
    pub(super) ms: u32,
    pub(super) timeout: Duration,
}

impl Plan {
    /// An idempotent call by an operator.
    pub(super) fn simple(target: &'static str) -> Self {
        Self {
            target,
            via: Via::Operator,
            function: AGAIN,
            ms: 0,
            timeout: Duration::from_secs(2),
        }
    }

    /// A call through a link that always exists.
    pub(super) fn linked(target: &'static str) -> Self {
        Self {
            via: Via::Link(id(FRONT)),
            ..Self::simple(target)
        }
    }

    pub(super) fn is_repeatable(&self) -> bool {
        self.function == AGAIN && !matches!(self.via, Via::Guest | Via::Unlinked)
    }

    /// Makes the call from a host.
    pub(super) async fn make(
        self,
        up: RunningHost,
        call: u64,
        history: &History,
    ) -> Result<u64, CallError> {
        let source = match &self.via {
            Via::Operator => {
                let component = up.lattice.operator().component(self.target);
                let made = component.call::<u64>(WORK, self.function, (call, self.ms));
                let made = made.timeout(self.timeout);
                return if self.is_repeatable() {
                    made.idempotent().await
                } else {
                    made.await
                };
            }
            Via::Link(source) => source.clone(),
            Via::Guest => id(GUEST),
            Via::Unlinked => id(UNLINKED),
        };
        let link = match self.via {
            Via::Link(_) => LinkName::new(self.target)?,
            _ => LinkName::default(),
        };
        let bad = |error: ValueError| CallError::BadArguments {
            reason: error.to_string(),
        };
        let context = Context::new(self.timeout);
        let caller = up.node.caller(source)?;
        if self.function == CARRY {
            let args = carried(call, self.ms).map_err(bad)?;
            let function = function(CARRY, CARRIES);
            let result = caller.invoke_via(&function, &link, args, context).await?;
            if read_carried(&result) != Some((call, self.ms)) {
                let what = format!("the result of call {call} arrived damaged");
                history.report(Invariant::KeepsBytes, what);
            }
            return Ok(call);
        }
        let args = to_bytes(&(call, self.ms)).map_err(bad)?;
        let function = function(self.function, WORKS);
        let result = caller.invoke_via(&function, &link, args, context).await?;
        from_bytes(&result).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}
