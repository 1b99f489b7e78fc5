//! Tasks of a guest that go on after the call that began them.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    call::{Context, FunctionRef},
    name::{FunctionName, InterfaceName},
    serve::Answer,
};
use lattice_host::{Host, Instances};
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};

const LINGERS: &str = "test:lingers/lingers@0.1.0";
const STEPS: &str = "test:lingers/steps@0.1.0";

/// Returns from its call at once, then waits for `wait`, and then calls `hop`.
const GUEST: &str = r#"(component
    (import "test:lingers/steps@0.1.0" (instance $steps
      (export "wait" (func async)) (export "hop" (func async))))
    (core func $wait (canon lower (func $steps "wait") async))
    (core func $hop (canon lower (func $steps "hop") async))
    (core func $return (canon task.return))
    (core func $new (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core func $drop (canon subtask.drop))
    (core module $m_
      (import "" "wait" (func $wait (result i32)))
      (import "" "hop" (func $hop (result i32)))
      (import "" "return" (func $return))
      (import "" "new" (func $new (result i32)))
      (import "" "join" (func $join (param i32 i32)))
      (import "" "drop" (func $drop (param i32)))
      (global $set (mut i32) (i32.const 0))
      (global $has_waited (mut i32) (i32.const 0))
      (func $waiting (result i32)
        (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
      (func $after (param $call i32) (result i32)
        (if (i32.eq (i32.and (local.get $call) (i32.const 15)) (i32.const 2))
          (then (return (call $step))))
        (call $join (i32.shr_u (local.get $call) (i32.const 4)) (global.get $set))
        (call $waiting))
      (func $step (result i32)
        (if (global.get $has_waited) (then (return (i32.const 0))))
        (global.set $has_waited (i32.const 1))
        (call $after (call $hop)))
      (func (export "linger") (result i32)
        (global.set $set (call $new))
        (call $return)
        (call $after (call $wait)))
      (func (export "callback") (param $event i32) (param $call i32) (param $state i32) (result i32)
        (if (i32.ne (local.get $state) (i32.const 2)) (then (return (call $waiting))))
        (call $drop (local.get $call))
        (call $step)))
    (core instance $m (instantiate $m_ (with "" (instance
      (export "wait" (func $wait)) (export "hop" (func $hop)) (export "return" (func $return))
      (export "new" (func $new)) (export "join" (func $join)) (export "drop" (func $drop))))))
    (func $linger async
      (canon lift (core func $m "linger") async (callback (core func $m "callback"))))
    (instance (export "test:lingers/lingers@0.1.0") (export "linger" (func $linger))))"#;

#[tokio::test]
async fn the_calls_of_a_task_that_outlives_its_call_stay_in_its_chain() {
    let lattice = lattice().await;
    let gate = Arc::new(Semaphore::new(0));
    let (called, mut hops) = mpsc::unbounded_channel();
    let waits = gate.clone();
    let steps = Native::default()
        .function(STEPS, "wait", "async func()", move |_| {
            let gate = waits.clone();
            Answer::Later(Box::pin(async move {
                gate.acquire().await.expect("it stays open").forget();
                Ok(Bytes::new())
            }))
        })
        .function(STEPS, "hop", "async func()", move |request| {
            let context = request.context;
            called.send((context.hops, context.deadline)).expect("read");
            Answer::Ready(Ok(Bytes::new()))
        });
    let host = Host::builder(&lattice)
        .actor("lingers", wat(GUEST).instances(Instances::warm()))
        .provider("steps", steps.serve());
    let _host = started(host).await;
    link(&lattice, "lingers", STEPS, "steps").await;
    link(&lattice, "outside", LINGERS, "lingers").await;

    let mut context = Context::new(PATIENCE);
    for _ in 0..5 {
        context = context.nested();
    }
    let function = FunctionRef::new(
        InterfaceName::new(LINGERS).expect("valid"),
        FunctionName::new("linger").expect("valid"),
        "async func()",
    );
    let caller = lattice.caller("outside").expect("valid");
    let answered = caller.invoke(&function, Bytes::new(), context).await;
    assert_eq!(answered, Ok(Bytes::new()));
    gate.add_permits(1);
    let hop = timeout(PATIENCE, hops.recv()).await;
    let (hops, deadline) = hop.expect("it goes on").expect("a call");
    assert_eq!(hops, 6, "one more than its call");
    assert!(deadline <= context.deadline, "it got time of its own");
    assert!(deadline > Instant::now());
}
