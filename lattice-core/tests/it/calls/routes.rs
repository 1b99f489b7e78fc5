//! The choice of a replica, and connections that were closed and are needed again.

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
async fn a_call_to_a_component_that_does_not_run_returns_not_served() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    link(&lattice, "caller", "callee").await;
    let caller = node.caller("caller").expect("valid");
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
async fn localities_are_respected() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (here, _here) = serve(&a, "callee").await;
    let (there, _there) = serve(&b, "callee").await;
    let caller = a.caller("caller").expect("valid");
    let change = async |locality: Locality| {
        let link = grant("caller", "callee").locality(locality);
        lattice.links().replace(link).await.expect("put");
    };
    let go = async |locality: Locality, times: usize| {
        change(locality).await;
        for _ in 0..times {
            say(&caller).await.expect("a result");
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
        say(&c.caller("caller").expect("valid")).await,
        Err(CallError::NotServed {
            component: id("callee")
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_works_again() {
    let two = two().await;
    for _ in 0..4 {
        for _ in 0..3 {
            two.say().await.expect("a result");
        }
        // Longer than either end keeps an unused connection.
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    let refused = two.a.refused() + two.b.refused();
    assert_eq!(refused, 0, "nothing looked like a replay");
}

#[tokio::test]
async fn a_host_is_called_again_after_its_partition_heals() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let connection = network.connect();
    let on = async |bus: MemoryBus| {
        Lattice::on(Arc::new(bus), store.clone(), "test")
            .trust_bus()
            .await
            .expect("it opens")
    };
    let (there, here) = (on(connection.clone()).await, on(network.connect()).await);
    let two = Two::across(&here, &there).await;
    for _ in 0..50 {
        two.say().await.expect("a result");
    }
    connection.disconnect();
    let lost = two.call(&wait(), Bytes::new(), Context::default()).await;
    assert!(lost.is_err(), "{lost:?}");
    connection.reconnect();
    eventually("it is called again", async || two.say().await.is_ok()).await;
    let before = two.api.calls.load(Ordering::SeqCst);
    for _ in 0..50 {
        two.say().await.expect("a result");
    }
    assert_eq!(two.api.calls.load(Ordering::SeqCst), before + 50);
}

/// More calls than the retry budget allows to be retried.
const MANY: usize = 3_000;

#[tokio::test]
async fn a_host_that_stopped_serving_gets_no_calls_before_its_next_beat() {
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
        "no beat has reported it"
    );
}

#[tokio::test]
async fn calls_move_to_other_hosts_when_the_local_component_stops() {
    let two = two().await;
    let (api, serving) = serve(&two.a, "callee").await;
    let caller = two.a.caller("caller").expect("valid");
    let running = begin_wait(&caller, Context::default());
    api.started.notified().await;
    let ending = tokio::spawn(serving.shutdown(Duration::from_secs(10)));
    let outside = two.lattice.operator().component("callee");
    eventually("it takes no new calls", async || {
        api.calls.store(0, Ordering::SeqCst);
        say(&caller).await.expect("a result");
        api.calls.load(Ordering::SeqCst) == 0
    })
    .await;
    for call in 0..MANY {
        assert_eq!(say(&caller).await, Ok(text("x")), "call {call}");
        let answer: Result<String, _> = outside.call(API, "echo", ("x",)).await;
        assert_eq!(answer.as_deref(), Ok("x"), "call {call}");
    }
    assert!(!ending.is_finished(), "it waits for the running call");
    // Without another replica, the host itself returns the error.
    assert!(
        two.serving
            .shutdown(Duration::from_secs(1))
            .await
            .is_clean()
    );
    let refused = say(&caller).await.expect_err("no host serves it");
    assert!(matches!(refused, CallError::Stopping { .. }), "{refused:?}");
    api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    assert!(ending.await.expect("joined").is_clean());
}

#[tokio::test]
async fn a_component_that_has_moved_is_called_before_a_heartbeat_names_its_new_host() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let mute = || Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
    let (first, second) = (mute(), mute());
    let on = async |bus: Arc<dyn Bus>| {
        Lattice::on(bus, store.clone(), "test")
            .trust_bus()
            .await
            .expect("it opens")
    };
    let (here, there) = (
        on(Arc::new(network.connect())).await,
        on(first.clone()).await,
    );
    let two = Two::across(&here, &there).await;
    let elsewhere = on(second.clone()).await;
    let c = host(&elsewhere, "c").await;
    eventually("the replica is known", async || {
        here.peers().serving(&id("callee")).len() == 1
    })
    .await;
    let beats = Subjects::new(here.name()).beat();
    for bus in [&first, &second] {
        let beats = beats.clone();
        bus.partition(move |subject| *subject == beats);
    }
    let (api, _serving) = serve(&c, "callee").await;
    let stopped = two.serving.shutdown(Duration::from_secs(1)).await;
    assert!(stopped.is_clean());
    assert_eq!(say(&two.caller).await, Ok(text("x")));
    assert_eq!(api.calls.load(Ordering::SeqCst), 1);
}
