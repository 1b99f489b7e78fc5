//! Handles in calls of functions whose types have no place for them.

use super::*;
use lattice_core::{
    call::FunctionRef,
    stream::{Writer, channel},
};
use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::time::timeout;

/// The type of a function that takes handles, and returns none.
const TAKES: &str = "func(any: list<own<test:calls/api/r>>)";
/// The type of a function that takes none.
const GIVES: &str = "func() -> list<own<test:calls/api/r>>";
/// A text that isn't the type of any function, so that nothing is known of this one.
const UNKNOWN: &str = "what it takes and gives";

/// A component that returns a resource and a stream from each of its functions, whatever their
/// types.
#[derive(Clone)]
struct Generous {
    shelf: Arc<Shelf>,
    calls: Arc<AtomicUsize>,
    writers: Arc<Mutex<Vec<Writer>>>,
}

impl Generous {
    fn on(node: &Node) -> Self {
        Self {
            shelf: Shelf::on(node),
            calls: Arc::default(),
            writers: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns a stream that nothing is written to.
    fn stream(&self) -> Handle {
        let (writer, reader) = channel();
        let mut writers = self.writers.lock().expect("not poisoned");
        writers.push(writer);
        Handle::Stream(reader)
    }
}

impl Service for Generous {
    fn types(&self) -> Arc<ComponentTypes> {
        let functions = [("take", TAKES), ("give", GIVES), ("any", UNKNOWN)];
        Arc::new(types(&functions))
    }

    fn call(&self, _: Request) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let result = body(vec![self.shelf.make(), self.stream()]);
        Answer::Passing(Box::pin(async move { Ok(result) }))
    }
}

/// The component on host `x`, and its caller on one of both hosts.
struct Placed {
    owner: Generous,
    caller: Caller,
    nodes: [Node; 2],
    lattice: Lattice,
    _other: Lattice,
    _serving: ServeHandle,
}

impl Placed {
    async fn with_caller_on(name: &str) -> Self {
        let mesh = Mesh::new();
        let (here, a) = mesh.host("a").await;
        let (there, x) = mesh.host("x").await;
        let owner = Generous::on(&x);
        let serving = serve_as(&x, "owner", owner.clone()).await;
        let (lattice, other) = if name == "x" {
            (there, here)
        } else {
            (here, there)
        };
        let node = if name == "x" { &x } else { &a };
        link(&lattice, "caller", "owner").await;
        Self {
            owner,
            caller: node.caller("caller").expect("valid"),
            nodes: [a, x],
            lattice,
            _other: other,
            _serving: serving,
        }
    }

    async fn pass(&self, function: &FunctionRef, handles: Handles) -> Result<Body, CallError> {
        call_with(&self.caller, function, handles).await
    }

    /// No handle is held or waits for anything.
    async fn nothing_is_left(&self) {
        let shelf = &self.owner.shelf;
        within(SOON, "all is dropped", || shelf.held() == 0).await;
        let nothing = || self.nodes.iter().all(|node| node.handles() == (0, 0));
        within(SOON, "nothing is recorded any more", nothing).await;
        let writers = std::mem::take(&mut *self.owner.writers.lock().expect("not poisoned"));
        for mut writer in writers {
            let unread = poll_fn(|cx| writer.poll_unread(cx));
            timeout(SOON, unread).await.expect("its reader is gone");
        }
    }
}

async fn call_with(
    caller: &Caller,
    function: &FunctionRef,
    handles: Handles,
) -> Result<Body, CallError> {
    let options = (CallerInstance::Here, Context::new(SOON));
    let link = LinkName::default();
    let call = caller.pass_via(function, &link, body(handles), options);
    call.await
}

#[tokio::test]
async fn handles_in_arguments_without_a_place_are_refused_and_dropped() {
    for on in ["a", "x"] {
        let placed = Placed::with_caller_on(on).await;
        let made = placed.pass(&function("any", UNKNOWN), Vec::new()).await;
        let mut handles = made.expect("its type isn't known").handles;
        assert_eq!(handles.len(), 2);
        handles.push(placed.owner.stream());
        let refused = placed.pass(&function("give", GIVES), handles).await;
        let refused = refused.expect_err("it takes none");
        assert!(
            matches!(refused, CallError::BadArguments { .. }),
            "{on}: {refused}"
        );
        assert_eq!(refused.ran(), Ran::No);
        assert_eq!(placed.owner.calls(), 1, "{on}: it has run");
        placed.nothing_is_left().await;
    }
}

#[tokio::test]
async fn handles_in_a_result_without_a_place_are_refused_and_dropped() {
    for on in ["a", "x"] {
        let placed = Placed::with_caller_on(on).await;
        let given = vec![placed.owner.stream()];
        let refused = placed.pass(&function("take", TAKES), given).await;
        let refused = refused.expect_err("it returns none");
        assert!(
            matches!(refused, CallError::BadResult { .. }),
            "{on}: {refused}"
        );
        assert_eq!(placed.owner.calls(), 1);
        placed.nothing_is_left().await;
        let given = placed.pass(&function("give", GIVES), Vec::new()).await;
        assert_eq!(given.expect("it returns some").handles.len(), 2);
        placed.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_function_of_an_unknown_type_takes_and_returns_handles() {
    for on in ["a", "x"] {
        let placed = Placed::with_caller_on(on).await;
        let given = vec![placed.owner.stream()];
        let made = placed.pass(&function("any", UNKNOWN), given).await;
        assert_eq!(made.expect("it returns some").handles.len(), 2);
        placed.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_refused_handle_that_another_component_holds_is_not_dropped() {
    for on in ["a", "x"] {
        let placed = Placed::with_caller_on(on).await;
        let made = placed.pass(&function("give", GIVES), Vec::new()).await;
        let made = made.expect("it returns some");
        let Some(Handle::Own(owned)) = made.handles.into_iter().next() else {
            panic!("not owned")
        };
        link(&placed.lattice, "thief", "owner").await;
        let node = placed
            .nodes
            .iter()
            .find(|node| node.host_id().as_str() == on);
        let thief = node.expect("one of them").caller("thief").expect("valid");
        let claimed = vec![Handle::Own(Owned::new(owned.resource().clone()))];
        let refused = call_with(&thief, &function("give", GIVES), claimed).await;
        let refused = refused.expect_err("it takes none");
        assert!(
            matches!(refused, CallError::BadArguments { .. }),
            "{on}: {refused}"
        );
        assert_eq!(placed.owner.shelf.held(), 1, "{on}: it was dropped");
        let lent = vec![Handle::Borrow(owned.resource().clone())];
        let used = placed.pass(&function("any", UNKNOWN), lent).await;
        drop(used.expect("it is held"));
        drop(owned);
        placed.nothing_is_left().await;
    }
}
