//! Calls need a grant: links that are missing, deleted, rejected, or slow to be accepted.

use super::*;
use futures_util::future::BoxFuture;
use lattice_core::{
    call::{CallError, Context, Ran},
    link::{Link, LinkStatus},
    name::LinkName,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
};
use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
};

#[tokio::test]
async fn a_call_without_a_grant_does_not_run() {
    let two = two().await;
    let error = say(&two.a.caller("unlinked").expect("valid"))
        .await
        .expect_err("refused");
    assert!(matches!(error, CallError::NotLinked { .. }), "{error:?}");
    assert_eq!(error.ran(), Ran::No);
    assert!(error.to_string().contains("add one with"), "{error}");
    let other = LinkName::new("other").expect("a name");
    let answer = two
        .caller
        .invoke_via(&echo(), &other, text("x"), Context::default())
        .await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_deleted_link_stops_calls_while_others_run() {
    let two = two().await;
    let running = begin_wait(&two.caller, Context::default());
    two.api.started.notified().await;
    let key = grant("caller", "callee").key();
    two.lattice.links().delete(&key).await.expect("deleted");
    let answer = two.say().await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    two.api.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(bytes::Bytes::new()),
        "admitted calls finish"
    );
    eventually("the provider is notified", async || {
        let links = two.api.links.lock().expect("not poisoned");
        links.last().is_some_and(|last| last == "-caller")
    })
    .await;
}

#[tokio::test]
async fn link_names_select_among_several_targets_of_one_interface() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let (one, _one) = serve(&node, "one").await;
    let (other, _other) = serve(&host(&lattice, "b").await, "one").await;
    let (two, _two) = serve(&node, "two").await;
    link(&lattice, "caller", "one").await;
    let named = grant("caller", "two").named("second").expect("a link");
    lattice.links().put(named).await.expect("put");
    let second = LinkName::new("second").expect("a name");
    let caller = node.caller("caller").expect("valid");
    caller
        .invoke_via(&echo(), &second, text("x"), Context::default())
        .await
        .expect("a result");
    assert_eq!(two.calls.load(Ordering::SeqCst), 1);
    assert_eq!(
        one.calls.load(Ordering::SeqCst) + other.calls.load(Ordering::SeqCst),
        0
    );
}

#[tokio::test]
async fn a_rejected_link_keeps_its_reason_and_fails_its_calls() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (api, _serving) = serve(&b, "callee").await;
    *api.refuse.lock().expect("not poisoned") = Some("bucket is missing".to_owned());
    link(&lattice, "caller", "callee").await;
    let caller = a.caller("caller").expect("valid");
    let answer = say(&caller).await;
    let Err(CallError::LinkRejected { reason, .. }) = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(reason, "bucket is missing");
    let key = grant("caller", "callee").key();
    let status = async || lattice.links().get(&key).map(|entry| entry.status.clone());
    eventually("the reason is kept on the link", async || {
        status().await == Some(LinkStatus::rejected("bucket is missing"))
    })
    .await;
    *api.refuse.lock().expect("not poisoned") = None;
    let better = grant("caller", "callee").config(&"better").expect("json");
    lattice.links().replace(better).await.expect("put");
    say(&caller).await.expect("a result");
    eventually("the link is active", async || {
        status().await == Some(LinkStatus::Active)
    })
    .await;
    assert_eq!(
        *api.links.lock().expect("not poisoned"),
        ["+caller null", "+caller \"better\""]
    );
}

/// Accepts a link only when it is released.
struct Slow(Arc<Api>);

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(Ok(request.args))
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let api = self.0.clone();
        Box::pin(async move {
            if link.source.as_str() == "slow" {
                api.started.notify_one();
                api.release.notified().await;
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_link_that_is_slow_to_accept_does_not_delay_others() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let api = Arc::new(Api::default());
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(usize::MAX);
    let _serving = node
        .serve(id("callee"), Arc::new(Slow(api.clone())), limits)
        .await
        .expect("it serves");
    for source in ["slow", "quick"] {
        link(&lattice, source, "callee").await;
    }
    let waiting = tokio::spawn({
        let caller = node.caller("slow").expect("valid");
        async move { say(&caller).await }
    });
    api.started.notified().await;
    say(&node.caller("quick").expect("valid"))
        .await
        .expect("not delayed");
    api.release.notify_one();
    waiting
        .await
        .expect("joined")
        .expect("a result once its link was accepted");
}
