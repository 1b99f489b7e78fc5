//! Calls that succeed, and calls of missing functions.

use super::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Context},
    value::from_bytes,
};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_linked_component_can_be_called_on_one_host_and_across_two() {
    let two = two().await;
    for node in [&two.a, &two.b] {
        let answer = call(
            &node.caller("caller").expect("valid"),
            &echo(),
            text("hello"),
            Context::default(),
        )
        .await;
        assert_eq!(
            from_bytes::<String>(&answer.expect("a result")).expect("a string"),
            "hello"
        );
    }
    assert_eq!(two.a.in_flight() + two.b.in_flight(), 0);
}

#[tokio::test]
async fn an_operator_calls_typed_and_untyped() {
    let two = two().await;
    let component = two.lattice.operator().component("callee");
    let typed: String = component
        .call(API, "echo", ("typed",))
        .await
        .expect("a result");
    assert_eq!(typed, "typed");
    let raw = component
        .call_encoded(API, "echo", text("raw"))
        .await
        .expect("a result");
    assert_eq!(raw.0, Bytes::from_static(b"\x03raw"));
    let wrong: Result<u64, _> = component.call(API, "echo", ("typed",)).await;
    assert!(
        matches!(wrong, Err(CallError::BadResult { .. })),
        "{wrong:?}"
    );
    let wrong: Result<String, _> = component.call(API, "echo", (7_u64, 8_u64)).await;
    assert!(
        matches!(wrong, Err(CallError::BadArguments { .. })),
        "{wrong:?}"
    );
    let wrong: Result<String, _> = component.call(API, "missing", ()).await;
    assert!(
        matches!(wrong, Err(CallError::NotExported { .. })),
        "{wrong:?}"
    );
    let wrong: Result<String, _> = component.call("no interface", "echo", ()).await;
    assert!(matches!(wrong, Err(CallError::InvalidName(_))), "{wrong:?}");
    let missing = two.lattice.operator().component("missing");
    let wrong: Result<String, _> = missing.call(API, "echo", ("x",)).await;
    assert!(
        matches!(wrong, Err(CallError::NotServed { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn operator_calls_can_be_disabled_at_the_callee() {
    let lattice = Lattice::in_memory("test")
        .deny_operator_calls()
        .await
        .expect("it opens");
    let node = host(&lattice, "a").await;
    let (api, _serving) = serve(&node, "callee").await;
    let answer: Result<String, _> = lattice
        .operator()
        .component("callee")
        .call(API, "echo", ("x",))
        .await;
    assert_eq!(answer, Err(CallError::OperatorDenied));
    assert_eq!(api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_missing_function_and_a_signature_mismatch_return_different_errors() {
    let two = two().await;
    let missing = function("missing", "func()");
    let answer = two.call(&missing, Bytes::new(), Context::default()).await;
    let Err(CallError::NotExported {
        interface,
        function: name,
        ..
    }) = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!((interface.as_str(), name.as_str()), (API, "missing"));
    let changed = function("echo", "func(text: string) -> u32");
    let answer = two.call(&changed, text("x"), Context::default()).await;
    let Err(CallError::SchemaMismatch {
        expected, found, ..
    }) = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (expected.as_str(), found.as_str()),
        ("func(text: string) -> u32", "func(text: string) -> string")
    );
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
}
