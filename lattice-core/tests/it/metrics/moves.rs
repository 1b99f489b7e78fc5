//! Each metric of a node moves when what it counts happens.

use crate::{
    lagging::{Delivery, Lagging},
    support::*,
};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Context},
    node::Node,
    server::ServeLimits,
    store::{Expect, MemoryStore, Op, Store as _, StoreKey},
    telemetry::metrics::{MOST_SERIES, OVERFLOW},
    value::to_bytes,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

const ECHO: (&str, &str) = ("rpc.method", "test:calls/api/echo");
const CALLEE: (&str, &str) = ("lattice.component", "callee");

/// The value of a metric now, or 0 if it has no such series.
fn now(node: &Node, name: &str, attributes: &[(&str, &str)]) -> f64 {
    node.metrics().total(name, attributes).unwrap_or_default()
}

/// Waits until a metric has this value.
async fn reaches(node: &Node, name: &str, attributes: &[(&str, &str)], value: f64) {
    let what = format!("{name} {attributes:?} is {value}");
    let is_there = async || (now(node, name, attributes) - value).abs() < f64::EPSILON;
    eventually(&what, is_there).await;
}

#[tokio::test]
async fn calls_are_timed_at_both_ends_from_the_first_reading_on() {
    let two = two().await;
    two.say().await.expect("it answers");
    let [client, server] = ["rpc.client.call.duration", "rpc.server.call.duration"];
    // Both nodes have one connection, and so the same numbers.
    assert!(
        two.b.metrics().total(client, &[]).is_none(),
        "nothing was read yet"
    );
    for _ in 0..3 {
        two.say().await.expect("it answers");
    }
    for name in [client, server] {
        let attributes = [ECHO, ("rpc.system.name", "lattice")];
        reaches(&two.a, name, &attributes, 3.0).await;
        assert!(
            two.a
                .metrics()
                .total(name, &[("error.type", "overloaded")])
                .is_none()
        );
    }
    let fail = function("fail", "func()");
    let failed = two.call(&fail, Bytes::new(), Context::default());
    failed.await.expect_err("it fails");
    let method = ("rpc.method", "test:calls/api/fail");
    for name in [client, server] {
        reaches(
            &two.a,
            name,
            &[method, ("error.type", "callee-failed")],
            1.0,
        )
        .await;
    }
    reaches(&two.b, "lattice.component.errors", &[CALLEE], 1.0).await;
    assert!(now(&two.b, "lattice.component.calls", &[CALLEE]) >= 5.0);
}

#[tokio::test]
async fn calls_that_nothing_allows_or_that_do_not_exist_are_counted() {
    let two = two().await;
    two.a.metrics();
    let stranger = two.a.caller("stranger").expect("valid");
    let refused = say(&stranger).await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
    assert!((now(&two.a, "lattice.call.not_granted", &[]) - 1.0).abs() < f64::EPSILON);
    for number in 0..20 {
        let made_up = function(&format!("madeup{number}"), "func()");
        let missing = two.call(&made_up, Bytes::new(), Context::default()).await;
        assert!(
            matches!(missing, Err(CallError::NotExported { .. })),
            "{missing:?}"
        );
    }
    let other = [("rpc.method", "_OTHER"), ("error.type", "not-exported")];
    reaches(&two.a, "rpc.client.call.duration", &other, 20.0).await;
}

#[tokio::test]
async fn a_full_queue_and_its_memory_are_seen() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(1);
    let (api, serving) = serve_within(&node, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    let caller = node.caller("caller").expect("valid");
    let running = begin_wait(&caller, Context::default());
    api.started.notified().await;
    let queued = {
        let (caller, text) = (caller.clone(), "x".repeat(5_000));
        let text = to_bytes(&(text,)).expect("it is encoded");
        tokio::spawn(async move { call(&caller, &echo(), text, Context::default()).await })
    };
    eventually("one runs and one waits", async || serving.in_flight() == 2).await;
    let refused = say(&caller).await;
    assert!(
        matches!(refused, Err(CallError::Overloaded { .. })),
        "{refused:?}"
    );

    let state = |state| [CALLEE, ("lattice.call.state", state)];
    reaches(&node, "lattice.queue.calls", &state("running"), 1.0).await;
    reaches(&node, "lattice.queue.calls", &state("waiting"), 1.0).await;
    reaches(&node, "lattice.queue.refused", &[CALLEE], 1.0).await;
    assert!(now(&node, "lattice.queue.arguments", &[CALLEE]) >= 5_000.0);
    let kind = [("lattice.message.kind", "calls")];
    assert!(now(&node, "lattice.message.memory", &kind) >= 5_000.0);
    assert!(now(&node, "lattice.message.memory.limit", &kind) > 1e6);

    api.release.notify_one();
    running.await.expect("it ends").expect("it answers");
    queued.await.expect("it ends").expect("it answers");
    reaches(&node, "lattice.queue.calls", &[CALLEE], 0.0).await;
    reaches(&node, "lattice.queue.arguments", &[CALLEE], 0.0).await;
    reaches(&node, "lattice.message.memory", &kind, 0.0).await;
}

