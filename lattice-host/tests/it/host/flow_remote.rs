//! Resources, streams and futures between actors on several hosts.

use super::{flow::*, over_nats::two_connections, support::*};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Context, FunctionRef, Ran},
    client::Caller,
    name::{FunctionName, InterfaceName, LinkName},
    serve::{Answer, CallerInstance, Request},
    store::MemoryStore,
    stream::{Body, Handle, Handles, Owned, channel},
    value::from_bytes,
};
use lattice_host::{Actor, Host, Instances, Limits};
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Within this time, a loss is noticed and named.
const SECOND: Duration = Duration::from_secs(1);
/// What `keeper` exports.
const KEEP: &str = "lattice-test:flow-remote/keep@0.1.0";
/// The type of its functions, which have places for handles. Nothing compares their kinds.
const ANY: &str = "func(any: list<stream<u8>>) -> list<stream<u8>>";

/// Connections to one lattice, like those of as many programs.
pub(super) async fn programs<const N: usize>() -> [Lattice; N] {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let mut all = Vec::new();
    for _ in 0..N {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        all.push(lattice.await.expect("a lattice"));
    }
    all.try_into().expect("as many")
}

/// `giver` on one host, and `taker` on another one.
pub(super) struct Far {
    pub(super) flow: Flow,
    giver: Host,
}

impl Far {
    pub(super) async fn new(adjust: impl Fn(Actor) -> Actor) -> Self {
        let [one, other] = programs().await;
        Self::across(&one, other, adjust).await
    }

    pub(super) async fn across(
        one: &Lattice,
        other: Lattice,
        adjust: impl Fn(Actor) -> Actor,
    ) -> Self {
        let giver = Host::builder(one).id("giver-host");
        let giver = started(giver.actor("giver", adjust(actor("giver")))).await;
        let taker = Host::builder(&other).id("taker-host");
        let taker = started(taker.actor("taker", adjust(actor("taker")))).await;
        served(&other, "giver").await;
        Self {
            flow: Flow::on(other, taker).await,
            giver,
        }
    }

