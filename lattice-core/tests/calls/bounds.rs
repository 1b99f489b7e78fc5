//! Queues and sizes have limits, and say so.

use crate::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, Part, Ran},
    node::{ServeError, ServeLimits},
    value::to_bytes,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

#[tokio::test]
async fn a_full_queue_answers_overloaded_at_once() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(1);
    let (api, serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller(id("caller"));
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

#[tokio::test]
async fn arguments_and_results_over_the_limit_are_refused() {
    let two = two().await;
    let answer = two
        .call(&echo(), Bytes::from(vec![0; 2 << 20]), Context::default())
        .await;
    assert!(
        matches!(
            answer,
            Err(CallError::TooLarge {
                what: Part::Arguments,
                ..
            })
        ),
        "{answer:?}"
    );
    let big = function("big", "func(n: u32) -> list<u8>");
    let n = to_bytes(&(2_u32 << 20,)).expect("encodes");
    let answer = two.call(&big, n, Context::default()).await;
    let error = answer.expect_err("too large");
    assert!(
        matches!(
            error,
            CallError::TooLarge {
                what: Part::Result,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.ran(), Ran::Yes);
}

#[tokio::test]
async fn dropping_a_call_frees_its_place() {
    let two = two().await;
    let waiting = wait();
    let answer = two.call(&waiting, Bytes::new(), Context::default());
    tokio::select! {
        answer = answer => panic!("answered: {answer:?}"),
        () = two.api.started.notified() => {}
    }
    assert_eq!(two.a.in_flight(), 0);
    two.api.release.notify_one();
    two.say()
        .await
        .expect("a late reply to nobody does no harm");
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
    assert!(two.serving.stop(Duration::from_secs(1)).await);
    serve_again().await.expect("free again");
}
