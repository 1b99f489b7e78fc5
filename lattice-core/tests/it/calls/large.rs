//! Arguments and results that don't fit a message of the bus.

use super::{memory::nothing_is_held, *};
use crate::{
    nats,
    ruled_bus::{Rule, RuledBus},
};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    bus::memory::{MemoryBus, MemoryNetwork},
    call::{CallError, Context, FunctionRef, Part, Ran},
    quantity::ByteSize,
    server::ServeLimits,
    store::MemoryStore,
    value::to_bytes,
};
use lattice_sim::fault::{FaultBus, Faults};
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

const SIXTEEN: usize = 16 << 20;

fn long() -> Context {
    Context::new(Duration::from_secs(60))
}

fn big() -> FunctionRef {
    function("big", "func(n: u32) -> list<u8>")
}

/// Text in which each part is different.
fn pattern(size: usize) -> Bytes {
    let mut text = String::with_capacity(size + 16);
    while text.len() < size {
        let at = text.len();
        write!(text, "{at:08x}").expect("a string takes all");
    }
    text.truncate(size);
    to_bytes(&(text,)).expect("a string encodes")
}

/// Host `a` and host `b`, each with a connection of its own, and a callee that may return much.
async fn two_on(here: Lattice, there: Lattice) -> Two {
    let (a, b) = (host(&here, "a").await, host(&there, "b").await);
    let limits = ServeLimits::default().result(ByteSize::mib(64));
    let (api, serving) = serve_within(&b, "callee", limits).await;
    link(&here, "caller", "callee").await;
    Two {
        lattice: there,
        caller: a.caller("caller").expect("valid"),
        a,
        b,
        api,
        serving,
    }
}

struct Network {
    network: MemoryNetwork,
    store: Arc<MemoryStore>,
}

impl Network {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(),
            store: Arc::new(MemoryStore::new()),
        }
    }

    fn connect(&self) -> MemoryBus {
        self.network.connect()
    }

    async fn join(&self, bus: Arc<dyn lattice_core::bus::Bus>) -> Lattice {
        let lattice = Lattice::on(bus, self.store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    }

    async fn plain(&self) -> Lattice {
        self.join(Arc::new(self.connect())).await
    }
}

/// Two hosts, the first of which sends under a rule.
async fn ruled() -> (Arc<RuledBus>, Two) {
    let network = Network::new();
    let bus = RuledBus::new(network.connect());
    let here = network.join(bus.clone()).await;
    (bus, two_on(here, network.plain().await).await)
}

fn is_session(subject: &lattice_core::subject::Subject) -> bool {
    subject.as_str().ends_with(".session")
}

async fn nats_lattice(url: &str) -> Lattice {
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::connect(url, "prod").key(key);
    lattice.await.expect("it connects")
}