    /// Waits until other hosts hold no resource of the giver's host.
    pub(super) async fn nothing_is_held(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.giver.node().handles().0 > 0 {
            assert!(Instant::now() < until, "handles are held");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_pass_in_every_place_between_hosts() {
    let far = Far::new(|actor| actor).await;
    far.flow.check("resources").await.expect("all checks pass");
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_with_elements_of_every_type_between_hosts() {
    let far = Far::new(|actor| actor).await;
    far.flow.check("streams").await.expect("all checks pass");
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_pass_between_hosts() {
    let far = Far::new(|actor| actor).await;
    far.flow.check("futures").await.expect("all checks pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_that_go_away_are_seen_between_hosts() {
    let far = Far::new(|actor| actor).await;
    far.flow.check("endings").await.expect("all checks pass");
}

#[tokio::test]
async fn all_of_it_passes_between_warm_instances_of_two_hosts() {
    let far = Far::new(|actor| actor.instances(Instances::warm())).await;
    for _ in 0..2 {
        for what in ["resources", "streams", "futures", "drained"] {
            let checked = far.flow.check(what).await;
            checked.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_passes_over_nats() {
    let (_server, one, other) = two_connections().await;
    let far = Far::across(&one, other, |actor| actor).await;
    for what in [
        "resources",
        "streams",
        "futures",
        "drop-while-lent",
        "drained",
    ] {
        let checked = far.flow.check(what).await;
        checked.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test]
async fn a_resource_that_is_lent_to_another_host_is_dropped_when_the_call_ends() {
    let far = Far::new(|actor| actor).await;
    let checked = far.flow.check("drop-while-lent").await;
    checked.expect("nothing traps");
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test]
async fn a_stream_whose_writer_traps_on_another_host_never_looks_ended() {
    let far = Far::new(|actor| actor).await;
    let text = reason(far.flow.check("broken-stream").await);
    assert!(!text.contains("a clean end"), "{text}");
    assert!(text.contains("on purpose"), "{text}");
}

#[tokio::test]
async fn handles_of_an_instance_that_trapped_on_another_host_say_so() {
    let far = Far::new(|actor| actor).await;
    let text = reason(far.flow.check("trapped").await);
    assert!(
        text.contains("the instance that it lives in ended") && text.contains("on purpose"),
        "{text}"
    );
}

#[tokio::test]
async fn an_instance_that_traps_takes_what_other_hosts_hold_with_it() {
    let far = Far::new(|actor| actor).await;
    let checked = far.flow.check("trapped-with-many").await;
    checked.expect("it goes on");
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test]
async fn native_code_on_another_host_reads_and_writes_streams() {
    let far = Far::new(|actor| actor).await;
    let arguments = encoded(&(1_000_000_u64, 5_000_u32));
    let made = far
        .flow
        .give((PIPES, "make-bytes"), arguments, Handles::new());
    let (read, end) = read_all(&mut reader(made.await.expect("a stream"))).await;
    assert_eq!((read, end), (1_000_000, Ok(())));

    let (mut writer, stream) = channel();
    let write = async move {
        write_all(&mut writer, Bytes::from(vec![1; 1_000_000])).await;
        writer.end();
    };
    let given = vec![Handle::Stream(stream)];
    let summed = far.flow.give((PIPES, "sum-bytes"), PLACE, given);
    let ((), summed) = tokio::join!(write, summed);
    assert_eq!(summed.expect("a sum").bytes, encoded(&1_000_000_u64));

    // A writer that goes away without an end never makes a sum.
    let (mut writer, stream) = channel();
    let write = async move { write_all(&mut writer, Bytes::from(vec![1; 100_000])).await };
    let given = vec![Handle::Stream(stream)];
    let summed = far.flow.give((PIPES, "sum-bytes"), PLACE, given);
    let ((), summed) = tokio::join!(write, summed);
    let text = reason(summed);
    assert!(text.contains("went away without ending it"), "{text}");
}

#[tokio::test]
async fn a_handle_is_used_only_by_the_component_that_holds_it_on_another_host() {
    let far = Far::new(|actor| actor).await;
    let bucket = far.flow.open("mine").await;
    let steal = async |handle| {
        let thief = far.flow.lattice.caller("taker").expect("an id");
        let function = far.flow.function(STORE, "[method]bucket.name");
        pass_over(&thief, &function, vec![handle]).await
    };
    let text = stale(steal(borrow(bucket.resource())).await);
    assert!(text.contains("`taker` doesn't hold it"), "{text}");
    let claimed = Handle::Own(Owned::new(bucket.resource().clone()));
    let refused = steal(claimed).await.expect_err("it can't be used");
    assert_eq!(refused.ran(), Ran::No, "{refused}");
    let name = far.flow.name_of(bucket.resource()).await;
    assert_eq!(name.expect("it is held"), "mine");
    let it = bucket.resource().clone();
    drop(bucket);
    let text = stale(far.flow.name_of(&it).await);
    assert!(text.contains("dropped"), "{text}");
    far.nothing_is_held(PATIENCE).await;
}

#[tokio::test]
async fn a_guest_gives_other_hosts_no_more_than_it_may() {
    let most = NonZeroUsize::new(1_000).expect("not zero");
    let limits = Limits::default().handles(most);
    let far = Far::new(|actor| actor.limits(limits)).await;
    let hoard = async |count: u32| {
        let count = encoded(&(count,));
        far.flow
            .give((TROUBLE, "hoard"), count, Handles::new())
            .await
    };
    let held = hoard(1_000).await.expect("as many as it may");
    assert_eq!(held.handles.len(), 1_000);
    assert_eq!(far.giver.node().handles().0, 1_000);
    drop(held);
    far.nothing_is_held(PATIENCE).await;
    let text = reason(hoard(1_001).await);
    assert!(text.contains("`Limits::handles`"), "{text}");
}

async fn pass_over(
    caller: &Caller,
    function: &FunctionRef,
    handles: Handles,
) -> Result<Body, CallError> {
    let body = Body {
        bytes: vec![0; handles.len()].into(),
        handles,
    };
    let (link, context) = (LinkName::default(), Context::new(PATIENCE));
    let options = (CallerInstance::Here, context);
    caller.pass_via(function, &link, body, options).await
}

fn keep(name: &str) -> FunctionRef {
    let interface = InterfaceName::new(KEEP).expect("a name");
    let name = FunctionName::new(name).expect("a name");
    FunctionRef::new(interface, name, ANY)
}

/// Native code on a third host, which passes on what it gets.
struct Keeper {
    host: Host,
    kept: Arc<Mutex<Handles>>,
}

impl Keeper {
    async fn start(lattice: &Lattice, flow: &Flow) -> Self {
        let kept = Arc::<Mutex<Handles>>::default();
        let keeper = lattice.caller("keeper").expect("an id");
        let name = flow.function(STORE, "[method]bucket.name");
        let sum = flow.function(PIPES, "sum-bytes");
        let keeps = kept.clone();
        let native = Native::default()
            .function(KEEP, "keep", ANY, move |request| {
                let mut kept = keeps.lock().expect("not poisoned");
                kept.extend(request.handles);
                Answer::Ready(Ok(Bytes::new()))
            })
            .function(KEEP, "name", ANY, passing(&keeper, name))
            .function(KEEP, "sum", ANY, passing(&keeper, sum));
        let host = Host::builder(lattice).id("keeper-host");
        let host = started(host.provider("keeper", native.serve())).await;
        for interface in [STORE, PIPES] {
            link(lattice, "keeper", interface, "giver").await;
        }
        Self { host, kept }
    }
}

/// Calls another component with what it is given.
fn passing(
    caller: &Caller,
    function: FunctionRef,
) -> impl Fn(Request) -> Answer + Send + Sync + 'static {
    let caller = caller.clone();
    move |request| {
        let (caller, function) = (caller.clone(), function.clone());
        Answer::Passing(Box::pin(async move {
            pass_over(&caller, &function, request.handles).await
        }))
    }
}

/// Calls the keeper as an operator.
async fn ask(lattice: &Lattice, name: &str, handles: Handles) -> Result<Body, CallError> {
    let body = Body {
        bytes: vec![0; handles.len()].into(),
        handles,
    };
    let keeper = lattice.operator().component("keeper");
    keeper.pass(&keep(name), body, Context::new(PATIENCE)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_over_three_hosts_passes_resources_and_streams() {
    let [one, other, third] = programs().await;
    let far = Far::across(&one, other, |actor| actor).await;
    served(&third, "giver").await;
    let keeper = Keeper::start(&third, &far.flow).await;
    served(&far.flow.lattice, "keeper").await;
    let lattice = &far.flow.lattice;

    let bucket = far.flow.open("far away").await;
    let name = ask(lattice, "name", vec![borrow(bucket.resource())]).await;
    let name: String = from_bytes(&name.expect("it is lent on").bytes).expect("a name");
    assert_eq!(name, "far away");
    ask(lattice, "keep", vec![Handle::Own(bucket)])
        .await
        .expect("it is given on");
    assert_eq!(keeper.host.node().handles().1, 1);
    assert_eq!(far.giver.node().handles().0, 1);
    keeper.kept.lock().expect("not poisoned").clear();
    far.nothing_is_held(PATIENCE).await;

    let (mut writer, stream) = channel();
    let write = async move {
        write_all(&mut writer, Bytes::from(vec![1; 300_000])).await;
        writer.end();
    };
    let summed = ask(lattice, "sum", vec![Handle::Stream(stream)]);
    let ((), summed) = tokio::join!(write, summed);
    assert_eq!(summed.expect("a sum").bytes, encoded(&300_000_u64));
}

#[tokio::test]
async fn handles_that_a_host_held_are_dropped_when_it_leaves_or_is_started_again() {
    let [one, other, third] = programs().await;
    let far = Far::across(&one, other, |actor| actor).await;
    served(&third, "giver").await;
    for is_orderly in [true, false] {
        let keeper = Keeper::start(&third, &far.flow).await;
        let function = far.flow.function(STORE, "[constructor]bucket");
        let caller = keeper.host.node().caller("keeper").expect("an id");
        for n in 0..50 {
            let body = Body::from(encoded(&(n.to_string(),)));
            let (link, context) = (LinkName::default(), Context::new(PATIENCE));
            let options = (CallerInstance::Here, context);
            let made = caller.pass_via(&function, &link, body, options).await;
            let made = made.expect("it opens");
            let mut kept = keeper.kept.lock().expect("not poisoned");
            kept.extend(made.handles);
        }
        assert_eq!(far.giver.node().handles().0, 50);
        if is_orderly {
            let _ = keeper.host.shutdown(Duration::from_secs(5)).await;
            far.nothing_is_held(2 * SECOND).await;
            continue;
        }
        keeper.host.kill();
        let again = Host::builder(&third).id("keeper-host");
        let _again = started(again).await;
        far.nothing_is_held(2 * SECOND).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_killed_ends_methods_and_streams_with_a_typed_error() {
    let far = Far::new(|actor| actor).await;
    let one = far.flow.open("one").await;
    let made = far.flow.give(
        (PIPES, "make-bytes"),
        encoded(&(100_000_000_u64, 1_000_u32)),
        Handles::new(),
    );
    let mut stream = reader(made.await.expect("a stream"));
    stream.ask(1_000);
    let first = next(&mut stream).await.expect("it goes on");
    assert!(first.is_some());

    // It is lent twice: a call takes only resources of one instance.
    let lent = vec![borrow(one.resource()), borrow(one.resource())];
    let arguments = Bytes::from_static(&[0, 1, b'k', 0]);
    let method = (STORE, "[method]bucket.wait");
    let waits = far.flow.give(method, arguments, lent);
    let kill = async {
        sleep(Duration::from_millis(300)).await;
        far.giver.kill();
        Instant::now()
    };
    let (waited, killed) = tokio::join!(waits, kill);
    let error = waited.expect_err("its host is gone");
    assert_eq!(error.ran(), Ran::Maybe, "{error}");
    assert!(killed.elapsed() < SECOND, "{:?}", killed.elapsed());

    let (_, end) = timeout(2 * SECOND, read_all(&mut stream))
        .await
        .expect("in time");
    let broken = end.expect_err("it never ended");
    assert!(broken.to_string().contains("giver-host"), "{broken}");

    let error = far.flow.name_of(one.resource()).await;
    let error = error.expect_err("its host is gone");
    assert!(
        matches!(
            error,
            CallError::HostLost { .. } | CallError::HostGone { .. } | CallError::StaleHandle { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_handle_whose_owner_was_started_again_says_so() {
    let [one, other] = programs().await;
    let far = Far::across(&one, other, |actor| actor).await;
    let bucket = far.flow.open("b").await;
    far.giver.kill();
    let again = Host::builder(&one).id("giver-host");
    let again = started(again.actor("giver", actor("giver"))).await;
    let boot = again.node().origin();
    let until = Instant::now() + PATIENCE;
    while !far.flow.lattice.peers().contains(boot) {
        assert!(Instant::now() < until, "the new boot isn't known");
        sleep(Duration::from_millis(20)).await;
    }
    let text = stale(far.flow.name_of(bucket.resource()).await);
    assert!(text.contains("started again"), "{text}");
    let new = far.flow.open("again").await;
    let name = far.flow.name_of(new.resource()).await;
    assert_eq!(name.expect("it is a new one"), "again");
}
