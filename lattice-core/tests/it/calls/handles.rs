//! Who holds resources across hosts, and what happens to them when hosts go away.

mod given;
mod leases;
mod paused;
mod places;
mod portable;
mod refused;

use crate::support::*;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    Lattice,
    bus::memory::{MemoryBus, MemoryNetwork},
    call::{CallError, Context, Ran},
    client::Caller,
    id::{Origin, Source},
    name::LinkName,
    node::Node,
    serve::{Answer, CallerInstance, Request, Service},
    server::ServeHandle,
    store::MemoryStore,
    stream::{Body, Handle, Handles, Holder, InstanceRef, Owned, Owner, ResourceRef, Stale},
    types::ComponentTypes,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(20);
/// The type of functions that take and return any handles.
pub(crate) const ANY: &str =
    "func(any: list<own<test:calls/api/r>>) -> list<own<test:calls/api/r>>";
/// The lease of a host that isn't heard of.
const LEASE: Duration = Duration::from_secs(30);

/// An instance of `owner`, with its resources.
pub(crate) struct Shelf {
    at: InstanceRef,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    held: HashMap<u64, Holder>,
    lent: Vec<(u64, Holder)>,
    ended: Option<Arc<str>>,
}

impl Shelf {
    pub(crate) fn on(node: &Node) -> Arc<Self> {
        Arc::new(Self {
            at: InstanceRef {
                origin: node.origin().clone(),
                component: id("owner"),
                instance: 1,
            },
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(crate) fn held(&self) -> usize {
        self.state().held.len()
    }

    fn holder(&self) -> Option<Holder> {
        self.state().held.values().next().cloned()
    }

    fn end(&self, reason: &str) {
        self.state().ended = Some(reason.into());
    }

    fn make(self: &Arc<Self>) -> Handle {
        let mut state = self.state();
        state.last += 1;
        let (id, me) = (state.last, Source::Component(self.at.component.clone()));
        state.held.insert(id, Holder::Local(me));
        let resource = ResourceRef::new(self.clone(), id, "test:calls/api/r".into());
        Handle::Own(Owned::new(resource))
    }
}

impl State {
    fn check(&self) -> Result<(), Stale> {
        match &self.ended {
            Some(reason) => Err(Stale::InstanceEnded(reason.clone())),
            None => Ok(()),
        }
    }
}

impl Owner for Shelf {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state();
        state.check()?;
        let holder = state.held.get_mut(&id).ok_or(Stale::Dropped)?;
        if holder != from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        holder.clone_from(to);
        Ok(())
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state();
        state.check()?;
        let holder = state.held.get(&id).ok_or(Stale::Dropped)?;
        let is_lent = state.lent.contains(&(id, from.clone()));
        if holder != from && !is_lent {
            return Err(Stale::NotHeld(from.to_string()));
        }
        state.lent.push((id, to.clone()));
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        let mut state = self.state();
        let mut lent = state.lent.iter();
        if let Some(at) = lent.position(|one| *one == (id, by.clone())) {
            state.lent.swap_remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        self.state().held.remove(&id);
    }
}

type Work = BoxFuture<'static, Result<Body, CallError>>;
type Handler = Box<dyn Fn(Request) -> Work + Send + Sync>;

/// A component with these functions.
pub(crate) struct Functions(Vec<(&'static str, Handler)>);

impl Functions {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn with<W>(
        mut self,
        name: &'static str,
        handler: impl Fn(Request) -> W + Send + Sync + 'static,
    ) -> Self
    where
        W: Future<Output = Result<Body, CallError>> + Send + 'static,
    {
        let handler: Handler = Box::new(move |request| Box::pin(handler(request)));
        self.0.push((name, handler));
        self
    }
}

impl Service for Functions {
    fn types(&self) -> Arc<ComponentTypes> {
        let functions: Vec<_> = self.0.iter().map(|(name, _)| (*name, ANY)).collect();
        Arc::new(types(&functions))
    }

    fn call(&self, request: Request) -> Answer {
        let is_it = |name: &str| function(name, ANY).key() == request.function;
        let (_, handler) = self.0.iter().find(|(name, _)| is_it(name)).expect("one");
        Answer::Passing(handler(request))
    }
}

/// The component `owner`: makes resources, and is given or lent them back.
pub(crate) fn owner(shelf: &Arc<Shelf>) -> Functions {
    let (shelf, many, used) = (shelf.clone(), shelf.clone(), shelf.clone());
    let host = shelf.at.origin.host.to_string();
    Functions::new()
        .with("make", move |_| {
            let made = body(vec![shelf.make()]);
            async { Ok(made) }
        })
        .with("make-many", move |_| {
            let made = body((0..1_000).map(|_| many.make()).collect());
            async { Ok(made) }
        })
        .with("use", move |request| {
            for handle in &request.handles {
                let resource = handle.resource().expect("a resource");
                assert_eq!(resource.at(), &used.at);
            }
            async { Ok(Bytes::new().into()) }
        })
        .with("where", move |_| {
            let host = Bytes::from(host.clone());
            async { Ok(host.into()) }
        })
}

/// The component `keeper`: keeps what it is given, and uses what it is lent.
fn keeper(caller: Caller, kept: &Arc<Mutex<Handles>>) -> Functions {
    let kept = kept.clone();
    Functions::new()
        .with("keep", move |request| {
            let mut kept = kept.lock().expect("not poisoned");
            kept.extend(request.handles);
            async { Ok(Bytes::new().into()) }
        })
        .with("use", move |request| {
            let caller = caller.clone();
            async move { pass(&caller, "use", request.handles).await }
        })
}

fn body(handles: Handles) -> Body {
    Body {
        bytes: Bytes::from(vec![0; handles.len()]),
        handles,
    }
}

async fn pass(caller: &Caller, name: &str, handles: Handles) -> Result<Body, CallError> {
    pass_as(caller, CallerInstance::Here, name, handles).await
}

async fn pass_as(
    caller: &Caller,
    instance: CallerInstance,
    name: &str,
    handles: Handles,
) -> Result<Body, CallError> {
    let options = (instance, Context::new(SOON));
    let link = LinkName::default();
    caller
        .pass_via(&function(name, ANY), &link, body(handles), options)
        .await
}

/// Calls `keeper` over the link with that name.
async fn pass_to_keeper(caller: &Caller, name: &str, handles: Handles) -> Result<Body, CallError> {
    let options = (CallerInstance::Here, Context::new(SOON));
    let link = LinkName::new("keeper").expect("a name");
    caller
        .pass_via(&function(name, ANY), &link, body(handles), options)
        .await
}

async fn make(caller: &Caller) -> Owned {
    let made = pass(caller, "make", Vec::new()).await.expect("a result");
    match made.handles.into_iter().next() {
        Some(Handle::Own(owned)) => owned,
        other => panic!("not owned: {other:?}"),
    }
}

fn lent(owned: &Owned) -> Handles {
    vec![Handle::Borrow(owned.resource().clone())]
}

fn stale(result: Result<Body, CallError>) -> String {
    match result.expect_err("it can't be used") {
        error @ CallError::StaleHandle { .. } => {
            assert_eq!(error.ran(), Ran::No);
            error.to_string()
        }
        other => panic!("another error: {other:?}"),
    }
}

/// Waits until a condition holds, and returns how long that took.
async fn within(limit: Duration, what: &str, holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// Hosts that are connected to one bus and one store, each by itself.
struct Mesh {
    network: MemoryNetwork,
    store: Arc<MemoryStore>,
}

impl Mesh {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(),
            store: Arc::new(MemoryStore::new()),
        }
    }

    async fn connect(&self) -> (Lattice, Arc<MemoryBus>) {
        let bus = Arc::new(self.network.connect());
        let lattice = Lattice::on(bus.clone(), self.store.clone(), "test").trust_bus();
        (lattice.await.expect("it opens"), bus)
    }

    async fn host(&self, name: &str) -> (Lattice, Node) {
        let (lattice, _) = self.connect().await;
        let node = host(&lattice, name).await;
        (lattice, node)
    }
}

/// `caller` on host `a` is linked to `owner` on host `x`.
struct Pair {
    mesh: Mesh,
    here: Lattice,
    bus: Arc<MemoryBus>,
    a: Node,
    x: Node,
    caller: Caller,
    shelf: Arc<Shelf>,
    _there: Lattice,
    _serving: ServeHandle,
}

impl Pair {
    async fn new() -> Self {
        let mesh = Mesh::new();
        let (here, bus) = mesh.connect().await;
        let a = host(&here, "a").await;
        let (there, x) = mesh.host("x").await;
        let shelf = Shelf::on(&x);
        let serving = serve_as(&x, "owner", owner(&shelf)).await;
        link(&here, "caller", "owner").await;
        Self {
            caller: a.caller("caller").expect("valid"),
            mesh,
            here,
            bus,
            a,
            x,
            shelf,
            _there: there,
            _serving: serving,
        }
    }

    async fn holds_nothing(&self) {
        let nothing = || self.a.handles() == (0, 0) && self.x.handles() == (0, 0);
        within(SOON, "nothing is recorded any more", nothing).await;
    }
}

#[tokio::test]
async fn a_third_host_is_given_and_lent_what_lives_elsewhere() {
    let pair = Pair::new().await;
    let (there, b) = pair.mesh.host("b").await;
    let kept = Arc::<Mutex<Handles>>::default();
    let keeper = keeper(b.caller("keeper").expect("valid"), &kept);
    let _serving = serve_as(&b, "keeper", keeper).await;
    let to_keeper = grant("caller", "keeper").named("keeper").expect("a name");
    pair.here.links().put(to_keeper).await.expect("it is put");
    link(&there, "keeper", "owner").await;
    let (caller, shelf) = (&pair.caller, &pair.shelf);
    let owned = make(caller).await;

    let used = pass_to_keeper(caller, "use", lent(&owned)).await;
    used.expect("it is lent on");
    let is_back = || shelf.state().lent.is_empty();
    within(SOON, "the loan of a third host is over", is_back).await;
    assert_eq!(
        shelf.holder(),
        Some(Holder::Host(pair.a.origin().clone())),
        "it was only lent"
    );

    let given = vec![Handle::Own(owned)];
    let given = pass_to_keeper(caller, "keep", given).await;
    given.expect("it is given");
    assert_eq!(shelf.holder(), Some(Holder::Host(b.origin().clone())));
    kept.lock().expect("not poisoned").clear();
    within(SOON, "it is dropped", || shelf.held() == 0).await;
    pair.holds_nothing().await;
    assert_eq!(b.handles(), (0, 0));
}

/// The node's own task sends drops too, and must not be overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_finds_dropped_what_was_dropped_before_it() {
    let pair = Pair::new().await;
    let mut before: Vec<Owned> = Vec::new();
    for round in 0..1_000 {
        for owned in before.drain(..) {
            drop(owned);
            // The task may have its turn between two drops.
            tokio::task::yield_now().await;
        }
        before.push(make(&pair.caller).await);
        assert_eq!(pair.shelf.held(), 1, "round {round}");
        let (one, two) = tokio::join!(make(&pair.caller), make(&pair.caller));
        before.extend([one, two]);
    }
    before.clear();
    pair.holds_nothing().await;
}

#[tokio::test]
async fn only_the_component_that_holds_a_handle_can_use_it() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    link(&pair.here, "thief", "owner").await;
    let thief = pair.a.caller("thief").expect("valid");
    let text = stale(pass(&thief, "use", lent(&owned)).await);
    assert!(text.contains("`thief` doesn't hold it"), "{text}");
    let claimed = Owned::new(owned.resource().clone());
    stale(pass(&thief, "use", vec![Handle::Own(claimed)]).await);
    // A handle of a host that this one was never given.
    let (_, other) = pair.mesh.host("other").await;
    link(&pair.here, "other", "owner").await;
    let stranger = other.caller("other").expect("valid");
    let text = stale(pass(&stranger, "use", lent(&owned)).await);
    assert!(text.contains("`other` doesn't hold it"), "{text}");
    // It is there all the same.
    let used = pass(&pair.caller, "use", lent(&owned)).await;
    used.expect("it is held");
    let resource = owned.resource().clone();
    drop(owned);
    within(SOON, "it is dropped", || pair.shelf.held() == 0).await;
    let after = vec![Handle::Borrow(resource)];
    stale(pass(&pair.caller, "use", after).await);
    pair.holds_nothing().await;
}

#[tokio::test]
async fn a_call_without_the_holders_link_is_refused() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    let stranger = pair.a.caller("stranger").expect("valid");
    let refused = pass(&stranger, "use", lent(&owned)).await;
    let refused = refused.expect_err("it has no link");
    assert!(matches!(refused, CallError::NotLinked { .. }), "{refused}");
}

#[tokio::test]
async fn the_reason_of_an_instances_end_reaches_a_holder_on_another_host() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    pair.shelf.end("it trapped on purpose");
    let text = stale(pass(&pair.caller, "use", lent(&owned)).await);
    assert!(text.contains("ended: it trapped on purpose"), "{text}");
}

