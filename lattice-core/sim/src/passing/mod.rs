//! What components of a [`Scenario`](super::Scenario) pass to each other: resources, which are
//! desks here, and streams.

mod flow;
mod shelf;

pub(super) use flow::{Ending, read, write};

use super::{
    bug::InjectedBug, history::History, holdings::Holdings, invariant::Invariant, store::Boot,
};
use futures_util::future::ready;
use lattice_core::{
    call::{CallError, FunctionRef},
    id::{Origin, Source},
    link::Link,
    name::{ComponentId, FunctionName, InterfaceName},
    serve::{Answer, Request},
    stream::{Body, Chunk, Handle, Handles, Holder, Owner as _, Reader, Stale, Writer, channel},
    sync::Mutex,
    types::InterfaceTypes,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use shelf::Shelf;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

/// The interface that every component of a scenario exports which passes something.
const DESKS: &str = "sim:desks/desks@0.1.0";
/// The type of its resource.
const DESK: &str = "sim:desks/desks/desk";
/// Returns a new desk, and its number.
pub(super) const OPEN: &str = "open";
/// Returns the number of a desk that it is lent.
pub(super) const TOUCH: &str = "touch";
/// Keeps a desk of whichever component for some milliseconds.
pub(super) const KEEP: &str = "keep";
/// Returns so many new desks in a stream.
pub(super) const DEAL: &str = "deal";
/// Returns the elements of a stream as they come.
pub(super) const FLOW: &str = "flow";

const FUNCTIONS: [(&str, &str); 5] = [
    (OPEN, "func() -> tuple<own<sim:desks/desks/desk>, u64>"),
    (TOUCH, "func(desk: borrow<sim:desks/desks/desk>) -> u64"),
    (KEEP, "func(desk: own<sim:desks/desks/desk>, ms: u32)"),
    (
        DEAL,
        "func(count: u32) -> stream<tuple<own<sim:desks/desks/desk>, u64>>",
    ),
    (
        FLOW,
        "func(id: u64, size: u32, elements: stream<u64>) -> stream<u64>",
    ),
];

/// What is encoded at the place of a handle.
pub(super) const PLACE: u8 = 0;

/// Returns the function with this name.
pub(super) fn function(name: &str) -> FunctionRef {
    let mut functions = FUNCTIONS.iter();
    let (_, signature) = functions
        .find(|(known, _)| *known == name)
        .expect("a function of this file");
    let name = FunctionName::new(name).expect("a function of this file");
    FunctionRef::new(interface(), name, signature)
}

/// Returns the links of `source` to each of the components, which have their names.
pub(super) fn links(source: &str, targets: &[&str]) -> Vec<Link> {
    let link = |target: &&str| {
        let link = Link::new(source, DESKS, *target).and_then(|link| link.named(*target));
        link.expect("names of a scenario")
    };
    targets.iter().map(link).collect()
}

/// Returns what is exported.
pub(super) fn exports() -> (InterfaceName, InterfaceTypes) {
    let text = |(name, signature): &(&str, &str)| {
        let name = FunctionName::new(name).expect("a function of this file");
        (name, (*signature).to_owned())
    };
    let functions = FUNCTIONS.iter().map(text).collect();
    (interface(), InterfaceTypes { functions })
}

fn interface() -> InterfaceName {
    InterfaceName::new(DESKS).expect("an interface of this file")
}

/// A component's part of it. What it keeps ends with this.
pub(super) struct Passing {
    boot: Boot,
    history: History,
    holdings: Holdings,
    bug: Option<InjectedBug>,
    functions: Vec<FunctionRef>,
    shelf: OnceLock<Arc<Shelf>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Passing {
    pub(super) fn new(
        boot: Boot,
        (history, holdings): (History, Holdings),
        bug: Option<InjectedBug>,
    ) -> Self {
        Self {
            boot,
            history,
            holdings,
            bug,
            functions: FUNCTIONS.iter().map(|(name, _)| function(name)).collect(),
            shelf: OnceLock::new(),
            tasks: Mutex::default(),
        }
    }

    /// The component is about to be served.
    pub(super) fn placed(&self, component: &ComponentId, on: &Origin) {
        let (holdings, bug) = (self.holdings.clone(), self.bug);
        self.shelf
            .get_or_init(|| Shelf::new((component, on), self.boot, holdings, bug));
    }

    /// Returns the answer to a call of one of its functions. `None` for a call of another.
    pub(super) fn call(&self, request: &mut Request) -> Option<Answer> {
        let called = |function: &&FunctionRef| function.key() == request.function;
        let function = self.functions.iter().find(called)?.function().as_str();
        let shelf = self.shelf.get().expect("it is served");
        let handle = std::mem::take(&mut request.handles).into_iter().next();
        let args = &request.args;
        let result = match (function, handle) {
            (OPEN, None) => {
                let owner = Source::Component(request.component.clone());
                let (desk, id) = shelf.open(Holder::Local(owner));
                body(&(PLACE, id), vec![Handle::Own(desk)])
            }
            (TOUCH, Some(Handle::Borrow(desk))) => {
                if desk.at() == shelf.at() {
                    self.touch(desk.id())
                } else {
                    Err(desk.stale(&Stale::OtherInstance))
                }
            }
            (KEEP, Some(Handle::Own(desk))) => decoded(args).and_then(|(_, ms): (u8, u32)| {
                self.spawn(async move {
                    sleep(Duration::from_millis(ms.into())).await;
                    drop(desk);
                });
                body(&(), Handles::new())
            }),
            (DEAL, None) => decoded(args).and_then(|(count,): (u32,)| {
                let (writer, reader) = channel();
                self.spawn(deal(shelf.clone(), writer, count));
                body(&PLACE, vec![Handle::Stream(reader)])
            }),
            (FLOW, Some(Handle::Stream(elements))) => {
                decoded(args).and_then(|(id, size, _): (u64, u32, u8)| {
                    let reader = self.flow(id, size, elements);
                    body(&PLACE, vec![Handle::Stream(reader)])
                })
            }
            (_, handle) => Err(CallError::BadArguments {
                reason: format!("{function} was passed {handle:?}"),
            }),
        };
        Some(Answer::Passing(Box::pin(ready(result))))
    }

    /// A call uses a desk that is lent to it.
    fn touch(&self, id: u64) -> Result<Body, CallError> {
        if !self.holdings.is_open(id) {
            let what = format!("desk {id} was lent, and was dropped before");
            self.history.report(Invariant::KeepsHandles, what);
        }
        if self.bug == Some(InjectedBug::DropsUsed) {
            self.holdings.dropped(id);
        }
        body(&id, Handles::new())
    }

    /// Returns a stream with the elements of another.
    fn flow(&self, id: u64, size: u32, elements: Reader) -> Reader {
        let (writer, reader) = channel();
        let loses = self.bug == Some(InjectedBug::LosesElements);
        let history = self.history.clone();
        self.spawn(async move {
            let passed = flow::pass_on((elements, writer), (id, size), loses).await;
            if let Err(what) = passed {
                history.report(Invariant::KeepsBytes, what);
            }
        });
        reader
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }
}

/// Writes so many new desks.
async fn deal(shelf: Arc<Shelf>, mut writer: Writer, count: u32) {
    for _ in 0..count {
        if writer.room().await.is_none() {
            return;
        }
        let (desk, id) = shelf.open(Holder::OnTheWay);
        let Ok(bytes) = to_bytes(&(PLACE, id)) else {
            return;
        };
        let chunk = Chunk {
            count: 1,
            bytes,
            handles: vec![Handle::Own(desk)],
        };
        if writer.send(chunk).is_err() {
            return;
        }
    }
    writer.end();
}

fn body(value: &impl Encode, handles: Handles) -> Result<Body, CallError> {
    let bytes = to_bytes(value).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })?;
    Ok(Body { bytes, handles })
}

fn decoded<T: Decode>(args: &bytes::Bytes) -> Result<T, CallError> {
    from_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    })
}
