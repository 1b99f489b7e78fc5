//! Calls over a real NATS server.

use crate::{log::Log, nats, support::*};
use bytes::Bytes;
use lattice_core::{
    ConnectError, Lattice,
    auth::LatticeKey,
    bus::Bus as _,
    call::{CallError, Context, Ran},
    nats::NatsOptions,
    node::NodeOptions,
    quantity::ByteSize,
    server::{ServeHandle, ServeLimits},
    subject::Subjects,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"5a".repeat(32)).expect("a key")
}

async fn join(url: &str, name: &str) -> Lattice {
    Lattice::connect(url, name)
        .key(key())
        .await
        .expect("it connects")
}

async fn server() -> nats::NatsServer {
    nats::NatsConfig::default().jetstream().start().await
}

async fn serve_callee(lattice: &Lattice) -> (Arc<Api>, ServeHandle) {
    let api = Arc::new(Api::default());
    let service = Arc::new(Serve(api.clone()));
    let serving = lattice
        .serve(id("callee"), service)
        .await
        .expect("it serves");
    (api, serving)
}

#[tokio::test]
async fn components_in_two_connections_call_each_other() {
    let server = server().await;
    let (here, there) = (
        join(&server.url(), "prod").await,
        join(&server.url(), "prod").await,
    );
    let (api, _serving) = serve_callee(&there).await;
    link(&here, "caller", "callee").await;
    let node = here.node(NodeOptions::default()).await.expect("it joins");
    let caller = node.caller("caller").expect("valid");
    for n in 0..100 {
        let args = text(&n.to_string());
        let answer = call(&caller, &echo(), args.clone(), Context::default()).await;
        assert_eq!(
            answer,
            Ok(args),
            "a string and a tuple of one string encode alike"
        );
    }
    let typed: String = here
        .operator()
        .component("callee")
        .call(API, "echo", ("operator",))
        .await
        .expect("a result");
    assert_eq!(typed, "operator");
    let large = "x".repeat(500_000);
    let typed: String = here
        .operator()
        .component("callee")
        .call(API, "echo", (&large,))
        .await
        .expect("a result");
    assert!(typed == large);
    assert_eq!(api.calls.load(Ordering::SeqCst), 102);
}

/// A server announces its own limit only, and closes a connection over a message that is too large
/// for the account, as at a provider of managed accounts.
#[tokio::test]
async fn an_account_with_smaller_messages_than_its_server_carries_large_calls() {
    let accounts = "accounts { small {
        users: [{user: m, password: p}], jetstream: enabled, limits: { max_payload: 65536 }
    } }";
    let config = nats::NatsConfig::default().jetstream().text(accounts);
    let server = config.start().await;
    let join = async || {
        let options = NatsOptions::new(server.url()).user("m", "p");
        let options = options.max_payload(ByteSize::kib(64));
        let lattice = Lattice::connect(options, "prod").key(key());
        lattice.await.expect("it connects")
    };
    let (here, there) = (join().await, join().await);
    let (api, _serving) = serve_callee(&there).await;
    let callee = here.operator().component("callee");
    for size in [60_000, 70_000, 500_000] {
        let large = "x".repeat(size);
        let call = callee.call::<String>(API, "echo", (&large,));
        let answer = call.timeout(Duration::from_secs(30)).await;
        assert!(answer.as_ref() == Ok(&large), "{size}: {answer:.200?}");
    }
    assert_eq!(api.calls.load(Ordering::SeqCst), 3);
    let log = server.log().to_lowercase();
    assert!(!log.contains("maximum payload"), "{log}");
}

