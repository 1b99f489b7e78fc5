//! Which replica is called, and ways to it that were taken down and are needed again.

use super::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::{Bus, memory::MemoryBus, memory::MemoryNetwork},
    call::{CallError, Context},
    link::Locality,
    store::MemoryStore,
    subject::Subjects,
};
use lattice_sim::fault::FaultBus;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test]
async fn a_link_to_what_does_not_run_is_not_served() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    link(&lattice, "caller", "callee").await;
    let caller = node.caller(id("caller"));
    assert_eq!(
        say(&caller).await,
        Err(CallError::NotServed {
            component: id("callee")
        })
    );
    let (_api, _serving) = serve(&host(&lattice, "b").await, "callee").await;
    let answer = say(&caller).await;
    assert!(
        matches!(answer, Err(CallError::NotServed { .. })),
        "its host was dropped at once: {answer:?}"
    );
}

#[tokio::test]
async fn localities_are_kept() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (here, _here) = serve(&a, "callee").await;
    let (there, _there) = serve(&b, "callee").await;
    let caller = a.caller(id("caller"));
    let change = async |locality: Locality| {
        let link = grant("caller", "callee").locality(locality);
        lattice.links().replace(link).await.expect("put");
    };
    let go = async |locality: Locality, times: usize| {
        change(locality).await;
        for _ in 0..times {
            say(&caller).await.expect("answered");
        }
        (
            here.calls.swap(0, Ordering::SeqCst),
            there.calls.swap(0, Ordering::SeqCst),
        )
    };
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    assert_eq!(go(Locality::PreferLocal, 20).await, (20, 0));
    assert_eq!(go(Locality::LocalOnly, 20).await, (20, 0));
    let (here_calls, there_calls) = go(Locality::Anywhere, 64).await;
    assert!(
        here_calls > 0 && there_calls > 0,
        "{here_calls} {there_calls}"
    );
    change(Locality::LocalOnly).await;
    let c = host(&lattice, "c").await;
    assert_eq!(
        say(&c.caller(id("caller"))).await,
        Err(CallError::NotServed {
            component: id("callee")
        })
    );
}

#[tokio::test(start_paused = true)]
async fn ways_that_were_idle_for_long_work_again() {
    let two = two().await;
    for _ in 0..4 {
        for _ in 0..3 {
            two.say().await.expect("answered");
        }
        // Longer than an unused way is kept, at either end.
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    let refused = two.a.refused() + two.b.refused();
    assert_eq!(refused, 0, "nothing looked like a replay");
}

#[tokio::test]
async fn a_host_that_was_cut_off_and_is_back_is_called_again() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let plug = network.connect();
    let on = async |bus: MemoryBus| {
        Lattice::on(Arc::new(bus), store.clone(), "test")
            .trust_bus()
            .await
            .expect("it opens")
    };
    let (there, here) = (on(plug.clone()).await, on(network.connect()).await);
    let two = Two::across(&here, &there).await;
    for _ in 0..50 {
        two.say().await.expect("answered");
    }
    plug.disconnect();
    let lost = two.call(&wait(), Bytes::new(), Context::default()).await;
    assert!(lost.is_err(), "{lost:?}");
    plug.reconnect();
    eventually("it is called again", async || two.say().await.is_ok()).await;
    let before = two.api.calls.load(Ordering::SeqCst);
    for _ in 0..50 {
        two.say().await.expect("answered");
    }
    assert_eq!(two.api.calls.load(Ordering::SeqCst), before + 50);
}

/// More than may be tried again.
const MANY: usize = 3_000;

#[tokio::test]
async fn a_host_that_serves_no_longer_draws_no_calls_while_nobody_is_told() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let mute = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
    let on = async |bus: Arc<dyn Bus>| {
        Lattice::on(bus, store.clone(), "test")
            .trust_bus()
            .await
            .expect("it opens")
    };
    let (here, there) = (
        on(Arc::new(network.connect())).await,
        on(mute.clone()).await,
    );
    let two = Two::across(&here, &there).await;
    let elsewhere = on(Arc::new(network.connect())).await;
    let c = host(&elsewhere, "c").await;
    let (_api, _serving) = serve(&c, "callee").await;
    eventually("both replicas are known", async || {
        here.peers().serving(&id("callee")).len() == 2
    })
    .await;
    let beats = Subjects::new(here.name()).beat();
    mute.partition(move |subject| *subject == beats);
    assert!(
        two.serving
            .shutdown(Duration::from_secs(1))
            .await
            .is_clean()
    );
    let caller = two.caller;
    for call in 0..MANY {
        assert_eq!(say(&caller).await, Ok(text("x")), "call {call}");
    }
    assert_eq!(
        here.peers().serving(&id("callee")).len(),
        2,
        "it was not told"
    );
}

#[tokio::test]
async fn what_ends_on_ones_own_host_is_called_elsewhere() {
    let two = two().await;
    let (api, serving) = serve(&two.a, "callee").await;
    let caller = two.a.caller(id("caller"));
    let running = begin_wait(&caller, Context::default());
    api.started.notified().await;
    let ending = tokio::spawn(serving.shutdown(Duration::from_secs(10)));
    let outside = two.lattice.operator().component("callee");
    eventually("it takes nothing new", async || {
        api.calls.store(0, Ordering::SeqCst);
        say(&caller).await.expect("answered");
        api.calls.load(Ordering::SeqCst) == 0
    })
    .await;
    for call in 0..MANY {
        assert_eq!(say(&caller).await, Ok(text("x")), "call {call}");
        let answer: Result<String, _> = outside.call(API, "echo", ("x",)).await;
        assert_eq!(answer.as_deref(), Ok("x"), "call {call}");
    }
    assert!(!ending.is_finished(), "it waits for the call that runs");
    // Where there is no other, it says so itself.
    assert!(
        two.serving
            .shutdown(Duration::from_secs(1))
            .await
            .is_clean()
    );
    let refused = say(&caller).await.expect_err("nobody serves it");
    assert!(matches!(refused, CallError::Stopping { .. }), "{refused:?}");
    api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    assert!(ending.await.expect("joined").is_clean());
}
