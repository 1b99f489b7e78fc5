//! What waits in this process takes a bounded amount of memory, and nothing that is stuck takes the
//! room of its neighbours.

use super::*;
use crate::ruled_bus::{Rule, RuledBus};
use bytes::Bytes;
use futures_util::FutureExt as _;
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    bus::{Bus, memory::MemoryNetwork},
    call::{CallError, Context, Part, Ran},
    name::LatticeName,
    quantity::ByteSize,
    server::ServeLimits,
    store::MemoryStore,
    subject::Subjects,
    value::to_bytes,
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The least that a connection may have, of which each kind of message gets a quarter.
const MEMORY: ByteSize = ByteSize::mib(16);
const QUARTER: ByteSize = ByteSize::mib(4);

async fn small() -> Lattice {
    let lattice = Lattice::in_memory("test").message_memory(MEMORY);
    lattice.await.expect("it opens")
}

/// Lets the other tasks run, so that the messages that were sent are read.
async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn nothing_is_held(lattice: &Lattice) {
    eventually("nothing is held", async || {
        let held = lattice.message_memory();
        let all = [held.received, held.calls, held.sending, held.results];
        all == [ByteSize::bytes(0); 4]
    })
    .await;
}

#[tokio::test]
async fn a_flood_without_the_key_is_dropped_and_then_calls_work() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::on(Arc::new(network.connect()), store, "test")
        .key(key)
        .message_memory(MEMORY);
    let two = Two::on(lattice.await.expect("it opens")).await;
    let attacker = network.connect();
    let subjects = Subjects::new(&LatticeName::new("test").expect("a name"));
    let callee = two.b.origin();
    for subject in [subjects.call(&callee.host, callee.epoch), subjects.beat()] {
        // No task of a node runs meanwhile.
        for _ in 0..64 {
            let garbage = Bytes::from(vec![7; 1 << 20]);
            let sent = attacker.publish(subject.clone(), None, garbage);
            sent.now_or_never().expect("at once").expect("taken");
        }
    }
    let held = two.lattice.message_memory().received;
    assert!(held > ByteSize::mib(1) && held <= QUARTER, "{held}");
    assert_eq!(two.say().await, Ok(text("x")));
    nothing_is_held(&two.lattice).await;
}

#[tokio::test]
async fn a_component_that_finishes_nothing_is_overloaded_and_its_neighbours_are_not() {
    let two = Two::on(small().await).await;
    let (_api, _serving) = serve(&two.b, "neighbour").await;
    link(&two.lattice, "other", "neighbour").await;
    // From another host, and from its own.
    for node in [&two.a, &two.b] {
        let (caller, other) = (node.caller("caller"), node.caller("other"));
        let (caller, other) = (caller.expect("valid"), other.expect("valid"));
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let caller = caller.clone();
            calls.spawn(async move {
                let args = Bytes::from(vec![0; 200 << 10]);
                call(&caller, &wait(), args, Context::default()).await
            });
            turns().await;
        }
        let overloaded = CallError::Overloaded {
            component: id("callee"),
        };
        for _ in 0..48 {
            let ended = tokio::time::timeout(Duration::from_secs(10), calls.join_next()).await;
            let ended = ended.expect("in time").expect("a call").expect("no panic");
            assert_eq!(ended, Err(overloaded.clone()));
        }
        let running = two.serving.in_flight();
        assert!((2..16).contains(&running), "{running}");
        let held = two.lattice.message_memory().calls;
        assert!(held <= QUARTER, "{held}");
        let large = text(&"x".repeat(300 << 10));
        let answer = call(&other, &echo(), large.clone(), Context::default()).await;
        assert_eq!(answer, Ok(large), "its neighbour has room");
        drop(calls);
        eventually("its calls are dropped", async || {
            two.serving.in_flight() == 0
        })
        .await;
        nothing_is_held(&two.lattice).await;
    }
}

#[tokio::test]
async fn arguments_over_what_a_component_may_have_are_too_large() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default().arguments(ByteSize::kib(100));
    let (_api, _serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller("caller").expect("valid");
        let large = text(&"x".repeat(101 << 10));
        let refused = call(&caller, &echo(), large, Context::default()).await;
        let error = refused.expect_err("too large");
        let (what, limit) = (Part::Arguments, 100 << 10);
        assert_eq!(error, CallError::TooLarge { what, limit });
        assert_eq!(error.ran(), Ran::No);
        let fits = text(&"x".repeat(99 << 10));
        let answer = call(&caller, &echo(), fits.clone(), Context::default()).await;
        assert_eq!(answer, Ok(fits));
    }
}

