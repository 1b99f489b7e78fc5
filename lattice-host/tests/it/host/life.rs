//! Hosts end as documented and release everything.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Ran},
    link::Link,
    node::NodeOptions,
};
use lattice_host::{Engine, Host, Instances};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// A host that runs a call from another program: an actor that waits for a provider.
struct Busy {
    other: Lattice,
    host: Host,
    call: JoinHandle<Result<Result<Bytes, RpcError>, CallError>>,
    permits: Arc<Semaphore>,
}

impl Busy {
    async fn host() -> Self {
        let (other, home) = two_programs().await;
        let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let host = Host::builder(&home)
            .actor("mischief", actor("mischief"))
            .provider("peer", gated(&permits, &entered).serve());
        let host = started(host).await;
        link(&home, "mischief", PEER, "peer").await;
        let lattice = other.clone();
        let args = (Bytes::from("x"),);
        let call = tokio::spawn(async move { act(&lattice, "call-out", args).await });
        entered.acquire().await.expect("it stays open").forget();
        Self {
            other,
            host,
            call,
            permits,
        }
    }

    fn is_known(&self) -> bool {
        let peers = self.other.peers();
        peers.iter().any(|peer| peer.origin.host == *self.host.id())
    }

    async fn refuses(&self) {
        let error = act::<u32>(&self.other, "count", ())
            .await
            .expect_err("no host serves it");
        assert!(matches!(error, CallError::NotServed { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_announces_the_departure_and_lets_calls_finish() {
    let busy = Busy::host().await;
    assert!(busy.is_known());
    let host = busy.host.clone();
    let mut shutdown = tokio::spawn(async move { host.shutdown(Duration::from_mins(1)).await });
    // Too short for the host to be dropped for missed heartbeats.
    tokio::time::timeout(Duration::from_secs(1), &mut shutdown)
        .await
        .expect_err("a call still runs");
    assert!(!busy.is_known(), "its departure was announced");
    busy.refuses().await;
    busy.permits.add_permits(1);
    assert!(
        shutdown.await.expect("no panic").is_clean(),
        "everything finished"
    );
    assert!(busy.host.components().is_empty());
    busy.refuses().await;
    let back = busy.call.await.expect("no panic").expect("answered");
    assert_eq!(back, Ok(Bytes::from("x")));
}

#[tokio::test(start_paused = true)]
async fn shutdown_cuts_off_calls_when_its_time_is_over() {
    let busy = Busy::host().await;
    let drained = busy.host.shutdown(Duration::from_millis(500)).await;
    assert!(!drained.is_clean(), "a call was still running");
    assert!(busy.host.components().is_empty());
    busy.refuses().await;
    let error = busy
        .call
        .await
        .expect("no panic")
        .expect_err("it was cut off");
    assert!(matches!(error, CallError::HostLost { .. }), "{error:?}");
    assert_eq!(error.ran(), Ran::Maybe);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_host() {
    let lattice = lattice().await;
    let engine = Engine::builder()
        .without_cache()
        .build()
        .expect("an engine");
    let provider: Arc<dyn lattice_core::serve::Service> = Native::peer(echoing).serve();
    let weak: Weak<dyn lattice_core::serve::Service> = Arc::downgrade(&provider);
    let host = Host::builder(&lattice)
        .engine(engine.clone())
        .actor("mischief", actor("mischief").instances(Instances::warm()))
        .provider("peer", provider);
    let host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    for function in ["call-out", "call-async"] {
        let back: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::new(),))
            .await
            .expect("answered");
        back.expect("a body");
    }
    let clone = host.clone();
    drop(host);
    assert_eq!(clone.components().len(), 2, "a clone keeps the host alive");
    drop(clone);
    let gone = async {
        while weak.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("its components are dropped");
    let error = act::<u32>(&lattice, "count", ())
        .await
        .expect_err("no host serves it");
    assert_ne!(error.ran(), Ran::Yes, "{error:?}");
}

#[tokio::test]
async fn the_other_replica_takes_the_calls_of_a_killed_host() {
    let lattice = lattice().await;
    let one = host_of(&lattice, "mischief", |actor| actor).await;
    let two = host_of(&lattice, "mischief", |actor| actor).await;
    let _: u32 = act(&lattice, "count", ()).await.expect("answered");
    one.kill();
    let deadline = std::time::Instant::now() + PATIENCE;
    for _ in 0..20 {
        // The first calls may still have been sent to the dead host.
        while let Err(error) = act::<u32>(&lattice, "count", ()).await {
            assert!(error.is_retryable(), "{error:?}");
            assert!(std::time::Instant::now() < deadline, "{error:?}");
        }
    }
    assert_eq!(two.components().len(), 1);
}

#[tokio::test]
async fn stopping_an_unknown_component_fails_with_its_name() {
    let lattice = lattice().await;
    let host = started(Host::builder(&lattice)).await;
    let error = host
        .stop("absent", Duration::ZERO)
        .await
        .expect_err("no such component");
    assert!(error.to_string().contains("`absent`"), "{error}");
}

#[tokio::test]
async fn a_link_to_a_component_without_the_interface_is_refused() {
    let lattice = lattice().await;
    let other = wat("(component)");
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .actor("other", other);
    let _host = started(host).await;
    let link = Link::new("mischief", PEER, "other").expect("a link");
    let error = lattice
        .links()
        .put(link)
        .await
        .expect_err("it doesn't export the interface");
    assert!(error.to_string().contains("other"), "{error}");
}

/// Heartbeats with such labels would be refused by every other host.
#[tokio::test]
async fn labels_that_no_heartbeat_can_carry_are_refused_at_the_start() {
    let lattice = Lattice::in_memory("dev").await.expect("a lattice");
    let twice = Host::builder(&lattice).label("a", "1").label("a", "2");
    let error = twice.start().await.expect_err("twice").to_string();
    assert!(error.contains("`a` is given twice"), "{error}");
    let mut many = (Host::builder(&lattice), NodeOptions::default());
    for at in 0..65 {
        let name = format!("l{at}");
        many = (many.0.label(&name, "x"), many.1.label(&name, "x"));
    }
    let error = many.0.start().await.expect_err("too many").to_string();
    assert!(error.contains("at most 64 labels"), "{error}");
    let error = lattice
        .node(many.1)
        .await
        .expect_err("too many")
        .to_string();
    assert!(error.contains("at most 64 labels"), "{error}");
    assert_eq!(lattice.peers().iter().count(), 0);
}
