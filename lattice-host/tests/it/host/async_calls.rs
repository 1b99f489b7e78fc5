//! Shared instances that end with several calls in them.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Part},
    serve::Answer,
    value::from_bytes,
};
use lattice_host::{ByteSize, Host, Instances, Limits};
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Semaphore, oneshot};

/// A provider whose `gate.wait` returns when the test opens its tag.
#[derive(Clone)]
struct Gate {
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
    arrived: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self {
            waiting: Arc::default(),
            arrived: Arc::new(Semaphore::new(0)),
        }
    }

    fn serve(&self) -> Native {
        let gate = self.clone();
        Native::default().function(
            GATE,
            "wait",
            "async func(tag: string) -> string",
            move |request| {
                let (tag,): (String,) = from_bytes(&request.args).expect("a tag");
                let (open, opened) = oneshot::channel();
                gate.waiting
                    .lock()
                    .expect("no panic")
                    .insert(tag.clone(), open);
                gate.arrived.add_permits(1);
                Answer::Later(Box::pin(async move {
                    // An instance that ends drops its waiting calls, and the sender with them.
                    let _ = opened.await;
                    Ok(encoded(&tag))
                }))
            },
        )
    }

    async fn arrived(&self, count: u32) {
        self.arrived
            .acquire_many(count)
            .await
            .expect("it stays open")
            .forget();
    }

    fn open(&self, tag: &str) {
        let open = self
            .waiting
            .lock()
            .expect("no panic")
            .remove(tag)
            .expect("a call waits");
        // The guest may have ended.
        let _ = open.send(());
    }
}

async fn shapes(lattice: &Lattice, gate: &Gate) -> Host {
    let host = Host::builder(lattice)
        .actor("shapes", actor("shapes").instances(Instances::warm()))
        .provider("gate", gate.serve().serve());
    let host = started(host).await;
    link(lattice, "shapes", GATE, "gate").await;
    host
}

fn work(
    lattice: &Lattice,
    function: &'static str,
    tag: &'static str,
) -> tokio::task::JoinHandle<Result<String, CallError>> {
    let lattice = lattice.clone();
    tokio::spawn(async move { call(&lattice, "shapes", CONTROL, function, (tag,)).await })
}