#[tokio::test]
async fn the_bus_is_counted_with_its_losses() {
    let network = MemoryNetwork::new();
    let (bus, store) = (network.connect(), Arc::new(MemoryStore::new()));
    let opened = Lattice::on(Arc::new(bus.clone()), store, "test").trust_bus();
    let two = Two::on(opened.await.expect("it opens")).await;
    let direction = |direction| [("network.io.direction", direction)];
    let counts = || {
        ["transmit", "receive"].map(|way| {
            let read = |name| now(&two.a, name, &direction(way));
            (read("lattice.bus.messages"), read("lattice.bus.io"))
        })
    };
    let before = counts();
    let waits = begin_wait(&two.caller, Context::default());
    two.api.started.notified().await;
    reaches(&two.a, "lattice.bus.in_flight", &[], 1.0).await;
    reaches(&two.a, "lattice.bus.send_queue", &[], 0.0).await;
    two.api.release.notify_one();
    waits.await.expect("it ends").expect("it answers");
    for ((messages, bytes), (more, more_bytes)) in before.into_iter().zip(counts()) {
        assert!(
            more >= messages + 2.0 && more_bytes > bytes,
            "{messages} {more}"
        );
    }

    reaches(&two.a, "lattice.bus.connected", &[], 1.0).await;
    assert!(now(&two.a, "lattice.bus.reconnects", &[]).abs() < f64::EPSILON);
    bus.disconnect();
    reaches(&two.a, "lattice.bus.connected", &[], 0.0).await;
    bus.reconnect();
    reaches(&two.a, "lattice.bus.reconnects", &[], 1.0).await;
    reaches(&two.a, "lattice.bus.connected", &[], 1.0).await;
    assert!(now(&two.a, "lattice.bus.refused", &[]).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_store_is_timed_and_its_watch_can_lag() {
    let store = MemoryStore::new();
    let way = Lagging::on(&store);
    let bus = Arc::new(MemoryNetwork::new().connect());
    let opened = Lattice::on(bus, way.clone(), "test").trust_bus();
    let lattice = opened.await.expect("it opens");
    let node = host(&lattice, "a").await;
    let commits = [("lattice.store.operation", "commit")];
    let before = now(&node, "lattice.store.operation.duration", &commits);
    link(&lattice, "caller", "callee").await;
    let after = now(&node, "lattice.store.operation.duration", &commits);
    assert!(after > before, "{before} {after}");
    reaches(&node, "lattice.store.watch.lag", &[], 0.0).await;
    reaches(&node, "lattice.store.follows", &[], 1.0).await;

    way.set(Delivery::Lags);
    let there = lattice.clone();
    let put = tokio::spawn(async move { there.links().put(grant("other", "callee")).await });
    let lags = async || now(&node, "lattice.store.watch.lag", &[]) > 0.0;
    eventually("it is behind its own write", lags).await;
    way.set(Delivery::Works);
    reaches(&node, "lattice.store.watch.lag", &[], 0.0).await;
    // Whether it was confirmed in time is not the matter here.
    let _ = put.await.expect("it ends");

    way.set(Delivery::Lost);
    reaches(&node, "lattice.store.follows", &[], 0.0).await;
    way.set(Delivery::Works);
    reaches(&node, "lattice.store.follows", &[], 1.0).await;

    let key = StoreKey::for_test("link.garbage");
    let garbage = Op::put(key, "garbage", Expect::Any);
    let written = store.commit(vec![garbage]).await.expect("it is written");
    let has_seen = async || now(&node, "lattice.store.revision", &[]) >= written.0 as f64;
    eventually("it has seen that", has_seen).await;
}

#[tokio::test]
async fn a_host_knows_its_name_its_neighbours_and_its_memory() {
    let two = two().await;
    reaches(&two.a, "lattice.host.live", &[], 2.0).await;
    let names = [("lattice.name", "test"), ("lattice.host", "a")];
    let uptime = now(&two.a, "lattice.host.uptime", &names);
    let later = async || now(&two.a, "lattice.host.uptime", &names) > uptime;
    eventually("time passes", later).await;
    if cfg!(target_os = "linux") {
        assert!(now(&two.a, "process.memory.usage", &[]) > 1e6);
    }
}

/// Callers choose the names of methods. Those that a component has stay apart from each other, up
/// to the limit.
#[tokio::test]
async fn there_are_at_most_so_many_series_of_methods() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    node.metrics();
    link(&lattice, "caller", "nobody").await;
    let caller = node.caller("caller").expect("valid");
    let more = 20;
    for number in 0..MOST_SERIES + more {
        let made_up = function(&format!("f{number}"), "func()");
        // It ends before anything is asked, so it isn't known whether there is such a method.
        let context = Context::new(Duration::ZERO);
        let answer = call(&caller, &made_up, Bytes::new(), context).await;
        let is_late = matches!(answer, Err(CallError::DeadlineExceeded { .. }));
        assert!(is_late, "{answer:?}");
    }
    let metrics = node.metrics();
    let name = "rpc.client.call.duration";
    let mut families = metrics.families().iter();
    let family = families.find(|family| family.instrument().name == name);
    let series = family.map(|family| family.points().count());
    assert_eq!(series, Some(MOST_SERIES + 1));
    let other = metrics.total(name, &[(OVERFLOW, "true")]);
    assert_eq!(other, Some(more as f64));
}
