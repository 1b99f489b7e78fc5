//! What comes after: ways that were taken down and are needed again, hosts that come back, calls that may run twice.

#[path = "support/service.rs"]
mod service;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    Lattice,
    bus::{
        Bus,
        memory::{MemoryBus, MemoryNetwork},
    },
    call::{CallError, Context, Ran},
    link::Link,
    name::{HostId, LinkName},
    node::{Caller, Node, NodeOptions, ServeLimits, Serving},
    serve::{Answer, Request, Service},
    store::MemoryStore,
    types::ComponentTypes,
};
use service::*;
use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

async fn host(lattice: &Lattice, name: &str) -> Node {
    lattice
        .node(NodeOptions::default().host(HostId::new(name).expect("an id")))
        .await
        .expect("it joins")
}

async fn serve(node: &Node, name: &str) -> (Arc<Api>, Serving) {
    let api = Arc::new(Api::default());
    let service = Arc::new(Serve(api.clone()));
    (
        api,
        node.serve(id(name), service, ServeLimits::default())
            .await
            .expect("it serves"),
    )
}

async fn say(caller: &Caller) -> Result<Bytes, CallError> {
    caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await
}

#[tokio::test(start_paused = true)]
async fn ways_that_were_idle_for_long_work_again() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_api, _serving) = serve(&b, "callee").await;
    lattice
        .links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let caller = a.caller(id("caller"));
    for _ in 0..4 {
        for _ in 0..3 {
            say(&caller).await.expect("answered");
        }
        // Longer than an unused way is kept, at either end.
        tokio::time::sleep(Duration::from_secs(300)).await;
    }
    assert_eq!(a.refused() + b.refused(), 0, "nothing looked like a replay");
}

/// Two hosts, each on a lattice connection of its own, so that one can be cut off.
struct Cut {
    plug: MemoryBus,
    there: Lattice,
    here: Lattice,
}

async fn cut() -> Cut {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let plug = network.connect();
    let on = async |bus: MemoryBus| {
        Lattice::on(Arc::new(bus), store.clone(), "test")
            .trust_bus()
            .await
            .expect("it opens")
    };
    Cut {
        there: on(plug.clone()).await,
        here: on(network.connect()).await,
        plug,
    }
}

#[tokio::test]
async fn a_host_that_was_cut_off_and_is_back_is_called_again() {
    let Cut { plug, there, here } = cut().await;
    let (a, b) = (host(&here, "a").await, host(&there, "b").await);
    let (api, _serving) = serve(&b, "callee").await;
    here.links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let caller = a.caller(id("caller"));
    for _ in 0..50 {
        say(&caller).await.expect("answered");
    }
    plug.disconnect();
    let lost = caller
        .call(
            &wait(),
            &LinkName::default(),
            Bytes::new(),
            Context::default(),
        )
        .await;
    assert!(lost.is_err(), "{lost:?}");
    plug.reconnect();
    eventually("it is called again", async || say(&caller).await.is_ok()).await;
    let before = api.calls.load(Ordering::SeqCst);
    for _ in 0..50 {
        say(&caller).await.expect("answered");
    }
    assert_eq!(api.calls.load(Ordering::SeqCst), before + 50);
}

#[tokio::test]
async fn a_call_that_may_run_twice_goes_to_another_replica_and_others_do_not() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let (b, c) = (host(&lattice, "b").await, host(&lattice, "c").await);
    let (one, _one) = serve(&b, "callee").await;
    let (two, _two) = serve(&c, "callee").await;
    let twice = Link::new("caller", API, "callee")
        .and_then(|link| link.idempotent(&["wait"]))
        .expect("a link");
    lattice.links().put(twice).await.expect("put");
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    let caller = a.caller(id("caller"));
    let running = tokio::spawn(async move {
        let context = Context::new(Duration::from_secs(10));
        caller
            .call(&wait(), &LinkName::default(), Bytes::new(), context)
            .await
    });
    tokio::select! {
        () = one.started.notified() => { b.kill(); two.started.notified().await; two.release.notify_one(); }
        () = two.started.notified() => { c.kill(); one.started.notified().await; one.release.notify_one(); }
    }
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
}

