//! Portable resources: their handles survive the host of their owner.

use super::*;
use lattice_core::{
    auth::{Auth, LatticeKey, SealedToken, TokenScope},
    call::{FunctionRef, Limit},
    name::{InterfaceName, LatticeName},
    value::to_bytes,
};
use std::sync::atomic::{AtomicUsize, Ordering};

const BUCKET: &str = "test:calls/api/r";
/// A token that no replica makes anything of.
const GONE: &str = "gone";

/// An instance of `owner` whose resources are names, which are also their tokens.
struct Cabinet {
    shelf: Arc<Shelf>,
    names: Mutex<HashMap<u64, Bytes>>,
    /// Resources that were made anew here.
    anew: AtomicUsize,
    /// Calls of `wait` that have begun here.
    waits: AtomicUsize,
    /// Whether they wait forever.
    blocks: bool,
}

impl Cabinet {
    fn on(node: &Node, blocks: bool) -> Arc<Self> {
        Arc::new(Self {
            shelf: Shelf::on(node),
            names: Mutex::default(),
            anew: AtomicUsize::new(0),
            waits: AtomicUsize::new(0),
            blocks,
        })
    }

    fn anew(&self) -> usize {
        self.anew.load(Ordering::SeqCst)
    }

    fn waits(&self) -> usize {
        self.waits.load(Ordering::SeqCst)
    }

    fn make(self: &Arc<Self>, name: Bytes) -> Body {
        let Handle::Own(made) = self.shelf.make() else {
            panic!("an owned handle");
        };
        let id = made.into_resource().id();
        self.names.lock().expect("not poisoned").insert(id, name);
        let resource = ResourceRef::new(self.clone(), id, BUCKET.into());
        body(vec![Handle::Own(Owned::new(resource))])
    }

    /// Returns where a resource is and its name.
    fn read(&self, handles: &[Handle]) -> Bytes {
        let resource = handles[0].resource().expect("a resource");
        assert_eq!(resource.at(), &self.shelf.at);
        let names = self.names.lock().expect("not poisoned");
        let name = String::from_utf8_lossy(&names[&resource.id()]).into_owned();
        format!("{}:{name}", self.shelf.at.origin.host).into()
    }
}

impl Owner for Cabinet {
    fn at(&self) -> &InstanceRef {
        &self.shelf.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        self.shelf.hand_over(id, from, to)
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        self.shelf.lend(id, from, to)
    }

    fn give_back(&self, id: u64, by: &Holder) {
        self.shelf.give_back(id, by);
    }

    fn dropped(&self, id: u64) {
        self.shelf.dropped(id);
    }

    fn token(&self, id: u64) -> Option<Bytes> {
        let names = self.names.lock().expect("not poisoned");
        names.get(&id).cloned()
    }
}

/// The component `owner`.
struct Cabinets(Arc<Cabinet>);

impl Service for Cabinets {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&["make", "read", "wait"].map(|name| (name, ANY))))
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        let cabinet = self.0.clone();
        let is = |name: &str| function(name, ANY).key() == request.function;
        if is("make") {
            let made = cabinet.make(request.args);
            return Answer::Passing(Box::pin(async { Ok(made) }));
        }
        if is("read") {
            return Answer::Ready(Ok(cabinet.read(&request.handles)));
        }
        cabinet.waits.fetch_add(1, Ordering::SeqCst);
        Answer::Later(Box::pin(async move {
            if cabinet.blocks {
                std::future::pending::<()>().await;
            }
            Ok(cabinet.read(&request.handles))
        }))
    }

    fn restores(&self) -> bool {
        true
    }

    fn restore(&self, resource: &str, request: Request) -> Answer {
        assert_eq!(resource, BUCKET);
        if request.args == GONE.as_bytes() {
            return Answer::Ready(Err(CallError::StaleHandle {
                resource: resource.to_owned(),
                reason: "there is no such bucket".to_owned(),
                is_lost: true,
            }));
        }
        self.0.anew.fetch_add(1, Ordering::SeqCst);
        let made = self.0.make(request.args);
        Answer::Passing(Box::pin(async { Ok(made) }))
    }
}

/// `caller` on host `a` has a handle of a resource on host `x`. Host `y` serves its owner too.
struct Replicas {
    mesh: Keyed,
    here: Lattice,
    bus: Arc<MemoryBus>,
    a: Node,
    x: Node,
    _y: Node,
    caller: Caller,
    owned: Owned,
    there: [Arc<Cabinet>; 2],
    _lattices: [Lattice; 2],
    serving: [ServeHandle; 2],
}

