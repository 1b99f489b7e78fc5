//! The limits of queues and sizes, and their errors.

use super::*;
use bytes::Bytes;
use futures_util::FutureExt;
use lattice_core::{
    call::{CallError, Context, Part, Ran},
    quantity::ByteSize,
    server::{ServeError, ServeLimits},
    value::to_bytes,
};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[tokio::test]
async fn a_full_queue_returns_overloaded_at_once() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(1);
    let (api, serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller("caller").expect("valid");
        let running = begin_wait(&caller, Context::default());
        api.started.notified().await;
        let queued = begin_wait(&caller, Context::default());
        eventually("one runs and one waits", async || serving.in_flight() == 2).await;
        let start = std::time::Instant::now();
        let context = Context::new(Duration::from_secs(5));
        let answer = call(&caller, &echo(), text("x"), context).await;
        assert_eq!(
            answer,
            Err(CallError::Overloaded {
                component: id("callee")
            })
        );
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        let refused = answer.expect_err("overloaded");
        assert_eq!((refused.ran(), refused.is_retryable()), (Ran::No, true));
        api.release.notify_one();
        api.started.notified().await;
        api.release.notify_one();
        assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
        assert_eq!(queued.await.expect("joined"), Ok(Bytes::new()));
    }
}

/// More than a message of the bus has.
const LIMIT: ByteSize = ByteSize::kib(1_500);

#[tokio::test]
async fn arguments_and_results_over_the_limit_are_rejected() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default().arguments(LIMIT).result(LIMIT);
    let (api, _serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    let big = function("big", "func(n: u32) -> list<u8>");
    for (at, node) in [&a, &b].into_iter().enumerate() {
        let caller = node.caller("caller").expect("valid");
        let args = Bytes::from(vec![0; 2 << 20]);
        let refused = call(&caller, &echo(), args, Context::default()).await;
        let error = refused.map(drop).expect_err("too large");
        let (what, limit) = parts(&error);
        assert_eq!((what, limit), (Part::Arguments, LIMIT.as_u64()));
        assert_eq!((error.ran(), error.is_retryable()), (Ran::No, false));
        assert_eq!(api.calls.load(Ordering::SeqCst), at, "nothing ran");

        let n = to_bytes(&(2_u32 << 20,)).expect("encodes");
        let refused = call(&caller, &big, n, Context::default()).await;
        let error = refused.map(drop).expect_err("too large");
        let (what, limit) = parts(&error);
        assert_eq!((what, limit), (Part::Result, LIMIT.as_u64()));
        assert_eq!((error.ran(), error.is_retryable()), (Ran::Yes, false));
        assert_eq!(api.calls.load(Ordering::SeqCst), at + 1, "it ran once");
    }
}

fn parts(error: &CallError) -> (Part, u64) {
    match error {
        CallError::TooLarge { what, limit } => (*what, *limit),
        other => panic!("{other:?}"),
    }
}

/// Bytes that are counted until the last reference is dropped.
struct Held(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn dropping_a_call_frees_its_resources() {
    let two = two().await;
    let held = Arc::new(AtomicUsize::new(0));
    // More calls than a host runs at once, with more bytes than the window for large calls.
    for (node, size) in [(&two.a, 0), (&two.a, 200 << 10), (&two.b, 200 << 10)] {
        let caller = node.caller("caller").expect("valid");
        for _ in 0..500 {
            held.fetch_add(1, Ordering::SeqCst);
            let args = Bytes::from_owner(Held(vec![0; size], held.clone()));
            let context = Context::new(Duration::from_millis(100));
            let function = wait();
            let begun = call(&caller, &function, args, context).now_or_never();
            assert_eq!(begun, None, "it waits until it is released");
        }
        assert_eq!(node.in_flight(), 0);
        eventually("the arguments are dropped", async || {
            held.load(Ordering::SeqCst) == 0
        })
        .await;
        let large = text(&"x".repeat(200 << 10));
        let answer = call(&caller, &echo(), large, Context::default()).await;
        answer.expect("there is room for another call");
    }
    // On the same host the call ends with the future.
    let caller = two.b.caller("caller").expect("valid");
    eventually("the remote calls ended", async || {
        two.serving.in_flight() == 0
    })
    .await;
    let running = two.api.running.load(Ordering::SeqCst);
    // The reply to one of the earlier calls.
    let _ = two.api.started.notified().now_or_never();
    let (function, args) = (wait(), Bytes::new());
    let mut waiting = Box::pin(call(&caller, &function, args, Context::default()));
    tokio::select! {
        answer = &mut waiting => panic!("it ended: {answer:?}"),
        () = two.api.started.notified() => {}
    }
    assert_eq!(two.serving.in_flight(), 1);
    drop(waiting);
    assert_eq!(two.serving.in_flight(), 0);
    assert_eq!(two.api.running.load(Ordering::SeqCst), running);
}

#[tokio::test]
async fn a_late_reply_to_a_dropped_call_is_ignored() {
    let two = two().await;
    let waiting = wait();
    let answer = two.call(&waiting, Bytes::new(), Context::default());
    tokio::select! {
        answer = answer => panic!("it ended: {answer:?}"),
        () = two.api.started.notified() => {}
    }
    assert_eq!(two.a.in_flight(), 0);
    two.api.release.notify_one();
    two.say().await.expect("a result");
}

#[tokio::test]
async fn one_id_is_served_once_per_host() {
    let two = two().await;
    let serve_again = async || {
        let service = Arc::new(Serve(Arc::default()));
        two.b
            .serve(id("callee"), service, ServeLimits::default())
            .await
    };
    let again = serve_again().await;
    assert!(
        matches!(again, Err(ServeError::AlreadyServed { .. })),
        "{again:?}"
    );
    assert!(
        two.serving
            .shutdown(Duration::from_secs(1))
            .await
            .is_clean()
    );
    serve_again().await.expect("the id is free again");
}
