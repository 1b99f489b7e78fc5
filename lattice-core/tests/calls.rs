//! Calls between native components: on one node, between nodes over the bus, and every way they can fail.

#[path = "support/service.rs"]
mod service;

use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Context, MAX_HOPS, Part, Ran},
    link::{Link, LinkStatus, Locality},
    name::{HostId, LinkName},
    node::{Node, NodeOptions, ServeError, ServeLimits, Serving},
    value::from_bytes,
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
        .expect("a node joins")
}

async fn serve(node: &Node, name: &str) -> (Arc<Api>, Serving) {
    serve_within(node, name, ServeLimits::default()).await
}

async fn serve_within(node: &Node, name: &str, limits: ServeLimits) -> (Arc<Api>, Serving) {
    let api = Arc::new(Api::default());
    let serving = node
        .serve(id(name), Arc::new(Serve(api.clone())), limits)
        .await
        .expect("it serves");
    (api, serving)
}

async fn link(lattice: &Lattice, source: &str, target: &str) {
    lattice
        .links()
        .put(Link::new(source, API, target).expect("a link"))
        .await
        .expect("the link is put");
}

/// A caller on `a` linked to `callee` on `b`, two hosts of one lattice.
struct Two {
    lattice: Lattice,
    a: Node,
    b: Node,
    api: Arc<Api>,
    serving: Serving,
}

async fn two() -> Two {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (api, serving) = serve(&b, "callee").await;
    link(&lattice, "caller", "callee").await;
    Two {
        lattice,
        a,
        b,
        api,
        serving,
    }
}

impl Two {
    async fn call(
        &self,
        function: &lattice_core::call::FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        self.a
            .caller(id("caller"))
            .call(function, &LinkName::default(), args, context)
            .await
    }
}

#[tokio::test]
async fn a_linked_component_answers_on_one_host_and_across_two() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_api, _serving) = serve(&b, "callee").await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let answer = node
            .caller(id("caller"))
            .call(
                &echo(),
                &LinkName::default(),
                text("hello"),
                Context::default(),
            )
            .await;
        assert_eq!(
            from_bytes::<String>(&answer.expect("answered")).expect("a string"),
            "hello"
        );
    }
    assert_eq!(a.in_flight() + b.in_flight(), 0);
}