/// A mesh whose members have a key.
struct Keyed(Mesh);

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"07".repeat(32)).expect("a key")
}

impl Keyed {
    async fn connect(&self) -> (Lattice, Arc<MemoryBus>) {
        let bus = Arc::new(self.0.network.connect());
        let lattice = Lattice::on(bus.clone(), self.0.store.clone(), "test").key(key());
        (lattice.await.expect("it opens"), bus)
    }

    async fn host(&self, name: &str) -> (Lattice, Node) {
        let (lattice, _) = self.connect().await;
        let node = host(&lattice, name).await;
        (lattice, node)
    }

    /// Serves the owner on a host.
    async fn owner(&self, name: &str, blocks: bool) -> (Lattice, Node, Arc<Cabinet>, ServeHandle) {
        let (lattice, node) = self.host(name).await;
        let cabinet = Cabinet::on(&node, blocks);
        let serving = serve_as(&node, "owner", Cabinets(cabinet.clone())).await;
        (lattice, node, cabinet, serving)
    }
}

impl Replicas {
    async fn new() -> Self {
        Self::of("photos", &[]).await
    }

    /// The resource has this name, and the caller's link these idempotent functions.
    async fn of(name: &'static str, idempotent: &[&str]) -> Self {
        let mesh = Keyed(Mesh::new());
        let (here, bus) = mesh.connect().await;
        let a = host(&here, "a").await;
        let link = grant("caller", "owner").idempotent(idempotent.iter().copied());
        let put = here.links().put(link.expect("valid")).await;
        put.expect("it is put");
        let caller = a.caller("caller").expect("valid");
        let (one, x, on_x, serving_x) = mesh.owner("x", true).await;
        let made = make_named(&caller, Bytes::from_static(name.as_bytes())).await;
        let owned = made.expect("it is made");
        let (two, y, on_y, serving_y) = mesh.owner("y", false).await;
        let is_known = || here.peers().serving(&id("owner")).len() == 2;
        within(SOON, "both are known", is_known).await;
        Self {
            mesh,
            bus,
            a,
            x,
            _y: y,
            caller,
            owned,
            there: [on_x, on_y],
            _lattices: [one, two],
            serving: [serving_x, serving_y],
            here,
        }
    }

    async fn read(&self) -> Result<Bytes, CallError> {
        read(&self.caller, &self.owned).await
    }
}

/// Kills a host, and waits until that is known on this connection.
async fn lose(here: &Lattice, host: &Node) {
    host.kill();
    let origin = host.origin();
    let is_gone = || !here.peers().iter().any(|peer| peer.origin == *origin);
    within(SOON, "it is known to be gone", is_gone).await;
}

async fn make_named(caller: &Caller, name: Bytes) -> Result<Owned, CallError> {
    let function = function("make", ANY);
    let made = caller.pass(&function, name.into(), Context::new(SOON));
    match made.await?.handles.into_iter().next() {
        Some(Handle::Own(owned)) => Ok(owned),
        other => panic!("not owned: {other:?}"),
    }
}

async fn read(caller: &Caller, owned: &Owned) -> Result<Bytes, CallError> {
    let read = pass(caller, "read", lent(owned)).await;
    read.map(|body| body.bytes)
}

