//! CPU time in shared instances: each call has its own budget.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Limit},
    serve::Answer,
};
use lattice_host::{Actor, Host, Instances, Limits};
use std::{num::NonZeroUsize, time::Duration};

/// Limits the actor's CPU time and makes all of its calls share one instance.
fn shared(actor: Actor, cpu: Duration) -> Actor {
    actor
        .limits(Limits::default().cpu(cpu))
        .instances(Instances::Warm {
            most: NonZeroUsize::MIN,
            idle: Duration::from_mins(1),
        })
}

#[tokio::test]
async fn a_call_that_never_yields_is_ended() {
    let lattice = lattice().await;
    let spin = shared(wat(SPIN), Duration::from_millis(100));
    let _host = started(Host::builder(&lattice).actor("spin", spin)).await;
    let spun = call::<()>(&lattice, "spin", "test:spin/it@1.0.0", "spin", ()).await;
    assert_eq!(exceeded(spun), Limit::Cpu(Duration::from_millis(100)));
}

/// An `async func` that never yields.
const SPIN: &str = r#"(component
    (core module $m
      (func (export "spin") (result i32) (loop $l (br $l)) (i32.const 0))
      (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $spin async (canon lift (core func $i "spin") async (callback (core func $i "callback"))))
    (instance (export "test:spin/it@1.0.0") (export "spin" (func $spin))))"#;

#[tokio::test]
async fn a_call_that_works_in_slices_among_short_calls_is_ended_at_its_cpu_limit() {
    let lattice = lattice().await;
    let provider = Native::peer(|request| {
        Answer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            answer(&body(&request))
        }))
    });
    let budget = Duration::from_millis(200);
    let host = Host::builder(&lattice)
        .actor("mischief", shared(actor("mischief"), budget))
        .provider("peer", provider.serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    let grinding = {
        let lattice = lattice.clone();
        tokio::spawn(async move { act::<()>(&lattice, "grind", ()).await })
    };
    let mut answered = 0;
    while !grinding.is_finished() {
        let short = act::<Result<Bytes, RpcError>>(&lattice, "call-async", (Bytes::from("x"),));
        match short.await {
            Ok(back) => assert_eq!(back, Ok(Bytes::from("x"))),
            // This call was in the instance when the instance ended.
            Err(CallError::InstanceLost { reason }) => {
                assert!(reason.contains("of CPU time"), "{reason}");
                continue;
            }
            Err(other) => panic!("failed in another way: {other:?}"),
        }
        answered += 1;
    }
    let ground = grinding.await.expect("no panic");
    assert_eq!(exceeded(ground), Limit::Cpu(budget));
    assert!(answered >= 2, "only {answered} short calls succeeded");
}

#[tokio::test]
async fn work_after_a_call_has_returned_is_limited_too() {
    let lattice = lattice().await;
    let lingering = shared(wat(LINGER), Duration::from_millis(100));
    let _host = started(Host::builder(&lattice).actor("lingering", lingering)).await;
    let count = async || {
        let count = call::<u32>(&lattice, "lingering", LINGERING, "count", ());
        count.await
    };
    assert_eq!(count().await.expect("answered"), 1);
    assert_eq!(count().await.expect("answered"), 2, "the same instance");
    call::<()>(&lattice, "lingering", LINGERING, "linger", ())
        .await
        .expect("answered");
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut last = 2;
    loop {
        assert!(
            std::time::Instant::now() < deadline,
            "it is never interrupted"
        );
        match count().await {
            Ok(count) if count > last => last = count,
            Ok(count) => break assert_eq!(count, 1, "a new instance"),
            Err(CallError::InstanceLost { .. }) => {}
            Err(other) => panic!("failed in another way: {other:?}"),
        }
    }
}

const LINGERING: &str = "test:linger/it@1.0.0";

/// `linger` returns and then works on without end, in slices of a million steps. `count` returns
/// the number of its calls.
const LINGER: &str = r#"(component
    (core func $done (canon task.return))
    (core func $return (canon task.return (result u32)))
    (core module $m
      (import "" "done" (func $done))
      (import "" "return" (func $return (param i32)))
      (global $calls (mut i32) (i32.const 0))
      (func (export "count") (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $return (global.get $calls))
        (i32.const 0))
      (func (export "linger") (result i32)
        (call $done)
        ;; To be called back as soon as others had their turn.
        (i32.const 1))
      (func (export "again") (param i32 i32 i32) (result i32) (local $left i32)
        (local.set $left (i32.const 1000000))
        (loop $l (br_if $l (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance
      (export "done" (func $done)) (export "return" (func $return))))))
    (func $linger async (canon lift (core func $i "linger") async (callback (core func $i "again"))))
    (func $count async (result u32) (canon lift (core func $i "count") async (callback (core func $i "again"))))
    (instance (export "test:linger/it@1.0.0")
      (export "linger" (func $linger)) (export "count" (func $count))))"#;
