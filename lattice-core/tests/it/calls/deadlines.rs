//! Every call ends by its deadline, which is sent with it.

use super::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, MAX_HOPS, Ran},
    server::ServeLimits,
    value::from_bytes,
};
use std::{num::NonZeroUsize, sync::atomic::Ordering, time::Duration};

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
        let running = begin_wait(&caller, Context::new(Duration::from_millis(400)));
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
            start.elapsed() < Duration::from_millis(350),
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