#[tokio::test(start_paused = true)]
async fn a_portable_resource_survives_its_host_and_is_made_anew_once() {
    let replicas = Replicas::new().await;
    let [on_x, on_y] = &replicas.there;
    assert_eq!(replicas.read().await, Ok("x:photos".into()));
    assert_eq!((on_x.anew(), on_y.anew()), (0, 0), "its owner is there");
    lose(&replicas.here, &replicas.x).await;
    let both = tokio::join!(replicas.read(), replicas.read());
    assert_eq!(both, (Ok("y:photos".into()), Ok("y:photos".into())));
    assert_eq!(replicas.read().await, Ok("y:photos".into()));
    assert_eq!(on_y.anew(), 1);
    assert_eq!(on_y.shelf.held(), 1);
    let resource = replicas.owned.resource().clone();
    drop(replicas.owned);
    within(SOON, "it is dropped there", || on_y.shelf.held() == 0).await;
    stale(pass(&replicas.caller, "read", vec![Handle::Borrow(resource)]).await);
    assert_eq!(on_y.anew(), 1, "what was dropped isn't made anew");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_run_on_a_lost_host_is_made_again_only_if_it_is_idempotent() {
    for is_idempotent in [false, true] {
        let idempotent: &[&str] = if is_idempotent { &["wait"] } else { &[] };
        let replicas = Replicas::of("photos", idempotent).await;
        let [on_x, on_y] = &replicas.there;
        let waiting = tokio::spawn({
            let (caller, handles) = (replicas.caller.clone(), lent(&replicas.owned));
            async move { pass(&caller, "wait", handles).await }
        });
        within(SOON, "it runs", || on_x.waits() == 1).await;
        replicas.x.kill();
        let result = waiting.await.expect("no panic").map(|body| body.bytes);
        if is_idempotent {
            assert_eq!(result, Ok("y:photos".into()));
        } else {
            let error = result.expect_err("its host is lost");
            assert_eq!(error.ran(), Ran::Maybe, "{error}");
        }
        assert_eq!(on_y.waits(), usize::from(is_idempotent));
        // The handle has survived in both cases.
        assert_eq!(replicas.read().await, Ok("y:photos".into()));
        assert_eq!(on_y.anew(), 1);
    }
}

#[tokio::test]
async fn no_call_fails_while_the_host_of_a_portable_resource_leaves() {
    let replicas = Replicas::new().await;
    let leaving = tokio::spawn({
        let x = replicas.x.clone();
        async move { x.shutdown(Duration::from_secs(5)).await }
    });
    let mut last = Bytes::new();
    while !leaving.is_finished() {
        last = replicas.read().await.expect("no call fails");
    }
    assert_eq!(last, "y:photos");
    assert_eq!(replicas.there[1].anew(), 1);
}

#[tokio::test]
async fn a_portable_resource_survives_the_end_of_its_owner_on_a_host_that_stays() {
    let replicas = Replicas::new().await;
    let [on_x, on_y] = &replicas.there;
    let [serving_x, _serving_y] = replicas.serving;
    drop(serving_x);
    let read = read(&replicas.caller, &replicas.owned).await;
    assert_eq!(read, Ok("y:photos".into()));
    assert_eq!(on_y.anew(), 1);
    within(SOON, "its host is told", || on_x.shelf.held() == 0).await;
}

#[tokio::test]
async fn a_host_that_is_started_again_makes_portable_resources_anew() {
    let replicas = Replicas::new().await;
    let [_, serving_y] = replicas.serving;
    drop(serving_y);
    replicas.x.kill();
    let (_again, x, cabinet, _serving) = replicas.mesh.owner("x", false).await;
    let is_known = || {
        let peers = replicas.here.peers();
        peers.iter().any(|peer| peer.origin == *x.origin())
    };
    within(SOON, "the new boot is known", is_known).await;
    let read = read(&replicas.caller, &replicas.owned).await;
    assert_eq!(read, Ok("x:photos".into()));
    assert_eq!(cabinet.anew(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_portable_resource_survives_the_lease_of_its_holder() {
    let replicas = Replicas::new().await;
    let [on_x, on_y] = &replicas.there;
    replicas.bus.disconnect();
    let limit = LEASE + Duration::from_secs(8);
    within(limit, "it is reclaimed", || on_x.shelf.held() == 0).await;
    replicas.bus.reconnect();
    sleep(Duration::from_secs(3)).await;
    let read = replicas.read().await.expect("it is made anew");
    assert!(read.ends_with(b":photos"), "{read:?}");
    assert_eq!(on_x.anew() + on_y.anew(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_no_replica_makes_anew_is_stale() {
    let replicas = Replicas::of(GONE, &[]).await;
    lose(&replicas.here, &replicas.x).await;
    let text = stale(pass(&replicas.caller, "read", lent(&replicas.owned)).await);
    assert!(text.contains("there is no such bucket"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn only_its_holder_has_a_portable_resource_made_anew() {
    let replicas = Replicas::new().await;
    let on_y = &replicas.there[1];
    link(&replicas.here, "thief", "owner").await;
    let thief = replicas.a.caller("thief").expect("valid");
    lose(&replicas.here, &replicas.x).await;
    let refused = read(&thief, &replicas.owned).await;
    assert!(refused.is_err(), "it doesn't hold it");
    assert_eq!(on_y.anew(), 0);
    assert_eq!(replicas.read().await, Ok("y:photos".into()));
    // Nor once it was made anew for its holder.
    let refused = read(&thief, &replicas.owned).await;
    assert!(refused.is_err(), "it doesn't hold it");
    assert_eq!(on_y.anew(), 1);
}

/// Seals a token in the lattice `test`.
fn sealed(key: &LatticeKey, component: &str, resource: &str, holder: &str) -> SealedToken {
    let auth = Auth::keyed(&LatticeName::new("test").expect("a name"), key);
    let (component, holder) = (id(component), Source::Component(id(holder)));
    let scope = TokenScope {
        component: &component,
        resource,
        holder: Some(&holder),
    };
    auth.seal_token(scope, b"photos").expect("it fits")
}

#[tokio::test]
async fn a_token_of_another_holder_component_type_or_lattice_is_refused() {
    let replicas = Replicas::new().await;
    let caller = &replicas.caller;
    let restore = async |resource: &str, token: SealedToken| {
        let interface = InterfaceName::new(API).expect("an interface");
        let args = to_bytes(&(resource, token)).expect("it encodes");
        let function = FunctionRef::restoring(interface);
        caller
            .pass(&function, args.into(), Context::new(SOON))
            .await
    };
    let other = LatticeKey::from_hex(&"08".repeat(32)).expect("a key");
    for token in [
        sealed(&key(), "owner", BUCKET, "thief"),
        sealed(&key(), "other", BUCKET, "caller"),
        sealed(&key(), "owner", "test:calls/api/s", "caller"),
        sealed(&other, "owner", BUCKET, "caller"),
    ] {
        let text = stale(restore(BUCKET, token).await);
        assert!(text.contains("its token isn't valid"), "{text}");
    }
    let anew = || replicas.there[0].anew() + replicas.there[1].anew();
    assert_eq!(anew(), 0);
    let valid = restore(BUCKET, sealed(&key(), "owner", BUCKET, "caller")).await;
    assert_eq!(valid.expect("it is its own").handles.len(), 1);
    assert_eq!(anew(), 1);
    // Nor does a component without a link reach a replica with it.
    let stranger = replicas.a.caller("stranger").expect("valid");
    let args = to_bytes(&(BUCKET, sealed(&key(), "owner", BUCKET, "stranger")));
    let function = FunctionRef::restoring(InterfaceName::new(API).expect("an interface"));
    let args = args.expect("it encodes").into();
    let refused = stranger.pass(&function, args, Context::new(SOON)).await;
    assert!(matches!(refused, Err(CallError::NotLinked { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_third_component_is_given_a_portable_resource_before_and_after_it_is_lost() {
    for is_lost in [false, true] {
        let replicas = Replicas::new().await;
        let (there, b) = replicas.mesh.host("b").await;
        let kept = Arc::<Mutex<Handles>>::default();
        let user = b.caller("keeper").expect("valid");
        let _serving = serve_as(&b, "keeper", keeper(user.clone(), &kept)).await;
        let to_keeper = grant("caller", "keeper").named("keeper").expect("a name");
        replicas
            .here
            .links()
            .put(to_keeper)
            .await
            .expect("it is put");
        link(&there, "keeper", "owner").await;
        let sees = || there.peers().serving(&id("owner")).len() == 2;
        within(SOON, "the owner is known there", sees).await;
        if is_lost {
            lose(&replicas.here, &replicas.x).await;
        }
        let given = vec![Handle::Own(replicas.owned)];
        let given = pass_to_keeper(&replicas.caller, "keep", given).await;
        given.expect("it is given");
        let kept = kept.lock().expect("not poisoned").pop();
        let owned = match kept {
            Some(Handle::Own(owned)) => owned,
            other => panic!("not owned: {other:?}"),
        };
        if !is_lost {
            assert_eq!(read(&user, &owned).await, Ok("x:photos".into()));
            lose(&replicas.here, &replicas.x).await;
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(read(&user, &owned).await, Ok("y:photos".into()));
        assert_eq!(replicas.there[1].anew(), 1);
        drop(owned);
        let on_y = &replicas.there[1];
        within(SOON, "it is dropped", || on_y.shelf.held() == 0).await;
    }
}

#[tokio::test]
async fn a_token_over_the_limit_fails_the_call_whose_result_it_is_in() {
    let replicas = Replicas::new().await;
    let make = async |size: usize| make_named(&replicas.caller, vec![b'x'; size].into()).await;
    make(1_024).await.expect("it fits");
    let error = make(1_025).await.expect_err("it is too long");
    let expected = Limit::Token(1_024);
    assert!(
        matches!(&error, CallError::LimitExceeded { limit, .. } if *limit == expected),
        "{error}"
    );
    assert_eq!(error.ran(), Ran::Yes);
}