#[tokio::test]
async fn a_stranger_who_says_that_nobody_is_there_is_not_believed() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let lattice = Lattice::on(Arc::new(network.connect()), store, "test")
        .trust_bus()
        .await
        .expect("it opens");
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (api, _serving) = serve(&b, "callee").await;
    lattice
        .links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let caller = a.caller(id("caller"));
    say(&caller).await.expect("answered");
    let running = tokio::spawn({
        let caller = caller.clone();
        async move {
            caller
                .call(
                    &wait(),
                    &LinkName::default(),
                    Bytes::new(),
                    Context::default(),
                )
                .await
        }
    });
    api.started.notified().await;
    // A question to nobody, whose "no responders" is sent to where `a` hears of its own: any frame number but the right one.
    let subjects = lattice_core::subject::Subjects::new(lattice.name());
    let (stranger, nowhere) = (network.connect(), subjects.serves(&id("nobody")));
    for frame in 0..64 {
        for peer in [0, 1, u64::MAX] {
            let reply = subjects.reply(a.host_id(), a.origin().epoch, peer, frame);
            stranger
                .publish(nowhere.clone(), Some(reply), Bytes::new())
                .await
                .expect("sent");
        }
    }
    say(&caller).await.expect("still called");
    api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
}

/// Calls `callee` through its own link, on the same host.
struct Relay(Caller, Arc<Api>);

impl Service for Relay {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", "func(text: string) -> string")]))
    }

    fn call(&self, request: Request) -> Answer {
        let (caller, api) = (self.0.clone(), self.1.clone());
        Answer::Later(Box::pin(async move {
            api.started.notify_one();
            api.release.notified().await;
            caller
                .call(
                    &echo(),
                    &LinkName::default(),
                    request.args,
                    request.context.nested(),
                )
                .await
        }))
    }

    fn linked(&self, _: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_leaving_host_serves_what_its_last_calls_need() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_api, _callee) = serve(&b, "callee").await;
    let gate = Arc::new(Api::default());
    let relay = Arc::new(Relay(b.caller(id("relay")), gate.clone()));
    let _relay = b
        .serve(id("relay"), relay, ServeLimits::default())
        .await
        .expect("it serves");
    lattice
        .links()
        .put(Link::new("relay", API, "callee").expect("a link"))
        .await
        .expect("put");
    lattice
        .links()
        .put(Link::new("caller", API, "relay").expect("a link"))
        .await
        .expect("put");
    let caller = a.caller(id("caller"));
    let running = tokio::spawn(async move { say(&caller).await });
    gate.started.notified().await;
    let leaving = tokio::spawn({
        let b = b.clone();
        async move { b.leave(Duration::from_secs(5)).await }
    });
    eventually("it has said goodbye", async || {
        lattice.peers().serving(&id("relay")).is_empty()
    })
    .await;
    gate.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(text("x")),
        "the relay still reaches the callee beside it"
    );
    assert!(leaving.await.expect("joined"), "it drained");
}

/// Takes a link only when told to.
struct Slow(Arc<Api>);

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", "func(text: string) -> string")]))
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
async fn a_link_that_takes_long_to_accept_holds_up_nobody_else() {
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
        lattice
            .links()
            .put(Link::new(source, API, "callee").expect("a link"))
            .await
            .expect("put");
    }
    let waiting = tokio::spawn({
        let caller = node.caller(id("slow"));
        async move { say(&caller).await }
    });
    api.started.notified().await;
    say(&node.caller(id("quick"))).await.expect("not held up");
    api.release.notify_one();
    waiting
        .await
        .expect("joined")
        .expect("answered once its link was taken");
}

/// Fails with the error of a call that it made itself.
struct Nested;

impl Service for Nested {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", "func(text: string) -> string")]))
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Err(CallError::Overloaded {
            component: id("elsewhere"),
        }))
    }
}

#[tokio::test]
async fn the_error_of_a_nested_call_does_not_say_that_the_outer_one_did_not_run() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let _serving = node
        .serve(id("callee"), Arc::new(Nested), ServeLimits::default())
        .await
        .expect("it serves");
    lattice
        .links()
        .put(Link::new("caller", API, "callee").expect("a link"))
        .await
        .expect("put");
    let error = say(&node.caller(id("caller"))).await.expect_err("failed");
    assert!(matches!(error, CallError::CalleeFailed { .. }), "{error:?}");
    assert_eq!(error.ran(), Ran::Yes);
}

#[tokio::test]
async fn endless_timeouts_and_queues_are_no_panic() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let (_api, _serving) = serve(&node, "callee").await;
    let endless: String = lattice
        .component("callee")
        .call(API, "echo", ("x",))
        .timeout(Duration::MAX)
        .await
        .expect("answered");
    assert_eq!(endless, "x");
}
