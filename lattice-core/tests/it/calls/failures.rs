//! Callees that fail, and the resulting errors.

use super::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, Ran},
    serve::{Answer, Request, Service},
    types::ComponentTypes,
};
use std::sync::Arc;

#[tokio::test]
async fn a_panic_ends_only_its_own_call() {
    let two = two().await;
    for name in ["panic", "later-panic"] {
        for node in [&two.a, &two.b] {
            let caller = node.caller("caller").expect("valid");
            let panic = function(name, "func()");
            let answer = call(&caller, &panic, Bytes::new(), Context::default()).await;
            let Err(CallError::CalleeFailed { reason }) = &answer else {
                panic!("{answer:?}")
            };
            assert!(reason.contains("told to"), "{reason}");
        }
    }
    two.say().await.expect("it still serves");
}

#[tokio::test]
async fn an_error_of_the_callee_is_returned_to_the_caller() {
    let two = two().await;
    let fail = function("fail", "func()");
    let answer = two.call(&fail, Bytes::new(), Context::default()).await;
    let error = answer.expect_err("failed");
    assert_eq!(
        error,
        CallError::CalleeFailed {
            reason: "told to".to_owned()
        }
    );
    assert_eq!((error.ran(), error.is_retryable()), (Ran::Yes, false));
}

/// Fails with the error of a call that it made itself.
struct Nested(CallError);

impl Service for Nested {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Err(self.0.clone()))
    }
}

#[tokio::test]
async fn the_error_of_a_nested_call_does_not_claim_that_the_outer_call_did_not_run() {
    let component = id("callee");
    for error in [
        CallError::Overloaded {
            component: id("elsewhere"),
        },
        // The error of a call to itself.
        CallError::Overloaded {
            component: component.clone(),
        },
        CallError::Stopping {
            component: component.clone(),
        },
        CallError::BadArguments {
            reason: "of the nested call".to_owned(),
        },
        CallError::NotExported {
            component,
            interface: API.to_owned(),
            function: "elsewhere".to_owned(),
        },
        CallError::OperatorDenied,
        CallError::WormholeClosed {
            wormhole: "web".parse().expect("an id"),
            reason: "of the nested call".to_owned(),
        },
        CallError::TooManyHops { limit: 1 },
        CallError::LinkTableBehind,
        CallError::HostGone { host: host_id("z") },
        CallError::Disconnected { ran: Ran::No },
    ] {
        let lattice = lattice().await;
        let node = host(&lattice, "a").await;
        let _serving = serve_as(&node, "callee", Nested(error.clone())).await;
        link(&lattice, "caller", "callee").await;
        let failed = say(&node.caller("caller").expect("valid"))
            .await
            .expect_err("failed");
        let CallError::CalleeFailed { reason } = &failed else {
            panic!("{error:?} became {failed:?}");
        };
        assert_eq!(*reason, error.to_string());
        assert_eq!(failed.ran(), Ran::Yes);
    }
}
