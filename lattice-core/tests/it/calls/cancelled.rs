//! Calls that have no waiting caller any more: the caller dropped them, or its host died.

use super::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::{MemoryBus, MemoryNetwork},
    call::{CallError, Context, Ran},
    store::MemoryStore,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

fn long() -> Context {
    Context::new(Duration::from_secs(600))
}

#[tokio::test]
async fn a_dropped_call_ends_at_its_callee_wherever_it_runs() {
    let two = two().await;
    for node in [&two.b, &two.a] {
        let caller = node.caller("caller").expect("valid");
        let (dropped, kept) = (begin_wait(&caller, long()), begin_wait(&caller, long()));
        eventually("both run", async || {
            two.api.running.load(Ordering::SeqCst) == 2
        })
        .await;
        dropped.abort();
        eventually("one has ended", async || {
            two.api.running.load(Ordering::SeqCst) == 1
        })
        .await;
        assert_eq!(two.serving.in_flight(), 1, "its slot is free");
        two.api.release.notify_one();
        assert_eq!(kept.await.expect("joined"), Ok(Bytes::new()));
    }
    assert_eq!(two.a.in_flight(), 0);
    assert_eq!((two.a.refused(), two.b.refused()), (0, 0));
}

#[tokio::test]
async fn many_calls_that_are_dropped_at_once_all_end() {
    let two = two().await;
    let calls: Vec<_> = (0..200).map(|_| begin_wait(&two.caller, long())).collect();
    eventually("all run", async || {
        two.api.running.load(Ordering::SeqCst) == 200
    })
    .await;
    for call in &calls {
        call.abort();
    }
    eventually("all have ended", async || {
        two.api.running.load(Ordering::SeqCst) == 0 && two.serving.in_flight() == 0
    })
    .await;
    two.say().await.expect("it still serves");
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_host_that_died_end_at_their_callees() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let on = async |bus: MemoryBus| {
        let lattice = Lattice::on(Arc::new(bus), store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    };
    let (here, there) = (on(network.connect()).await, on(network.connect()).await);
    let two = Two::across(&here, &there).await;
    let running = begin_wait(&two.caller, long());
    two.api.started.notified().await;
    two.a.kill();
    let ended = running.await.expect("joined").expect_err("it is cut off");
    assert_eq!(ended, CallError::Disconnected { ran: Ran::Maybe });
    eventually("its call has ended there", async || {
        two.api.running.load(Ordering::SeqCst) == 0 && two.serving.in_flight() == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_boot_end_as_soon_as_its_host_starts_again() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let on = async |bus: MemoryBus| {
        let lattice = Lattice::on(Arc::new(bus), store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    };
    let (here, there) = (on(network.connect()).await, on(network.connect()).await);
    let two = Two::across(&here, &there).await;
    let running = begin_wait(&two.caller, long());
    two.api.started.notified().await;
    two.a.kill();
    let start = tokio::time::Instant::now();
    let _again = host(&here, "a").await;
    eventually("its call has ended there", async || {
        two.api.running.load(Ordering::SeqCst) == 0
    })
    .await;
    // Before its silence is noticed.
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert!(running.await.expect("joined").is_err());
}