#[tokio::test]
async fn the_calls_of_an_instance_go_to_where_something_is_kept_for_it() {
    let pair = Pair::new().await;
    let (_there, y) = pair.mesh.host("y").await;
    let shelf = Shelf::on(&y);
    let _serving = serve_as(&y, "owner", owner(&shelf)).await;
    let is_known = || pair.here.peers().serving(&id("owner")).len() == 2;
    within(SOON, "both are known", is_known).await;
    let answered = async |instance| {
        let result = pass_as(&pair.caller, instance, "where", Vec::new()).await;
        result.expect("a result").bytes
    };
    let mut kept = Vec::new();
    for number in 1..=16 {
        let instance = CallerInstance::Instance(number);
        let made = pass_as(&pair.caller, instance.clone(), "make", Vec::new()).await;
        let made = made.expect("a result").handles;
        let at = made[0].resource().expect("a resource").at().clone();
        for _ in 0..8 {
            assert_eq!(answered(instance.clone()).await, at.origin.host.as_str());
        }
        kept.push((made, at));
    }
    let hosts: std::collections::HashSet<Origin> =
        kept.iter().map(|(_, at)| at.origin.clone()).collect();
    assert_eq!(hosts.len(), 2, "others are served elsewhere");
    // Once the instance has ended, or its replica has, its calls go anywhere.
    pair.caller.instance_ended(1);
    let mut found = std::collections::HashSet::new();
    for _ in 0..64 {
        found.insert(answered(CallerInstance::Instance(1)).await);
    }
    assert_eq!(found.len(), 2);
}