#[tokio::test]
async fn many_concurrent_calls_all_end() {
    let server = server().await;
    let (here, there) = (
        join(&server.url(), "prod").await,
        join(&server.url(), "prod").await,
    );
    let (_api, _serving) = serve_callee(&there).await;
    link(&here, "caller", "callee").await;
    let node = here.node(NodeOptions::default()).await.expect("it joins");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let caller = node.caller("caller").expect("valid");
        calls.spawn(async move {
            let args = text(&n.to_string());
            let answer = call(&caller, &echo(), args.clone(), Context::default()).await;
            assert_eq!(answer, Ok(args));
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("a result");
    }
    assert_eq!(node.in_flight(), 0);
}

#[tokio::test]
async fn a_flood_through_the_server_takes_no_more_memory_than_messages_may() {
    let server = server().await;
    let lattice = Lattice::connect(server.url(), "prod")
        .key(key())
        .message_memory(ByteSize::mib(16));
    let lattice = lattice.await.expect("it connects");
    let logs = lattice.logs(None, 0).await.expect("it subscribes");
    let stranger = NatsOptions::new(server.url()).connect().await;
    let bus = stranger.expect("it connects").bus();
    let subject = Subjects::new(lattice.name()).logs();
    for _ in 0..64 {
        let garbage = Bytes::from(vec![7; 500 << 10]);
        let sent = bus.publish(subject.clone(), None, garbage).await;
        sent.expect("sent");
    }
    bus.flush().await.expect("the server has it");
    // The server's answers to this come after the flood.
    link(&lattice, "caller", "callee").await;
    let held = lattice.message_memory().received;
    let quarter = ByteSize::mib(4);
    assert!(held > ByteSize::mib(1) && held <= quarter, "{held}");
    drop(logs);
    eventually("nothing is held", async || {
        lattice.message_memory().received == ByteSize::bytes(0)
    })
    .await;
}

#[tokio::test]
async fn two_lattices_on_one_server_are_isolated() {
    let server = server().await;
    let (one, other) = (
        join(&server.url(), "one").await,
        join(&server.url(), "other").await,
    );
    let (_api, _serving) = serve_callee(&one).await;
    link(&one, "caller", "callee").await;
    let own: String = one
        .operator()
        .component("callee")
        .call(API, "echo", ("own",))
        .await
        .expect("a result");
    assert_eq!(own, "own");
    let foreign: Result<String, _> = other
        .operator()
        .component("callee")
        .call(API, "echo", ("foreign",))
        .await;
    assert_eq!(
        foreign,
        Err(CallError::NotServed {
            component: id("callee")
        })
    );
    let node = other.node(NodeOptions::default()).await.expect("it joins");
    let answer = say(&node.caller("caller").expect("valid")).await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    assert!(other.links().list().is_empty());
    assert!(other.peers().serving(&id("callee")).is_empty());
}

#[tokio::test]
async fn another_key_is_another_lattice() {
    let server = server().await;
    let ours = join(&server.url(), "prod").await;
    let (api, _serving) = serve_callee(&ours).await;
    let theirs = Lattice::connect(server.url(), "prod")
        .key(LatticeKey::generate())
        .await
        .expect("it connects");
    let answer: Result<String, _> = theirs
        .operator()
        .component("callee")
        .call(API, "echo", ("x",))
        .timeout(Duration::from_millis(500))
        .await;
    assert_eq!(answer.expect_err("refused").ran(), Ran::No);
    assert_eq!(api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_bus_without_a_key_must_be_trusted_explicitly() {
    let server = server().await;
    let refused = Lattice::connect(server.url(), "prod").await;
    assert!(
        matches!(refused, Err(ConnectError::NoKey { .. })),
        "{refused:?}"
    );
    let log = Log::default();
    let _captured = log.capture();
    Lattice::connect(server.url(), "prod")
        .trust_bus()
        .await
        .expect("trusted explicitly");
    let said = log.text();
    let warned = said.lines().any(|line| {
        line.contains("WARN") && line.contains("no key") && line.contains("lattice=prod")
    });
    assert!(warned, "{said}");
}

#[tokio::test]
async fn the_reachable_one_of_several_servers_is_used() {
    let server = server().await;
    // There is no listener on the first port.
    let servers = format!("nats://127.0.0.1:1, {}", server.url());
    let (here, there) = (
        join(&servers, "prod").await,
        join(&server.url(), "prod").await,
    );
    let (_api, _serving) = serve_callee(&there).await;
    let answer: String = here
        .operator()
        .component("callee")
        .call(API, "echo", ("hi",))
        .await
        .expect("a result");
    assert_eq!(answer, "hi");
}

#[tokio::test]
async fn a_lost_server_ends_every_call_and_calls_work_when_it_returns() {
    let mut server = server().await;
    let (here, there) = (
        join(&server.url(), "prod").await,
        join(&server.url(), "prod").await,
    );
    let (api, _serving) = serve_callee(&there).await;
    link(&here, "caller", "callee").await;
    let node = host(&here, "a").await;
    let caller = node.caller("caller").expect("valid");
    let running = begin_wait(&caller, Context::new(Duration::from_secs(10)));
    api.started.notified().await;
    let start = std::time::Instant::now();
    server.kill();
    let lost = running.await.expect("joined").expect_err("lost");
    assert_eq!(lost, CallError::Disconnected { ran: Ran::Maybe });
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let answer = say(&caller).await;
    assert_eq!(answer.expect_err("no bus").ran(), Ran::No);
    let service = Arc::new(Serve(Arc::default()));
    let refused = node.serve(id("local"), service, ServeLimits::default());
    let refused = tokio::time::timeout(Duration::from_secs(15), refused).await;
    assert!(
        refused.expect("ends").is_err(),
        "its types can't be published"
    );
    server.restart().await;
    eventually("calls succeed again", async || say(&caller).await.is_ok()).await;
}
