//! Calls that fail on their way, as the guest that made them sees it.

use crate::support::*;
use bytes::Bytes;
use lattice_core::{call::CallError, serve::Answer};
use lattice_host::{Host, Limits};
use serde::Deserialize;
use std::num::NonZeroUsize;

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
async fn an_unlinked_import_fails_as_a_value_where_the_type_has_room_for_it() {
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
    // No room at all: the guest traps, and its caller is told of the cause.
    let said = reason(act::<Bytes>(&lattice, "call-out-bare", nothing()).await);
    assert!(
        said.contains("peer@0.1.0#call-bare") && said.contains("no link"),
        "{said}"
    );
}

#[tokio::test]
async fn a_link_to_what_does_not_run_says_so() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    link(&lattice, "mischief", PEER, "absent").await;
    let failed: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
        .await
        .expect("a value");
    let (kind, ran, retryable, message) = failed.expect_err("not served");
    assert_eq!((kind, ran, retryable), (3, 0, true), "{message}");
}

#[tokio::test]
async fn a_provider_that_panics_or_fails_is_told_apart_from_its_own_errors() {
    let lattice = lattice().await;
    let provider = Native::peer(|request| match &body(&request)[..] {
        b"panic" => panic!("on purpose"),
        b"later" => Answer::Later(Box::pin(async {
            tokio::task::yield_now().await;
            panic!("on purpose, later")
        })),
        b"fail" => Answer::Ready(Err(CallError::CalleeFailed {
            reason: "it would not".into(),
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
        for (what, told) in [
            ("panic", "on purpose"),
            ("later", "on purpose, later"),
            ("fail", "it would not"),
        ] {
            let failed: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::from(what),))
                .await
                .expect("a value");
            let (kind, ran, _, message) = failed.expect_err(what);
            assert_eq!((kind, ran), (15, 2), "{function} {what}: {message}");
            assert!(message.contains(told), "{function} {what}: {message}");
        }
        let said = reason(
            act::<Result<Bytes, RpcError>>(&lattice, function, (Bytes::from("garbage"),)).await,
        );
        assert!(
            said.contains("bytes that are not its result"),
            "{function}: {said}"
        );
        let fine: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::from("x"),))
            .await
            .expect("a value");
        assert_eq!(fine, Ok(Bytes::from("x")), "{function}");
    }
}

#[tokio::test]
async fn calls_that_one_instance_makes_at_once_are_bounded() {
    let lattice = lattice().await;
    let provider = Native::peer(|request| {
        Answer::Later(Box::pin(async move {
            // Lets all the others come first.
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
async fn a_failure_of_a_called_actor_is_a_value_for_its_caller() {
    let lattice = lattice().await;
    let trap = r#"(component
        (core module $m (func (export "f") unreachable))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (instance (export "a:b/c@1.0.0") (export "f" (func $f))))"#;
    let trap = lattice_host::Actor::from_bytes(wat::parse_str(trap).expect("valid text"));
    let _host = started(Host::builder(&lattice).actor("trap", trap)).await;
    let said = reason(call::<()>(&lattice, "trap", "a:b/c@1.0.0", "f", ()).await);
    assert!(said.contains("unreachable"), "{said}");
}
