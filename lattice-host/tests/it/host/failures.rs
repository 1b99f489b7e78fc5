//! Failed calls, as the guest that makes them receives them.

use super::support::*;
use bytes::Bytes;
use lattice_core::{call::CallError, serve::Answer};
use lattice_host::{Host, Instances, Limits};
use serde::Deserialize;
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug, PartialEq, Deserialize)]
enum Busy {
    Busy,
    Other(String),
}

#[derive(Debug, PartialEq, Deserialize)]
enum NoneLeft {
    NoneLeft,
    Unavailable(Option<String>),
}

#[tokio::test]
async fn an_unlinked_import_fails_as_a_value_if_its_type_has_one_and_else_traps() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    let nothing = || (Bytes::new(),);
    for function in ["call-out", "call-async"] {
        let failed: Result<Bytes, RpcError> =
            act(&lattice, function, nothing()).await.expect("a value");
        let (kind, ran, retryable, message) = failed.expect_err("not linked");
        assert_eq!(
            (kind, ran, retryable),
            (0, 0, false),
            "{function}: {message}"
        );
        assert!(message.contains(PEER), "{message}");
    }
    let failed: Result<Bytes, String> = act(&lattice, "call-out-string", nothing())
        .await
        .expect("a value");
    assert!(failed.expect_err("not linked").contains(PEER));
    let failed: Result<Bytes, Busy> = act(&lattice, "call-out-other", nothing())
        .await
        .expect("a value");
    assert!(matches!(failed, Err(Busy::Other(text)) if text.contains(PEER)));
    let failed: Result<Bytes, NoneLeft> = act(&lattice, "call-out-unavailable", nothing())
        .await
        .expect("a value");
    assert!(matches!(failed, Err(NoneLeft::Unavailable(Some(text))) if text.contains(PEER)));
    // The type has no value for a failure: the guest traps, and its caller receives the cause.
    let message = reason(act::<Bytes>(&lattice, "call-out-bare", nothing()).await);
    assert!(
        message.contains("peer@0.1.0#call-bare") && message.contains("no link"),
        "{message}"
    );
}

#[tokio::test]
async fn a_call_to_a_target_that_is_not_running_fails_as_not_served() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    link(&lattice, "mischief", PEER, "absent").await;
    let failed: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
        .await
        .expect("a value");
    let (kind, ran, retryable, message) = failed.expect_err("not served");
    assert_eq!((kind, ran, retryable), (3, 0, true), "{message}");
}

/// A link can be put before its target is known. Then only a call shows that the two don't fit.
#[tokio::test]
async fn a_call_to_a_target_that_does_not_fit_fails_as_a_value_and_never_runs() {
    let without = vec![("call-bare", "func(body: list<u8>) -> list<u8>".to_owned())];
    let unlike = vec![
        ("call", "func(body: string)".to_owned()),
        // The right type, but of a plain function.
        (
            "call-async",
            format!("func(body: list<u8>) -> result<list<u8>, {RPC_ERROR}>"),
        ),
    ];
    for (exports, expected, part) in [
        (without, 4, "does not export"),
        (unlike, 5, "for the caller"),
    ] {
        for same in [true, false] {
            let (here, there) = two_programs().await;
            let _mischief = host_of(&here, "mischief", |actor| actor).await;
            link(&here, "mischief", PEER, "peer").await;
            let ran = Arc::new(AtomicBool::new(false));
            let mut peer = Native::default();
            for (name, signature) in &exports {
                let runs = ran.clone();
                peer = peer.function(PEER, name, signature, move |request| {
                    runs.store(true, Ordering::SeqCst);
                    Answer::Ready(Ok(request.args))
                });
            }
            let home = if same { &here } else { &there };
            let _peer = started(Host::builder(home).provider("peer", peer.serve())).await;
            served(&here, "peer").await;
            for function in ["call-out", "call-async"] {
                let failed: Result<Bytes, RpcError> = act(&here, function, (Bytes::new(),))
                    .await
                    .expect("a value");
                let (kind, did_run, retryable, message) = failed.expect_err("they don't fit");
                assert_eq!(
                    (kind, did_run, retryable),
                    (expected, 0, false),
                    "{function}, same host: {same}: {message}"
                );
                assert!(message.contains(part), "{message}");
            }
            assert!(!ran.load(Ordering::SeqCst), "same host: {same}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_panics_or_fails_is_reported_as_callee_failed() {
    let lattice = lattice().await;
    let provider = Native::peer(|request| match &body(&request)[..] {
        b"panic" => panic!("on purpose"),
        b"later" => Answer::Later(Box::pin(async {
            tokio::task::yield_now().await;
            panic!("on purpose, later")
        })),
        b"fail" => Answer::Ready(Err(CallError::CalleeFailed {
            reason: "refused on purpose".into(),
        })),
        b"garbage" => Answer::Ready(Ok(Bytes::from_static(b"\x07garbage"))),
        _ => echoing(request),
    });
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .provider("peer", provider.serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    for function in ["call-out", "call-async"] {
        for (what, reason) in [
            ("panic", "on purpose"),
            ("later", "on purpose, later"),
            ("fail", "refused on purpose"),
        ] {
            let failed: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::from(what),))
                .await
                .expect("a value");
            let (kind, ran, _, message) = failed.expect_err(what);
            assert_eq!((kind, ran), (15, 2), "{function} {what}: {message}");
            assert!(message.contains(reason), "{function} {what}: {message}");
        }
        let message = reason(
            act::<Result<Bytes, RpcError>>(&lattice, function, (Bytes::from("garbage"),)).await,
        );
        assert!(
            message.contains("bytes that are not a valid result"),
            "{function}: {message}"
        );
        let fine: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::from("x"),))
            .await
            .expect("a value");
        assert_eq!(fine, Ok(Bytes::from("x")), "{function}");
    }
}

#[tokio::test]
async fn concurrent_calls_of_one_instance_are_bounded() {
    let lattice = lattice().await;
    let provider = Native::peer(|request| {
        Answer::Later(Box::pin(async move {
            // Lets all other calls arrive first.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            answer(&body(&request))
        }))
    });
    let limits = Limits::default().outgoing(NonZeroUsize::new(5).expect("not zero"));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").limits(limits))
        .provider("peer", provider.serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    let answered: u32 = act(&lattice, "flood", (20_u32, Bytes::from("x")))
        .await
        .expect("answered");
    assert_eq!(answered, 5);
}

#[tokio::test]
async fn a_trap_of_a_called_actor_is_a_value_for_its_caller() {
    for instances in [Instances::Fresh, Instances::warm()] {
        for same in [true, false] {
            let (here, there) = two_programs().await;
            let _mischief = host_of(&here, "mischief", |actor| actor.instances(instances)).await;
            let home = if same { &here } else { &there };
            let called = actor("mischief").instances(instances);
            let _called = started(Host::builder(home).actor("called", called)).await;
            served(&here, "called").await;
            link(&here, "mischief", PEER, "called").await;
            for function in ["call-out", "call-async"] {
                let at = format!("{function}, {instances:?}, same host: {same}");
                let call_with =
                    |body| act::<Result<Bytes, RpcError>>(&here, function, (Bytes::from(body),));
                let failed = call_with("trap").await.expect("a value");
                let (kind, ran, retryable, message) = failed.expect_err("it traps");
                assert_eq!((kind, ran, retryable), (15, 2, false), "{at}: {message}");
                assert!(message.contains("unreachable"), "{at}: {message}");
                // Both actors still work.
                let fine = call_with("x").await.expect("a value");
                assert_eq!(fine, Ok(Bytes::from("x")), "{at}");
            }
        }
    }
}
