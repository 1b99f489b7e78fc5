//! Every call ends by its deadline, which is sent with it.

use super::*;
use crate::ruled_bus::{Rule, RuledBus};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::{Bus, memory::MemoryNetwork},
    call::{CallError, Context, MAX_HOPS, Ran},
    server::ServeLimits,
    store::MemoryStore,
    subject::Subjects,
    value::{from_bytes, to_bytes},
};
use lattice_sim::fault::FaultBus;
use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test]
async fn a_deadline_passes_while_running_and_while_queued() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(8);
    let (api, _serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller("caller").expect("valid");
        let running = begin_wait(&caller, Context::new(Duration::from_secs(2)));
        api.started.notified().await;
        let before = api.calls.load(Ordering::SeqCst);
        let start = std::time::Instant::now();
        let context = Context::new(Duration::from_millis(100));
        let queued = call(&caller, &echo(), text("x"), context).await;
        assert!(
            matches!(queued, Err(CallError::DeadlineExceeded { .. })),
            "{queued:?}"
        );
        assert!(
            start.elapsed() < Duration::from_millis(1_900),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            api.calls.load(Ordering::SeqCst),
            before,
            "a call that was queued past its deadline never runs"
        );
        assert_eq!(
            running.await.expect("joined"),
            Err(CallError::DeadlineExceeded { ran: Ran::Maybe })
        );
        eventually(
            "the callee stops working on the abandoned call",
            async || api.running.load(Ordering::SeqCst) == 0,
        )
        .await;
    }
    assert_eq!(a.in_flight(), 0);
}

#[tokio::test]
async fn a_call_past_its_deadline_sends_nothing() {
    let two = two().await;
    let context = Context::new(Duration::ZERO);
    assert_eq!(
        two.call(&echo(), text("x"), context).await,
        Err(CallError::DeadlineExceeded { ran: Ran::No })
    );
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn deadlines_are_sent_along_and_shrink() {
    let two = two().await;
    let left = function("left", "func() -> u64");
    let context = Context::new(Duration::from_millis(700)).shrunk(Duration::from_secs(9));
    let answer = two
        .call(&left, Bytes::new(), context.nested())
        .await
        .expect("a result");
    let left: u64 = from_bytes(&answer).expect("a number");
    assert!((1..=700).contains(&left), "{left}");
    assert_eq!(context.nested().hops, 1);
}

#[tokio::test]
async fn a_chain_that_is_too_long_is_rejected() {
    let two = two().await;
    let mut context = Context::default();
    for _ in 0..MAX_HOPS {
        context = context.nested();
    }
    two.call(&echo(), text("x"), context)
        .await
        .expect("the last allowed hop");
    let answer = two.call(&echo(), text("x"), context.nested()).await;
    assert_eq!(answer, Err(CallError::TooManyHops { limit: MAX_HOPS }));
}

#[tokio::test]
async fn unlimited_timeouts_and_queues_do_not_panic() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let (_api, _serving) = serve(&node, "callee").await;
    let endless: String = lattice
        .operator()
        .component("callee")
        .call(API, "echo", ("x",))
        .timeout(Duration::MAX)
        .await
        .expect("a result");
    assert_eq!(endless, "x");
}

#[tokio::test(start_paused = true)]
async fn calls_end_by_their_deadline_while_the_bus_accepts_no_messages() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let stuck = RuledBus::new(network.connect());
    let on = async |bus: Arc<dyn Bus>| {
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    };
    let (here, there) = (
        on(stuck.clone()).await,
        on(Arc::new(network.connect())).await,
    );
    let two = Two::across(&here, &there).await;
    // Longer than the time after which its host is probed.
    let sent = begin_wait(&two.caller, Context::new(Duration::from_millis(500)));
    two.api.started.notified().await;
    stuck.stall();
    let unsent = begin_wait(&two.caller, Context::new(Duration::from_millis(400)));
    let unasked = here.operator().component("elsewhere");
    let unasked = tokio::spawn(async move {
        let call = unasked.call::<String>(API, "echo", ("x",));
        call.timeout(Duration::from_millis(300)).await.map(text_of)
    });
    for call in [unasked, unsent, sent] {
        let ended = tokio::time::timeout(Duration::from_millis(600), call).await;
        let ended = ended.expect("in time").expect("joined");
        assert!(ended.is_err(), "{ended:?}");
    }
    stuck.set(Rule::Take);
    eventually("it is called again", async || two.say().await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_lives_on_and_leaves_while_its_bus_takes_nothing() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let stuck = RuledBus::new(network.connect());
    let lattice = Lattice::on(stuck.clone(), store, "test").trust_bus();
    let lattice = lattice.await.expect("it opens");
    let node = host(&lattice, "a").await;
    let (_api, _serving) = serve(&node, "callee").await;
    let is_known = || lattice.peers().contains(node.origin());
    eventually("it is known", async || is_known()).await;
    stuck.stall();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(is_known(), "its heartbeats reach its own process");
    }
    let left = node.shutdown(Duration::from_secs(1));
    let left = tokio::time::timeout(Duration::from_secs(10), left).await;
    assert!(left.is_ok(), "it does not leave");
}

fn text_of(value: String) -> Bytes {
    to_bytes(&value).expect("a string encodes")
}

#[tokio::test]
async fn a_call_that_waited_in_the_send_queue_has_less_time_at_its_callee() {
    let two = two().await;
    let large = Bytes::from(vec![0; 200_000]);
    let caller = two.caller.clone();
    let args = large.clone();
    // `wait` and `left` ignore their arguments.
    let first = tokio::spawn(async move { call(&caller, &wait(), args, Context::default()).await });
    two.api.started.notified().await;
    let small = {
        let caller = two.caller.clone();
        tokio::spawn(async move {
            loop {
                say(&caller).await.expect("answered");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    two.say().await.expect("answered");
    let left = function("left", "func() -> u64");
    let second = two.call(&left, large, Context::new(Duration::from_millis(1_000)));
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        two.api.release.notify_one();
    };
    let (second, ()) = tokio::join!(second, release);
    small.abort();
    first.await.expect("joined").expect("answered");
    let left: u64 = from_bytes(&second.expect("answered")).expect("a number");
    assert!(left <= 510, "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_discovery_has_less_time_at_its_callee() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let slow = RuledBus::new(network.connect());
    // No heartbeat names the callee, so it has to be discovered.
    let mute = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
    let on = async |bus: Arc<dyn Bus>| {
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    };
    let here = on(slow.clone()).await;
    let beats = Subjects::new(here.name()).beat();
    mute.partition(move |subject| *subject == beats);
    let there = on(mute).await;
    let two = Two::across(&here, &there).await;
    slow.set(Rule::Stall(|to| to.as_str().contains(".serves.")));
    let left = function("left", "func() -> u64");
    let asked = two.call(&left, Bytes::new(), Context::new(Duration::from_secs(1)));
    let delayed = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(here.peers().serving(&id("callee")).is_empty(), "unknown");
        slow.set(Rule::Take);
    };
    let (left, ()) = tokio::join!(asked, delayed);
    let left: u64 = from_bytes(&left.expect("answered")).expect("a number");
    assert!((1..=400).contains(&left), "{left}");
}