#[tokio::test]
async fn calls_to_an_actor_that_traps_each_time_return_the_reason() {
    let lattice = lattice().await;
    let open = Native::default().function(
        GATE,
        "wait",
        "async func(tag: string) -> string",
        |request| {
            let (tag,): (String,) = from_bytes(&request.args).expect("a tag");
            Answer::Ready(Ok(encoded(&tag)))
        },
    );
    let host = Host::builder(&lattice)
        .actor("shapes", actor("shapes").instances(Instances::warm()))
        .provider("gate", open.serve());
    let _host = started(host).await;
    link(&lattice, "shapes", GATE, "gate").await;
    for _ in 0..4 {
        let calls: Vec<_> = (0..32)
            .map(|_| work(&lattice, "work-then-trap", "culprit"))
            .collect();
        for call in calls {
            match call.await.expect("no panic") {
                Err(CallError::CalleeFailed { reason } | CallError::InstanceLost { reason }) => {
                    assert!(reason.contains("unreachable"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A component whose `async func` traps at once.
const BOOM: &str = r#"(component
    (core module $m
      (func (export "boom") (result i32) (unreachable))
      (func (export "callback") (param i32 i32 i32) (result i32) (unreachable)))
    (core instance $i (instantiate $m))
    (func $boom async (canon lift (core func $i "boom") async (callback (core func $i "callback"))))
    (instance (export "test:boom/it@1.0.0") (export "boom" (func $boom))))"#;

#[tokio::test]
async fn calls_that_no_instance_begins_before_it_crashes_return_the_reason() {
    // An instance takes a part of these from its queue, up to Tokio's budget of 128 for one turn,
    // and then runs the first one.
    const CALLS: NonZeroUsize = NonZeroUsize::new(512).expect("some");
    let lattice = lattice().await;
    let boom = wat(BOOM)
        .limits(Limits::default().concurrent(CALLS))
        .instances(Instances::Warm {
            most: NonZeroUsize::MIN,
            idle: Duration::from_mins(1),
        });
    let _host = started(Host::builder(&lattice).actor("boom", boom)).await;
    let boom = || {
        let lattice = lattice.clone();
        async move { call::<()>(&lattice, "boom", "test:boom/it@1.0.0", "boom", ()).await }
    };
    // Joins the lattice.
    let _ = boom().await;
    let calls: Vec<_> = (0..CALLS.get()).map(|_| tokio::spawn(boom())).collect();
    let mut never_begun = 0;
    for call in calls {
        match call.await.expect("no panic") {
            Err(CallError::CalleeFailed { reason } | CallError::InstanceLost { reason }) => {
                assert!(reason.contains("unreachable"), "{reason}");
                never_begun += usize::from(reason.contains("one after the other"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(never_begun > 0, "each was begun by one of three instances");
}

#[tokio::test]
async fn a_trap_ends_the_sibling_calls_with_its_reason() {
    let lattice = lattice().await;
    let gate = Gate::new();
    let _host = shapes(&lattice, &gate).await;
    let fine = work(&lattice, "work", "fine");
    let culprit = work(&lattice, "work-then-trap", "culprit");
    let other = work(&lattice, "work", "other");
    gate.arrived(3).await;
    gate.open("fine");
    assert_eq!(
        fine.await.expect("no panic").expect("answered"),
        "done fine"
    );
    gate.open("culprit");
    let message = reason(culprit.await.expect("no panic"));
    assert!(message.contains("unreachable"), "{message}");
    let error = other
        .await
        .expect("no panic")
        .expect_err("its instance is lost");
    assert!(
        matches!(&error, CallError::InstanceLost { reason } if reason.contains("unreachable")),
        "{error:?}"
    );
    // The next call runs in a new instance.
    let next = work(&lattice, "work", "next");
    gate.arrived(1).await;
    gate.open("next");
    assert_eq!(
        next.await.expect("no panic").expect("answered"),
        "done next"
    );
}

#[tokio::test]
async fn an_async_call_with_a_result_over_the_limit_fails_as_too_large() {
    let lattice = lattice().await;
    let limits = Limits::default().result(ByteSize::kib(10));
    let host = Host::builder(&lattice)
        .actor(
            "mischief",
            actor("mischief")
                .instances(Instances::warm())
                .limits(limits),
        )
        .provider(
            "peer",
            Native::peer(|_| Answer::Ready(answer(&vec![7; 20_000]))).serve(),
        );
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    for _ in 0..3 {
        let error = act::<Result<Bytes, RpcError>>(&lattice, "call-async", (Bytes::new(),)).await;
        let error = error.expect_err("too large");
        assert!(
            matches!(
                error,
                CallError::TooLarge {
                    what: Part::Result,
                    limit: 10_240
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn stopping_an_actor_lets_its_calls_finish() {
    let lattice = lattice().await;
    let gate = Gate::new();
    let host = shapes(&lattice, &gate).await;
    let one = work(&lattice, "work", "one");
    gate.arrived(1).await;
    let stopping = {
        let host = host.clone();
        tokio::spawn(async move { host.stop("shapes", PATIENCE).await })
    };
    // New calls are refused.
    loop {
        match tokio::time::timeout(Duration::from_millis(20), work(&lattice, "work", "two")).await {
            Ok(refused) => {
                let error = refused.expect("no panic").expect_err("it is stopping");
                assert!(
                    matches!(
                        error,
                        CallError::Stopping { .. } | CallError::NotServed { .. }
                    ),
                    "{error:?}"
                );
                break;
            }
            // This call was still accepted.
            Err(_) => gate.open("two"),
        }
    }
    gate.open("one");
    assert_eq!(one.await.expect("no panic").expect("answered"), "done one");
    let drained = stopping.await.expect("no panic");
    assert!(drained.expect("the actor was running").is_clean());
}

#[tokio::test]
async fn killing_a_host_ends_its_running_calls() {
    let lattice = lattice().await;
    let gate = Gate::new();
    let host = shapes(&lattice, &gate).await;
    let one = work(&lattice, "work", "one");
    gate.arrived(1).await;
    host.kill();
    let error = one.await.expect("no panic").expect_err("the host is gone");
    assert!(matches!(error, CallError::HostLost { .. }), "{error:?}");
}