#[tokio::test]
async fn an_operator_calls_typed_and_untyped() {
    let two = two().await;
    let component = two.lattice.component("callee");
    let typed: String = component
        .call(API, "echo", ("typed",))
        .await
        .expect("answered");
    assert_eq!(typed, "typed");
    let raw = component
        .call_bytes(API, "echo", text("raw"))
        .await
        .expect("answered");
    assert_eq!(raw, Bytes::from_static(b"\x03raw"));
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
    let wrong: Result<String, _> = two
        .lattice
        .component("nobody")
        .call(API, "echo", ("x",))
        .await;
    assert!(
        matches!(wrong, Err(CallError::NotServed { .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn operator_calls_can_be_switched_off_at_the_callee() {
    let lattice = Lattice::in_memory("test")
        .deny_operator_calls()
        .await
        .expect("it opens");
    let node = host(&lattice, "a").await;
    let (api, _serving) = serve(&node, "callee").await;
    let answer: Result<String, _> = lattice.component("callee").call(API, "echo", ("x",)).await;
    assert_eq!(answer, Err(CallError::OperatorDenied));
    assert_eq!(api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_grant_no_call() {
    let two = two().await;
    let stranger = two.a.caller(id("stranger"));
    let answer = stranger
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    let error = answer.expect_err("refused");
    assert!(matches!(error, CallError::NotLinked { .. }), "{error:?}");
    assert_eq!(error.ran(), Ran::No);
    assert!(error.to_string().contains("add one with"), "{error}");
    let other = LinkName::new("other").expect("a name");
    let answer = two
        .a
        .caller(id("caller"))
        .call(&echo(), &other, text("x"), Context::default())
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
    let caller = two.a.caller(id("caller"));
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
    two.api.started.notified().await;
    let key = Link::new("caller", API, "callee").expect("a link").key();
    two.lattice.links().delete(&key).await.expect("deleted");
    let answer = two.call(&echo(), text("x"), Context::default()).await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    two.api.release.notify_one();
    assert_eq!(
        running.await.expect("joined"),
        Ok(Bytes::new()),
        "what was admitted finishes"
    );
    eventually("the provider is told", async || {
        two.api
            .links
            .lock()
            .expect("not poisoned")
            .last()
            .is_some_and(|last| last == "-caller")
    })
    .await;
}

#[tokio::test]
async fn a_link_to_what_does_not_run_is_not_served() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    link(&lattice, "caller", "callee").await;
    let caller = node.caller(id("caller"));
    let answer = caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    assert_eq!(
        answer,
        Err(CallError::NotServed {
            component: id("callee")
        })
    );
    let (_api, _serving) = serve(&host(&lattice, "b").await, "callee").await;
    let answer = caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    assert!(
        matches!(answer, Err(CallError::NotServed { .. })),
        "its host was dropped at once: {answer:?}"
    );
}

#[tokio::test]
async fn several_targets_for_one_interface_by_link_name() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let (one, _one) = serve(&node, "one").await;
    let (other, _other) = serve(&host(&lattice, "b").await, "one").await;
    let (two, _two) = serve(&node, "two").await;
    link(&lattice, "caller", "one").await;
    let named = Link::new("caller", API, "two")
        .and_then(|link| link.named("second"))
        .expect("a link");
    lattice.links().put(named).await.expect("put");
    let second = LinkName::new("second").expect("a name");
    let caller = node.caller(id("caller"));
    caller
        .call(&echo(), &second, text("x"), Context::default())
        .await
        .expect("answered");
    assert_eq!(two.calls.load(Ordering::SeqCst), 1);
    assert_eq!(
        one.calls.load(Ordering::SeqCst) + other.calls.load(Ordering::SeqCst),
        0
    );
}

#[tokio::test]
async fn a_missing_function_and_another_signature_are_told_apart() {
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

#[tokio::test]
async fn a_panic_ends_its_own_call_and_nothing_else() {
    let two = two().await;
    for name in ["panic", "later-panic"] {
        for node in [&two.a, &two.b] {
            let caller = node.caller(id("caller"));
            let answer = caller
                .call(
                    &function(name, "func()"),
                    &LinkName::default(),
                    Bytes::new(),
                    Context::default(),
                )
                .await;
            let Err(CallError::CalleeFailed { reason }) = &answer else {
                panic!("{answer:?}")
            };
            assert!(reason.contains("told to"), "{reason}");
        }
    }
    two.call(&echo(), text("x"), Context::default())
        .await
        .expect("it still serves");
}

#[tokio::test]
async fn the_callees_own_failure_comes_through() {
    let two = two().await;
    let answer = two
        .call(
            &function("fail", "func()"),
            Bytes::new(),
            Context::default(),
        )
        .await;
    let error = answer.expect_err("failed");
    assert_eq!(
        error,
        CallError::CalleeFailed {
            reason: "told to".to_owned()
        }
    );
    assert_eq!((error.ran(), error.is_retryable()), (Ran::Yes, false));
}

#[tokio::test]
async fn a_full_queue_answers_overloaded_at_once() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(1);
    let (api, serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller(id("caller"));
        let call = || {
            let caller = caller.clone();
            tokio::spawn(async move {
                caller
                    .call(
                        &wait(),
                        &LinkName::default(),
                        Bytes::new(),
                        Context::default(),
                    )
                    .await
            })
        };
        let running = call();
        api.started.notified().await;
        let queued = call();
        eventually("one runs and one waits", async || serving.in_flight() == 2).await;
        let start = std::time::Instant::now();
        let context = Context::new(Duration::from_secs(5));
        let answer = caller
            .call(&echo(), &LinkName::default(), text("x"), context)
            .await;
        assert_eq!(
            answer,
            Err(CallError::Overloaded {
                component: id("callee")
            })
        );
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        let refused = answer.expect_err("overloaded");
        assert_eq!((refused.ran(), refused.is_retryable()), (Ran::No, true));
        api.release.notify_one();
        api.started.notified().await;
        api.release.notify_one();
        assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
        assert_eq!(queued.await.expect("joined"), Ok(Bytes::new()));
    }
}

#[tokio::test]
async fn a_deadline_passes_while_running_and_while_queued() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(8);
    let (api, _serving) = serve_within(&b, "callee", limits).await;
    link(&lattice, "caller", "callee").await;
    for node in [&a, &b] {
        let caller = node.caller(id("caller"));
        let running = tokio::spawn({
            let caller = caller.clone();
            let context = Context::new(Duration::from_millis(400));
            async move {
                caller
                    .call(&wait(), &LinkName::default(), Bytes::new(), context)
                    .await
            }
        });
        api.started.notified().await;
        let before = api.calls.load(Ordering::SeqCst);
        let start = std::time::Instant::now();
        let queued = caller
            .call(
                &echo(),
                &LinkName::default(),
                text("x"),
                Context::new(Duration::from_millis(100)),
            )
            .await;
        assert!(
            matches!(queued, Err(CallError::DeadlineExceeded { .. })),
            "{queued:?}"
        );
        assert!(
            start.elapsed() < Duration::from_millis(350),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            api.calls.load(Ordering::SeqCst),
            before,
            "what waited past its deadline never runs"
        );
        assert_eq!(
            running.await.expect("joined"),
            Err(CallError::DeadlineExceeded { ran: Ran::Maybe })
        );
        eventually("the callee stops working for nobody", async || {
            api.running.load(Ordering::SeqCst) == 0
        })
        .await;
    }
    assert_eq!(a.in_flight(), 0);
}

#[tokio::test]
async fn a_passed_deadline_sends_nothing() {
    let two = two().await;
    let context = Context::new(Duration::ZERO);
    assert_eq!(
        two.call(&echo(), text("x"), context).await,
        Err(CallError::DeadlineExceeded { ran: Ran::No })
    );
    assert_eq!(two.api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn deadlines_travel_and_shrink() {
    let two = two().await;
    let left = function("left", "func() -> u64");
    let context = Context::new(Duration::from_millis(700)).shrunk(Duration::from_secs(9));
    let answer = two
        .call(&left, Bytes::new(), context.nested())
        .await
        .expect("answered");
    let left: u64 = from_bytes(&answer).expect("a number");
    assert!((1..=700).contains(&left), "{left}");
    assert_eq!(context.nested().hops, 1);
}

#[tokio::test]
async fn a_chain_that_is_too_long_is_refused() {
    let two = two().await;
    let mut context = Context::default();
    for _ in 0..MAX_HOPS {
        context = context.nested();
    }
    two.call(&echo(), text("x"), context)
        .await
        .expect("the last hop that is allowed");
    let answer = two.call(&echo(), text("x"), context.nested()).await;
    assert_eq!(answer, Err(CallError::TooManyHops { limit: MAX_HOPS }));
}

#[tokio::test]
async fn arguments_and_results_over_the_limit_are_refused() {
    let two = two().await;
    let answer = two
        .call(&echo(), Bytes::from(vec![0; 2 << 20]), Context::default())
        .await;
    assert!(
        matches!(
            answer,
            Err(CallError::TooLarge {
                what: Part::Arguments,
                ..
            })
        ),
        "{answer:?}"
    );
    let big = function("big", "func(n: u32) -> list<u8>");
    let n = lattice_core::value::to_bytes(&(2_u32 << 20,)).expect("encodes");
    let answer = two.call(&big, n, Context::default()).await;
    let error = answer.expect_err("too large");
    assert!(
        matches!(
            error,
            CallError::TooLarge {
                what: Part::Result,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.ran(), Ran::Yes);
}

#[tokio::test]
async fn dropping_a_call_frees_its_place() {
    let two = two().await;
    let (function, name) = (wait(), LinkName::default());
    let caller = two.a.caller(id("caller"));
    let call = caller.call(&function, &name, Bytes::new(), Context::default());
    tokio::select! {
        answer = call => panic!("answered: {answer:?}"),
        () = two.api.started.notified() => {}
    }
    assert_eq!(two.a.in_flight(), 0);
    two.api.release.notify_one();
    two.call(&echo(), text("x"), Context::default())
        .await
        .expect("a late reply to nobody does no harm");
}

#[tokio::test]
async fn a_killed_host_is_noticed_and_its_calls_end() {
    let two = two().await;
    two.call(&echo(), text("x"), Context::default())
        .await
        .expect("answered");
    let caller = two.a.caller(id("caller"));
    let running = tokio::spawn({
        let context = Context::new(Duration::from_secs(10));
        async move {
            caller
                .call(&wait(), &LinkName::default(), Bytes::new(), context)
                .await
        }
    });
    two.api.started.notified().await;
    let start = std::time::Instant::now();
    two.b.kill();
    let lost = running.await.expect("joined").expect_err("lost");
    assert_eq!(
        lost,
        CallError::HostLost {
            host: HostId::new("b").expect("an id")
        }
    );
    assert_eq!((lost.ran(), lost.is_retryable()), (Ran::Maybe, true));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let next = two
        .call(&echo(), text("x"), Context::default())
        .await
        .expect_err("nobody serves it");
    assert_eq!(next.ran(), Ran::No, "{next:?}");
    drop(two.serving);
}

#[tokio::test]
async fn another_replica_takes_over_from_a_killed_host() {
    let two = two().await;
    let c = host(&two.lattice, "c").await;
    let (_api, _serving) = serve(&c, "callee").await;
    eventually("both replicas are known", async || {
        two.lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    two.b.kill();
    for _ in 0..32 {
        two.call(&echo(), text("x"), Context::default())
            .await
            .expect("the other replica answers");
    }
}

#[tokio::test]
async fn a_host_that_leaves_finishes_what_it_has() {
    let two = two().await;
    let caller = two.a.caller(id("caller"));
    let running = tokio::spawn(async move {
        caller
            .call(
                &wait(),
                &LinkName::default(),
                Bytes::new(),
                Context::default(),
            )
            .await
    });
    two.api.started.notified().await;
    let leaving = tokio::spawn({
        let b = two.b.clone();
        async move { b.leave(Duration::from_secs(5)).await }
    });
    eventually("it takes no new calls", async || {
        let answer = two.call(&echo(), text("x"), Context::default()).await;
        matches!(answer, Err(error) if error.ran() == Ran::No)
    })
    .await;
    two.api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    assert!(leaving.await.expect("joined"), "it drained");
    let refused = two
        .b
        .serve(
            id("more"),
            Arc::new(Serve(Arc::default())),
            ServeLimits::default(),
        )
        .await;
    assert!(
        matches!(refused, Err(ServeError::Leaving { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn localities_are_kept() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (here, _here) = serve(&a, "callee").await;
    let (there, _there) = serve(&b, "callee").await;
    let caller = a.caller(id("caller"));
    let go = async |locality: Locality, times: usize| {
        let link = Link::new("caller", API, "callee")
            .expect("a link")
            .locality(locality);
        lattice.links().replace(link).await.expect("put");
        for _ in 0..times {
            caller
                .call(&echo(), &LinkName::default(), text("x"), Context::default())
                .await
                .expect("answered");
        }
        (
            here.calls.swap(0, Ordering::SeqCst),
            there.calls.swap(0, Ordering::SeqCst),
        )
    };
    eventually("both replicas are known", async || {
        lattice.peers().serving(&id("callee")).len() == 2
    })
    .await;
    assert_eq!(go(Locality::PreferLocal, 20).await, (20, 0));
    assert_eq!(go(Locality::LocalOnly, 20).await, (20, 0));
    let (here_calls, there_calls) = go(Locality::Spread, 64).await;
    assert!(
        here_calls > 0 && there_calls > 0,
        "{here_calls} {there_calls}"
    );
    let link = Link::new("caller", API, "callee")
        .expect("a link")
        .locality(Locality::LocalOnly);
    lattice.links().replace(link).await.expect("put");
    let elsewhere = host(&lattice, "c").await.caller(id("caller"));
    let answer = elsewhere
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    assert!(
        matches!(
            answer,
            Err(CallError::NotServed { .. } | CallError::Disconnected { .. })
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_refused_link_keeps_the_reason_and_fails_its_calls() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (api, _serving) = serve(&b, "callee").await;
    *api.refuse.lock().expect("not poisoned") = Some("bucket is missing".to_owned());
    link(&lattice, "caller", "callee").await;
    let caller = a.caller(id("caller"));
    let answer = caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await;
    let Err(CallError::LinkRejected { reason, .. }) = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(reason, "bucket is missing");
    let key = Link::new("caller", API, "callee").expect("a link").key();
    let status = async || lattice.links().get(&key).map(|entry| entry.status.clone());
    eventually("the reason is kept on the link", async || {
        status().await == Some(LinkStatus::rejected("bucket is missing"))
    })
    .await;
    *api.refuse.lock().expect("not poisoned") = None;
    let better = Link::new("caller", API, "callee")
        .expect("a link")
        .config(&"better")
        .expect("json");
    lattice.links().replace(better).await.expect("put");
    caller
        .call(&echo(), &LinkName::default(), text("x"), Context::default())
        .await
        .expect("answered");
    eventually("the link is active", async || {
        status().await == Some(LinkStatus::Active)
    })
    .await;
    assert_eq!(
        *api.links.lock().expect("not poisoned"),
        ["+caller null", "+caller \"better\""]
    );
}

#[tokio::test]
async fn one_id_is_served_once_per_host() {
    let two = two().await;
    let again = two
        .b
        .serve(
            id("callee"),
            Arc::new(Serve(Arc::default())),
            ServeLimits::default(),
        )
        .await;
    assert!(
        matches!(again, Err(ServeError::AlreadyServed { .. })),
        "{again:?}"
    );
    assert!(two.serving.stop(Duration::from_secs(1)).await);
    two.b
        .serve(
            id("callee"),
            Arc::new(Serve(Arc::default())),
            ServeLimits::default(),
        )
        .await
        .expect("free again");
}
