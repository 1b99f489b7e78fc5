//! The life of a service: its start before its first call, its health, and its stop.

use super::*;
use futures_util::future::{BoxFuture, FutureExt as _, pending};
use lattice_core::{
    Drained, Lattice,
    call::Context,
    constellation::{Finding, Subject},
    link::{Link, LinkKey, LinkStatus},
    node::Node,
    serve::{Answer, Request, Service, Site},
    server::{ServeError, ServeHandle, ServeLimits},
    types::ComponentTypes,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What a test's service does, and what happened to it.
#[derive(Default)]
struct Life {
    log: Mutex<Vec<String>>,
    ill: Mutex<Option<String>>,
    start: Mutex<Act>,
    stop: Mutex<Act>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Act {
    #[default]
    Succeeds,
    Fails,
    Hangs,
    Panics,
}

impl Life {
    fn log(&self, what: impl Into<String>) {
        self.log.lock().expect("not poisoned").push(what.into());
    }

    fn logged(&self) -> Vec<String> {
        self.log.lock().expect("not poisoned").clone()
    }

    fn has_stopped(&self) -> bool {
        self.logged().last().is_some_and(|last| last == "stopped")
    }
}

/// A service with a life of its own, apart from its calls.
struct Lives {
    life: Arc<Life>,
    api: Serve,
}

impl Service for Lives {
    fn types(&self) -> Arc<ComponentTypes> {
        self.api.types()
    }

    fn call(&self, request: Request) -> Answer {
        self.life.log("call");
        self.api.call(request)
    }

    fn has_life(&self) -> bool {
        true
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        let (life, site) = (self.life.clone(), site.clone());
        let act = *life.start.lock().expect("not poisoned");
        assert!(act != Act::Panics, "told to");
        let starting = async move {
            // A call in its own name, before it is in service itself.
            let said = say(&site.caller()).await;
            life.log(format!("started as {}: {}", site.component(), said.is_ok()));
            assert_eq!(site.lattice().name().as_str(), "test");
            match act {
                Act::Hangs => pending().await,
                Act::Fails => Err("its file is missing".to_owned()),
                _ => Ok(()),
            }
        };
        starting.boxed()
    }

    fn stopped(&self, _: &Site) -> BoxFuture<'static, ()> {
        let life = self.life.clone();
        let act = *life.stop.lock().expect("not poisoned");
        life.log("stopping");
        assert!(act != Act::Panics, "told to");
        let stopping = async move {
            if act == Act::Hangs {
                pending::<()>().await;
            }
            sleep(Duration::from_millis(10)).await;
            life.log("stopped");
        };
        stopping.boxed()
    }

    fn linked(&self, _: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let has_ended = self.life.logged().contains(&"stopping".to_owned());
        let bound = if has_ended {
            Err("it has stopped".to_owned())
        } else {
            Ok(())
        };
        async move { bound }.boxed()
    }

    fn has_health(&self) -> bool {
        true
    }

    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        let ill = self.life.ill.lock().expect("not poisoned").clone();
        async move { ill.map_or(Ok(()), Err) }.boxed()
    }
}

/// Host `a` with a component `other`, to which `callee` is linked.
async fn scene() -> (Lattice, Node, ServeHandle) {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let (_, other) = serve(&node, "other").await;
    link(&lattice, "callee", "other").await;
    link(&lattice, "caller", "callee").await;
    (lattice, node, other)
}

