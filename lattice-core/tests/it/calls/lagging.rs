//! A target whose link table is behind the caller's waits briefly for the link, and then returns an
//! error.

use super::*;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Context, Ran},
    client::Caller,
    replica::{MAX_WAIT, MAX_WAITERS},
    store::MemoryStore,
};
use lattice_sim::fault::FaultStore;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// The allowance for the transport of a reply.
const WAY: Duration = Duration::from_millis(50);

/// Puts a link of `late` that only the caller's host has seen.
struct Scene {
    two: Two,
    late: Caller,
    store: FaultStore,
}

impl Scene {
    async fn set() -> Self {
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let slow = FaultStore::new(Arc::new(store.clone()), 1);
        let here = Lattice::on(Arc::new(network.connect()), Arc::new(store), "test").trust_bus();
        let there =
            Lattice::on(Arc::new(network.connect()), Arc::new(slow.clone()), "test").trust_bus();
        let (here, there) = (
            here.await.expect("it opens"),
            there.await.expect("it opens"),
        );
        let two = Two::across(&here, &there).await;
        two.say().await.expect("a result");
        slow.partition();
        link(&here, "late", "callee").await;
        Self {
            late: two.a.caller("late").expect("valid"),
            two,
            store: slow,
        }
    }

    /// Returns how often `late` has called the callee.
    fn ran(&self) -> usize {
        self.two.api.calls.load(Ordering::SeqCst) - 1
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_sees_the_link_returns_an_error_and_runs_nothing() {
    let scene = Scene::set().await;
    let start = Instant::now();
    let context = Context::new(Duration::from_secs(5));
    let error = call(&scene.late, &echo(), text("x"), context)
        .await
        .expect_err("behind");
    assert_eq!(error, CallError::LinkTableBehind);
    assert_eq!((error.ran(), error.is_retryable()), (Ran::No, true));
    let took = start.elapsed();
    assert!((MAX_WAIT..=MAX_WAIT + WAY).contains(&took), "{took:?}");
    scene
        .two
        .say()
        .await
        .expect("it serves over the links that it has seen");
    scene.store.heal();
    eventually("the table has caught up", async || {
        say(&scene.late).await.is_ok()
    })
    .await;
    assert_eq!(
        scene.ran(),
        2,
        "one call of each, and the rejected call never"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_catches_up_in_time_runs_the_call() {
    let scene = Scene::set().await;
    let start = Instant::now();
    let call = tokio::spawn({
        let late = scene.late.clone();
        async move { say(&late).await }
    });
    sleep(MAX_WAIT / 2).await;
    assert!(!call.is_finished());
    assert_eq!(scene.ran(), 0);
    scene.store.heal();
    assert_eq!(call.await.expect("joined"), Ok(text("x")));
    let took = start.elapsed();
    assert!(took <= MAX_WAIT / 2 + WAY, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait() {
    let scene = Scene::set().await;
    let (start, patience) = (Instant::now(), Duration::from_millis(300));
    let ended = call(&scene.late, &echo(), text("x"), Context::new(patience)).await;
    assert!(ended.is_err(), "{ended:?}");
    let took = start.elapsed();
    assert!(took <= patience + WAY, "{took:?}");
    scene.store.heal();
    sleep(MAX_WAIT).await;
    assert_eq!(scene.ran(), 0, "it came too late");
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_bounded_and_others_fail_at_once() {
    const MORE: usize = 50;
    let scene = Scene::set().await;
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..MAX_WAITERS + MORE {
        let late = scene.late.clone();
        let context = Context::new(Duration::from_secs(5));
        calls.spawn(async move {
            let ended = call(&late, &echo(), text("x"), context).await;
            (ended, start.elapsed())
        });
    }
    let mut at_once = 0;
    for (ended, took) in calls.join_all().await {
        assert_eq!(ended, Err(CallError::LinkTableBehind));
        at_once += usize::from(took <= WAY);
        assert!(took <= MAX_WAIT + WAY, "{took:?}");
    }
    assert_eq!(at_once, MORE);
    assert_eq!(scene.ran(), 0);
    scene.store.heal();
    eventually("the table has caught up", async || {
        say(&scene.late).await.is_ok()
    })
    .await;
}
