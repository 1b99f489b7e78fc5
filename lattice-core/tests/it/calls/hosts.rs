//! Hosts that die and hosts that leave, with calls in flight.

use super::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    bus::memory::MemoryNetwork,
    call::{CallError, Context, Ran},
    client::Caller,
    serve::{Answer, Request, Service},
    server::{ServeError, ServeLimits},
    store::MemoryStore,
    type_store::PublishError,
    types::ComponentTypes,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

#[tokio::test]
async fn calls_to_a_killed_host_end() {
    let two = two().await;
    two.say().await.expect("a result");
    let running = begin_wait(&two.caller, Context::new(Duration::from_secs(10)));
    two.api.started.notified().await;
    let start = std::time::Instant::now();
    two.b.kill();
    let lost = running.await.expect("joined").expect_err("lost");
    assert_eq!(lost, CallError::HostLost { host: host_id("b") });
    assert_eq!((lost.ran(), lost.is_retryable()), (Ran::Maybe, true));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let next = two.say().await.expect_err("no host serves it");
    assert_eq!(next.ran(), Ran::No, "{next:?}");
    drop(two.serving);
}

#[tokio::test]
async fn another_replica_takes_over_from_a_killed_host() {
    let two = two().await;
    let c = host(&two.lattice, "c").await;
    let (_api, _serving) = serve(&c, "callee").await;
    eventually("both replicas are known", async || {
        two.lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    two.b.kill();
    let mut lost = 0;
    for _ in 0..32 {
        match two.say().await {
            Ok(_) => {}
            // These calls were in flight when the host was killed.
            Err(CallError::HostLost { host }) if host == host_id("b") => lost += 1,
            Err(other) => panic!("the other replica should reply: {other}"),
        }
    }
    assert!(
        lost <= 1,
        "{lost} calls went to a host that is known to be lost"
    );
}

#[tokio::test]
async fn only_idempotent_calls_are_retried_at_another_replica() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let (b, c) = (host(&lattice, "b").await, host(&lattice, "c").await);
    let (one, _one) = serve(&b, "callee").await;
    let (two, _two) = serve(&c, "callee").await;
    let twice = grant("caller", "callee")
        .idempotent(["wait"])
        .expect("a link");
    lattice.links().put(twice).await.expect("put");
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    let context = Context::new(Duration::from_secs(10));
    let running = begin_wait(&a.caller("caller").expect("valid"), context);
    tokio::select! {
        () = one.started.notified() => { b.kill(); two.started.notified().await; two.release.notify_one(); }
        () = two.started.notified() => { c.kill(); one.started.notified().await; one.release.notify_one(); }
    }
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
}

#[tokio::test]
async fn a_retry_that_did_not_run_keeps_the_certainty_of_the_first_attempt() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let (b, c) = (host(&lattice, "b").await, host(&lattice, "c").await);
    let alone = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(0);
    let (one, _one) = serve_within(&b, "callee", alone).await;
    let (two, _two) = serve_within(&c, "callee", alone).await;
    let twice = grant("caller", "callee").idempotent(["wait"]);
    let twice = lattice.links().put(twice.expect("a link")).await;
    twice.expect("put");
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    let caller = a.caller("caller").expect("valid");
    let lost = begin_wait(&caller, Context::new(Duration::from_secs(10)));
    let doomed = tokio::select! {
        () = one.started.notified() => &b,
        () = two.started.notified() => &c,
    };
    // Fills the other replica, so that it returns `Overloaded`.
    let filling = begin_wait(&caller, Context::new(Duration::from_secs(10)));
    tokio::select! {
        () = one.started.notified() => {}
        () = two.started.notified() => {}
    }
    doomed.kill();
    let lost = lost.await.expect("joined").expect_err("lost");
    assert_eq!(lost.ran(), Ran::Maybe, "{lost:?}");
    one.release.notify_one();
    two.release.notify_one();
    assert_eq!(filling.await.expect("joined"), Ok(Bytes::new()));
}

#[tokio::test]
async fn a_leaving_host_finishes_its_calls() {
    let two = two().await;
    let running = begin_wait(&two.caller, Context::default());
    two.api.started.notified().await;
    let leaving = tokio::spawn({
        let b = two.b.clone();
        async move { b.shutdown(Duration::from_secs(5)).await }
    });
    eventually("it takes no new calls", async || {
        two.say().await.is_err_and(|error| error.ran() == Ran::No)
    })
    .await;
    two.api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    assert!(leaving.await.expect("joined").is_clean(), "it drained");
    let service = Arc::new(Serve(Arc::default()));
    let refused = two
        .b
        .serve(id("more"), service, ServeLimits::default())
        .await;
    assert!(
        matches!(refused, Err(ServeError::Leaving { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_host_with_another_key_is_not_found() {
    let store = Arc::new(MemoryStore::new());
    let join = async |key: &str| {
        let bus = Arc::new(MemoryNetwork::new().connect());
        let key = LatticeKey::from_hex(&key.repeat(32)).expect("a key");
        let lattice = Lattice::on(bus, store.clone(), "dev").key(key).await;
        lattice.expect("it joins")
    };
    let (ours, theirs) = (join("01").await, join("02").await);
    link(&ours, "caller", "callee").await;
    eventually("its records are seen", async || {
        theirs.replica().check_key().is_err()
    })
    .await;
    let service = Arc::new(Serve(Arc::default()));
    let refused = host(&theirs, "b")
        .await
        .serve(id("callee"), service, ServeLimits::default())
        .await;
    assert!(
        matches!(
            &refused,
            Err(ServeError::Publish {
                source: PublishError::OtherKey { .. },
                ..
            })
        ),
        "{refused:?}"
    );
}

/// Calls `callee` on the same host through its own link, once it is released.
struct Relay(Caller, Arc<Api>);

impl Service for Relay {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        let (caller, api) = (self.0.clone(), self.1.clone());
        Answer::Later(Box::pin(async move {
            api.started.notify_one();
            api.release.notified().await;
            call(&caller, &echo(), request.args, request.context.nested()).await
        }))
    }
}

#[tokio::test]
async fn a_leaving_host_serves_the_nested_calls_of_its_last_calls() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_api, _callee) = serve(&b, "callee").await;
    let gate = Arc::new(Api::default());
    let relay = Relay(b.caller("relay").expect("valid"), gate.clone());
    let _relay = serve_as(&b, "relay", relay).await;
    link(&lattice, "relay", "callee").await;
    link(&lattice, "caller", "relay").await;
    let caller = a.caller("caller").expect("valid");
    let running = tokio::spawn(async move { say(&caller).await });
    gate.started.notified().await;
    let leaving = tokio::spawn({
        let b = b.clone();
        async move { b.shutdown(Duration::from_secs(5)).await }
    });
    eventually("it has said goodbye", async || {
        lattice.peers().serving(&id("relay")).is_empty()
    })
    .await;
    gate.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(text("x")),
        "the relay still reaches the callee on its host"
    );
    assert!(leaving.await.expect("joined").is_clean(), "it drained");
}