async fn start(node: &Node, life: &Arc<Life>) -> Result<ServeHandle, ServeError> {
    let service = Lives {
        life: life.clone(),
        api: Serve(Arc::default()),
    };
    let serving = node.serve(id("callee"), service, ServeLimits::default());
    serving.await
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_before_its_first_call_and_stops_after_its_last() {
    let (_lattice, node, _other) = scene().await;
    let life = Arc::new(Life::default());
    let serving = start(&node, &life).await.expect("it serves");
    assert_eq!(life.logged(), ["started as callee: true"]);
    let caller = node.caller("caller").expect("valid");
    say(&caller).await.expect("it is in service");
    let waiting = begin_wait(&caller, Context::default());
    eventually("the call runs", async || serving.in_flight() == 1).await;
    let drained = serving.shutdown(Duration::from_millis(50)).await;
    let Drained::CutOff(cut_off) = drained else {
        panic!("a call still ran");
    };
    assert_eq!((cut_off.calls, cut_off.streams), (1, 0));
    waiting.await.expect("no panic").expect_err("cut off");
    let expected = [
        "started as callee: true",
        "call",
        "call",
        "stopping",
        "stopped",
    ];
    assert_eq!(life.logged(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_service_stops_when_it_is_dropped_and_when_its_node_shuts_down() {
    let (_lattice, node, _other) = scene().await;
    let life = Arc::new(Life::default());
    drop(start(&node, &life).await.expect("it serves"));
    eventually("it has stopped", async || life.has_stopped()).await;

    let life = Arc::new(Life::default());
    let serving = start(&node, &life).await.expect("it serves");
    assert!(node.shutdown(Duration::from_secs(1)).await.is_clean());
    assert!(life.has_stopped(), "{:?}", life.logged());
    drop(serving);
    let stops = life
        .logged()
        .iter()
        .filter(|line| *line == "stopped")
        .count();
    assert_eq!(stops, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_killed_node_is_not_stopped() {
    let (_lattice, node, _other) = scene().await;
    let life = Arc::new(Life::default());
    let serving = start(&node, &life).await.expect("it serves");
    node.kill();
    drop((serving, node));
    assert_eq!(life.logged(), ["started as callee: true"]);
    eventually("nothing keeps the service", async || {
        Arc::strong_count(&life) == 1
    })
    .await;
    assert_eq!(life.logged(), ["started as callee: true"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_start_is_not_served_and_says_why() {
    let (_lattice, node, _other) = scene().await;
    for (act, expected) in [
        (
            Act::Fails,
            "component `callee` did not start: its file is missing",
        ),
        (Act::Hangs, "it did not start within 10s"),
        (
            Act::Panics,
            "the provider panicked while it started: told to",
        ),
    ] {
        let life = Arc::new(Life::default());
        *life.start.lock().expect("not poisoned") = act;
        let began = Instant::now();
        let error = start(&node, &life).await.expect_err("it does not start");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(began.elapsed() < Duration::from_secs(11));
        assert!(!life.logged().contains(&"stopping".to_owned()));
    }
    let again = start(&node, &Arc::default()).await;
    again.expect("the id is free");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_stop_holds_up_nothing_for_long() {
    let (_lattice, node, _other) = scene().await;
    for act in [Act::Hangs, Act::Panics] {
        let life = Arc::new(Life::default());
        *life.stop.lock().expect("not poisoned") = act;
        let serving = start(&node, &life).await.expect("it serves");
        let began = Instant::now();
        assert!(serving.shutdown(Duration::from_secs(1)).await.is_clean());
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(life.logged().last().map(String::as_str), Some("stopping"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_comes_while_a_service_stops_is_not_rejected() {
    let (lattice, node, _other) = scene().await;
    let life = Arc::new(Life::default());
    *life.stop.lock().expect("not poisoned") = Act::Hangs;
    let serving = start(&node, &life).await.expect("it serves");
    let stopping = tokio::spawn(serving.shutdown(Duration::ZERO));
    eventually("it stops", async || {
        life.logged().contains(&"stopping".to_owned())
    })
    .await;
    link(&lattice, "late", "callee").await;
    // It hangs for some seconds, in which the link reaches its node.
    let drained = stopping.await.expect("no panic");
    assert!(drained.is_clean());
    for entry in lattice.links().list() {
        let is_rejected = matches!(entry.status, LinkStatus::Rejected { .. });
        assert!(!is_rejected, "{}: {}", entry.key, entry.status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_well_has_a_condition_until_it_is() {
    let (lattice, node, _other) = scene().await;
    let life = Arc::new(Life::default());
    let ill = |reason: Option<&str>| {
        *life.ill.lock().expect("not poisoned") = reason.map(str::to_owned);
    };
    ill(Some("the database is away"));
    let _serving = start(&node, &life).await.expect("it serves");
    let constellation = lattice.constellation();
    let reason = || {
        let view = constellation.snapshot();
        let replica = view.replicas_of(&id("callee")).next().cloned();
        replica.and_then(|replica| replica.reason.clone())
    };
    let is = async |expected: Option<&str>| {
        eventually("it is reported", async || reason().as_deref() == expected).await;
    };
    is(Some("the database is away")).await;
    let caller = node.caller("caller").expect("valid");
    say(&caller).await.expect("it is still called");
    let explained = lattice.explain(&Subject::Component(id("callee"))).await;
    let is_found = |finding: &Finding| matches!(finding, Finding::ServesInPart { .. });
    assert!(explained.findings.iter().any(is_found), "{explained}");
    // It may be a link from it that doesn't work.
    let calls = Link::new("callee", "test:out/api@0.1.0", "elsewhere").expect("valid");
    let calls = lattice.links().put(calls).await.expect("the link is put");
    let calls = Subject::Link(LinkKey::clone(&calls.key));
    let explained = lattice.explain(&calls).await;
    assert!(explained.findings.iter().any(is_found), "{explained}");
    // Checked every two seconds now, and reported within half a second.
    ill(None);
    is(None).await;
    ill(Some("the disk is full"));
    sleep(Duration::from_secs(10)).await;
    is(Some("the disk is full")).await;
}