#[tokio::test]
async fn a_message_over_half_of_its_memory_is_too_large() {
    let network = MemoryNetwork::with_max_payload(16 << 20);
    let lattice = Lattice::on(
        Arc::new(network.connect()),
        Arc::new(MemoryStore::new()),
        "test",
    )
    .trust_bus()
    .message_memory(MEMORY);
    let two = Two::on(lattice.await.expect("it opens")).await;
    let limit = QUARTER.as_u64() / 2;
    let args = Bytes::from(vec![0; 3 << 20]);
    let refused = two.call(&wait(), args, Context::default()).await;
    let what = Part::Arguments;
    assert_eq!(refused, Err(CallError::TooLarge { what, limit }));
    let (big, n) = (
        function("big", "func(n: u32) -> list<u8>"),
        to_bytes(&(3_u32 << 20,)).expect("encodes"),
    );
    let refused = two.call(&big, n, Context::default()).await;
    let what = Part::Result;
    assert_eq!(refused, Err(CallError::TooLarge { what, limit }));
}

#[tokio::test]
async fn results_that_their_callers_do_not_take_are_bounded() {
    let two = Two::on(small().await).await;
    let big = function("big", "func(n: u32) -> list<u8>");
    let n = to_bytes(&(300_u32 << 10,)).expect("encodes");
    let mut calls = Vec::new();
    for _ in 0..16 {
        let mut call = Box::pin(two.call(&big, n.clone(), Context::default()));
        assert_eq!((&mut call).now_or_never(), None, "it is sent");
        calls.push(call);
        // The reply arrives, and its caller doesn't look at it.
        turns().await;
    }
    two.say().await.expect("small results have room");
    let held = two.lattice.message_memory().results;
    assert!(held > ByteSize::mib(1) && held <= QUARTER, "{held}");
    let (mut taken, mut failed) = (0, 0);
    for call in calls {
        match call.await {
            Ok(result) => {
                assert_eq!(result.len(), 300 << 10);
                taken += 1;
            }
            Err(error) => {
                assert!(matches!(error, CallError::CalleeFailed { .. }), "{error:?}");
                assert!(error.to_string().contains("`message_memory`"), "{error}");
                assert_eq!(error.ran(), Ran::Yes);
                failed += 1;
            }
        }
    }
    assert!(taken >= 3 && failed > 0, "{taken} taken, {failed} failed");
    nothing_is_held(&two.lattice).await;
}

#[tokio::test]
async fn calls_to_twenty_stalled_hosts_leave_room_for_others() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let slow = RuledBus::new(network.connect());
    slow.set(Rule::Stall(|to| {
        let is_call = to.as_str().rsplit('.').next() == Some("call");
        is_call && to.as_str().contains(".stalled-")
    }));
    let on = async |bus: Arc<dyn Bus>| {
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.message_memory(MEMORY).await.expect("it opens")
    };
    let here = on(slow.clone()).await;
    let there = on(Arc::new(network.connect())).await;
    let two = Two::across(&here, &there).await;
    let mut hosts = Vec::new();
    for at in 0..20 {
        let node = host(&there, &format!("stalled-{at}")).await;
        let callee = format!("callee-{at}");
        let (api, serving) = serve(&node, &callee).await;
        link(&here, &format!("caller-{at}"), &callee).await;
        hosts.push((node, api, serving));
    }
    eventually("all are known", async || here.peers().iter().count() >= 21).await;
    let mut calls = JoinSet::new();
    for at in 0..20 {
        let caller = two.a.caller(format!("caller-{at}")).expect("valid");
        for _ in 0..16 {
            let caller = caller.clone();
            calls.spawn(async move {
                let args = text(&"x".repeat(100 << 10));
                let context = Context::new(Duration::from_millis(600));
                call(&caller, &echo(), args, context).await
            });
        }
    }
    tokio::task::yield_now().await;
    eventually("much waits", async || {
        here.message_memory().sending > ByteSize::mib(2)
    })
    .await;
    let held = here.message_memory().sending;
    assert!(held <= QUARTER, "{held}");
    let large = text(&"x".repeat(60 << 10));
    let answer = two.call(&echo(), large.clone(), Context::default()).await;
    assert_eq!(answer, Ok(large), "a host that isn't stalled");
    while let Some(ended) = calls.join_next().await {
        let error = ended.expect("no panic").expect_err("stalled");
        assert!(
            matches!(
                error,
                CallError::Overloaded { .. }
                    | CallError::DeadlineExceeded { .. }
                    | CallError::HostLost { .. }
                    | CallError::HostGone { .. }
            ),
            "{error:?}"
        );
    }
    slow.set(Rule::Take);
    nothing_is_held(&here).await;
}