async fn sixteen_mebibytes_there_and_back(two: &Two) {
    let args = pattern(SIXTEEN);
    let answer = two.call(&echo(), args.clone(), long()).await;
    assert!(answer.expect("a result") == args, "the same bytes");
    let n = to_bytes(&(SIXTEEN as u32,)).expect("encodes");
    let answer = two.call(&big(), n, long()).await.expect("a result");
    assert_eq!(answer.len(), SIXTEEN);
    let args = pattern(SIXTEEN);
    let refused = two.call(&big(), args, long()).await;
    assert!(refused.is_err(), "a large call can fail");
    nothing_is_held(&two.lattice).await;
    assert_eq!((two.a.in_flight(), two.serving.in_flight()), (0, 0));
    assert_eq!((two.a.refused(), two.b.refused()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mebibytes_in_memory() {
    let network = Network::new();
    let two = two_on(network.plain().await, network.plain().await).await;
    sixteen_mebibytes_there_and_back(&two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mebibytes_over_nats() {
    let server = nats::NatsConfig::default().jetstream().start().await;
    let here = nats_lattice(&server.url()).await;
    let two = two_on(here, nats_lattice(&server.url()).await).await;
    sixteen_mebibytes_there_and_back(&two).await;
}

#[tokio::test]
async fn a_bus_with_small_messages_carries_values_of_any_size() {
    let network = Network {
        network: MemoryNetwork::with_max_payload(16 << 10),
        store: Arc::new(MemoryStore::new()),
    };
    let two = two_on(network.plain().await, network.plain().await).await;
    for kib in [14, 15, 16, 20, 31, 32, 33, 500] {
        let args = pattern(kib << 10);
        let answer = two.call(&echo(), args.clone(), long()).await;
        assert!(answer == Ok(args), "{kib} KiB");
    }
    nothing_is_held(&two.lattice).await;
    assert_eq!((two.a.refused(), two.b.refused()), (0, 0));
}

#[tokio::test]
async fn on_one_host_large_values_are_passed_as_small_ones_are() {
    let two = two().await;
    let caller = two.b.caller("caller").expect("valid");
    let args = pattern(3 << 20);
    let answer = call(&caller, &echo(), args.clone(), long()).await;
    assert_eq!(answer, Ok(args));
}

#[tokio::test]
async fn the_limits_of_the_callee_hold_for_large_calls() {
    let network = Network::new();
    let (here, there) = (network.plain().await, network.plain().await);
    let (a, b) = (host(&here, "a").await, host(&there, "b").await);
    let limits = ServeLimits::default()
        .arguments(ByteSize::mib(4))
        .result(ByteSize::mib(3));
    let (api, _serving) = serve_within(&b, "callee", limits).await;
    link(&here, "caller", "callee").await;
    let caller = a.caller("caller").expect("valid");
    let refused = call(&caller, &echo(), pattern(5 << 20), long()).await;
    let error = refused.expect_err("too large");
    let limit = 4 << 20;
    let what = Part::Arguments;
    assert_eq!(error, CallError::TooLarge { what, limit });
    assert_eq!(error.ran(), Ran::No);
    assert_eq!(api.calls.load(Ordering::SeqCst), 0);
    let n = to_bytes(&(5_u32 << 20,)).expect("encodes");
    let error = call(&caller, &big(), n, long()).await.map(drop);
    let limit = 3 << 20;
    let what = Part::Result;
    assert_eq!(error, Err(CallError::TooLarge { what, limit }));
    assert_eq!(api.calls.load(Ordering::SeqCst), 1);
    nothing_is_held(&there).await;
}

#[tokio::test]
async fn a_large_call_needs_a_grant_before_its_arguments_are_taken() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let (bus, two) = ruled().await;
    two.say().await.expect("it is known");
    let stranger = two.a.caller("stranger").expect("valid");
    let refused = call(&stranger, &echo(), pattern(3 << 20), long()).await;
    let error = refused.expect_err("no link");
    assert!(matches!(error, CallError::NotLinked { .. }), "{error:?}");
    // Most of the arguments never arrive, so a host that waits for them doesn't answer.
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let missing = function("missing", "func()");
    let refused = two.call(&missing, pattern(SIXTEEN), long());
    let refused = timeout(Duration::from_secs(5), refused).await;
    let refused = refused.expect("it doesn't wait for the arguments");
    let error = refused.expect_err("it has no such function");
    assert!(matches!(error, CallError::NotExported { .. }), "{error:?}");
    nothing_is_held(&two.lattice).await;
}

/// Kills the callee's host. Returns the error of the call, which comes within a second.
async fn error_when_callee_dies(two: &Two, calling: JoinHandle<Outcome>) -> CallError {
    two.b.kill();
    let killed = Instant::now();
    let error = calling.await.expect("joined").expect_err("it is gone");
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    error
}

#[tokio::test]
async fn a_callee_that_dies_with_half_of_the_arguments_did_not_run() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let (bus, two) = ruled().await;
    two.say().await.expect("it is known");
    let ran = two.api.calls.load(Ordering::SeqCst);
    // Some chunks arrive, and then the bus takes no more.
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let caller = two.caller.clone();
    let calling =
        tokio::spawn(async move { call(&caller, &echo(), pattern(SIXTEEN), long()).await });
    eventually("some is sent", async || SENT.load(Ordering::SeqCst) > 10).await;
    assert_eq!(two.serving.in_flight(), 1, "admitted");
    let error = error_when_callee_dies(&two, calling).await;
    assert_eq!(error.ran(), Ran::No, "{error:?}");
    assert_eq!(two.api.calls.load(Ordering::SeqCst), ran);
}

#[tokio::test]
async fn a_callee_that_dies_with_all_of_the_arguments_may_have_run() {
    let network = Network::new();
    let two = two_on(network.plain().await, network.plain().await).await;
    let caller = two.caller.clone();
    let calling =
        tokio::spawn(async move { call(&caller, &wait(), pattern(SIXTEEN), long()).await });
    two.api.started.notified().await;
    let error = error_when_callee_dies(&two, calling).await;
    assert!(matches!(error, CallError::HostLost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_callee_that_dies_with_half_of_its_result_may_have_run() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let network = Network::new();
    let bus = RuledBus::new(network.connect());
    let there = network.join(bus.clone()).await;
    let two = two_on(network.plain().await, there).await;
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let caller = two.caller.clone();
    let n = to_bytes(&(SIXTEEN as u32,)).expect("encodes");
    let calling = tokio::spawn(async move { call(&caller, &big(), n, long()).await });
    eventually("some is sent", async || SENT.load(Ordering::SeqCst) > 10).await;
    assert_eq!(
        two.serving.in_flight(),
        1,
        "it counts until it is delivered"
    );
    let error = error_when_callee_dies(&two, calling).await;
    assert_eq!(error.ran(), Ran::Maybe, "{error:?}");
}

#[tokio::test]
async fn a_caller_that_gives_up_frees_the_memory_of_its_callee() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let (bus, two) = ruled().await;
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let caller = two.caller.clone();
    let calling =
        tokio::spawn(async move { call(&caller, &echo(), pattern(SIXTEEN), long()).await });
    eventually("some is sent", async || SENT.load(Ordering::SeqCst) > 10).await;
    assert!(two.lattice.message_memory().calls >= ByteSize::mib(16));
    calling.abort();
    nothing_is_held(&two.lattice).await;
    assert_eq!(two.serving.in_flight(), 0);
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
    bus.set(Rule::Take);
    two.say().await.expect("it still serves");
}

#[tokio::test]
async fn a_deadline_in_the_middle_ends_a_large_call_that_did_not_run() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let (bus, two) = ruled().await;
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let context = Context::new(Duration::from_millis(400));
    let begun = Instant::now();
    let ended = two.call(&echo(), pattern(SIXTEEN), context).await;
    assert_eq!(ended, Err(CallError::DeadlineExceeded { ran: Ran::No }));
    assert!(begun.elapsed() < Duration::from_millis(600));
    nothing_is_held(&two.lattice).await;
}

#[tokio::test]
async fn a_bus_that_loses_doubles_and_reorders_delivers_the_same_bytes() {
    let network = Network::new();
    let mut buses = Vec::new();
    for seed in [1, 2] {
        buses.push(Arc::new(FaultBus::new(Arc::new(network.connect()), seed)));
    }
    let here = network.join(buses[0].clone()).await;
    let there = network.join(buses[1].clone()).await;
    let two = two_on(here, there).await;
    two.say().await.expect("it is known");
    let faults = Faults::none()
        .losing(0.03)
        .doubling(0.03)
        .reordering(0.05, Duration::from_millis(5));
    for bus in &buses {
        bus.set(faults);
    }
    for size in [2 << 20, 5 << 20] {
        let args = pattern(size);
        let answer = two.call(&echo(), args.clone(), long()).await;
        assert!(answer.expect("a result") == args, "the same bytes");
    }
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 3);
    let counts = buses[0].counts();
    assert!(counts.lost > 0 && counts.doubled > 0 && counts.reordered > 0);
    nothing_is_held(&two.lattice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_go_on_beside_large_ones() {
    let network = Network::new();
    let two = two_on(network.plain().await, network.plain().await).await;
    let caller = two.caller.clone();
    let bulk = tokio::spawn(async move {
        for _ in 0..4 {
            let args = pattern(SIXTEEN);
            let answer = call(&caller, &echo(), args.clone(), long()).await;
            assert!(answer.expect("a result") == args);
        }
    });
    let mut times = Vec::new();
    while !bulk.is_finished() {
        let begun = Instant::now();
        two.say().await.expect("a small call");
        times.push(begun.elapsed());
    }
    bulk.await.expect("no panic");
    // Behind a large one, a small one takes as long as that, and most of the time passes in such
    // ones. A busy machine delays single ones.
    assert!(times.len() > 100, "{}", times.len());
    let total: Duration = times.iter().sum();
    let slow = times
        .iter()
        .filter(|time| **time > Duration::from_millis(250));
    let slow: Duration = slow.sum();
    assert!(slow < total / 4, "{slow:?} of {total:?}");
}

#[tokio::test]
async fn a_host_that_leaves_delivers_large_results_first() {
    let network = Network::new();
    let two = two_on(network.plain().await, network.plain().await).await;
    let caller = two.caller.clone();
    let n = to_bytes(&(SIXTEEN as u32,)).expect("encodes");
    let calling = tokio::spawn(async move { call(&caller, &big(), n, long()).await });
    eventually("it runs", async || {
        two.api.calls.load(Ordering::SeqCst) == 1
    })
    .await;
    let drained = two.serving.shutdown(Duration::from_secs(10)).await;
    assert!(drained.is_clean());
    let result = calling.await.expect("joined").expect("a result");
    assert_eq!(result.len(), SIXTEEN);
}

#[tokio::test]
async fn a_bus_that_goes_away_ends_large_calls_at_once() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let network = Network::new();
    let connection = Arc::new(network.connect());
    let bus = RuledBus::new(network.connect());
    let here = network.join(bus.clone()).await;
    let two = two_on(here, network.join(connection.clone()).await).await;
    bus.set(Rule::Stall(|to| {
        is_session(to) && SENT.fetch_add(1, Ordering::SeqCst) >= 10
    }));
    let caller = two.caller.clone();
    let calling =
        tokio::spawn(async move { call(&caller, &echo(), pattern(SIXTEEN), long()).await });
    eventually("some is sent", async || SENT.load(Ordering::SeqCst) > 10).await;
    connection.disconnect();
    let lost = Instant::now();
    let error = calling.await.expect("joined").expect_err("the bus is away");
    assert!(
        lost.elapsed() < Duration::from_secs(1),
        "{:?}",
        lost.elapsed()
    );
    assert_eq!(error.ran(), Ran::No, "{error:?}");
    nothing_is_held(&two.lattice).await;
}

/// That the callee doesn't know the session arrives before its reply, which says why.
#[tokio::test]
async fn a_refusal_that_is_overtaken_is_still_the_error_of_the_call() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let network = Network::new();
    let bus = RuledBus::new(network.connect());
    let there = network.join(bus.clone()).await;
    let here = network.plain().await;
    let (a, b) = (host(&here, "a").await, host(&there, "b").await);
    let limits = ServeLimits::default().arguments(ByteSize::mib(4));
    let (_api, _serving) = serve_within(&b, "callee", limits).await;
    link(&here, "caller", "callee").await;
    let caller = a.caller("caller").expect("valid");
    let known = call(&caller, &echo(), pattern(100), long()).await;
    known.expect("it serves");
    bus.set(Rule::Stall(|to| {
        if is_session(to) {
            SENT.fetch_add(1, Ordering::SeqCst);
        }
        to.as_str().contains(".reply.")
    }));
    let calling =
        tokio::spawn(async move { call(&caller, &echo(), pattern(5 << 20), long()).await });
    eventually("its session is refused", async || {
        SENT.load(Ordering::SeqCst) > 0
    })
    .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    bus.set(Rule::Take);
    let refused = calling.await.expect("joined").expect_err("too large");
    let (limit, what) = (4 << 20, Part::Arguments);
    assert_eq!(refused, CallError::TooLarge { what, limit });
}
