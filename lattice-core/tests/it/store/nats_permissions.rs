//! The permissions that `docs/nats.md` gives to members of a lattice, and denies to others.

use super::{server::NatsConfig, server::NatsServer, soon};
use crate::support::*;
use futures_util::StreamExt as _;
use lattice_core::{
    Lattice,
    app::App,
    auth::LatticeKey,
    call::Context,
    name::{ComponentId, HostId},
    nats::NatsOptions,
    node::NodeOptions,
    store::{Expect, Op, Store, StoreKey},
};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The stream of the store.
const STREAM: &str = "KV_LATTICE_prod";

/// Returns the configuration in the documentation.
fn documented() -> &'static str {
    let docs = include_str!("../../../docs/nats.md");
    let (_, rest) = docs.split_once("```text\naccounts").expect("a block");
    let (accounts, _) = rest.split_once("```").expect("its end");
    let start = docs.len() - rest.len() - "accounts".len();
    &docs[start..start + "accounts".len() + accounts.len()]
}

async fn server() -> NatsServer {
    let config = NatsConfig::default().jetstream().text(documented());
    soon("the server", config.start()).await
}

async fn member(server: &NatsServer) -> Lattice {
    let options = NatsOptions::new(server.url())
        .user("member", "change-me")
        .inbox_prefix("_LATTICE_prod");
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let joins = Lattice::connect(options, "prod").key(key);
    soon("a member", joins.into_future())
        .await
        .expect("it joins")
}

/// A client that sends protocol lines.
struct Raw(TcpStream);

impl Raw {
    async fn login(server: &NatsServer, user: &str, password: &str) -> Self {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("connects");
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
        );
        stream.write_all(hello.as_bytes()).await.expect("writes");
        let mut raw = Self(stream);
        let answer = raw.send("").await;
        assert!(!answer.contains("-ERR"), "{answer}");
        raw
    }

    /// Sends a line and returns everything that the server answers until it has handled it.
    async fn send(&mut self, line: &str) -> String {
        let line = format!("{line}PING\r\n");
        self.0.write_all(line.as_bytes()).await.expect("writes");
        let mut received = Vec::new();
        soon("the server's answer", async {
            while !received.ends_with(b"PONG\r\n") {
                let read = self.0.read_buf(&mut received).await.expect("reads");
                assert!(read > 0, "closed: {}", String::from_utf8_lossy(&received));
            }
        })
        .await;
        String::from_utf8_lossy(&received).into_owned()
    }

    async fn cannot_publish(&mut self, subject: &str) {
        let answer = self.send(&format!("PUB {subject} 1\r\nx\r\n")).await;
        let denied = "Permissions Violation for Publish";
        assert!(answer.contains(denied), "{subject}: {answer}");
    }

    async fn cannot_subscribe(&mut self, subject: &str) {
        let answer = self.send(&format!("SUB {subject} 7\r\n")).await;
        let denied = "Permissions Violation for Subscription";
        assert!(answer.contains(denied), "{subject}: {answer}");
    }
}

fn actors(actors: &[&str]) -> App {
    let image = "image = \"registry.example/shop/greeter:1\"";
    let actors = actors.iter().map(|id| format!("[actors.{id}]\n{image}"));
    let lines: Vec<String> = actors.collect();
    let text = format!("name = \"shop\"\n{}", lines.join("\n"));
    App::from_toml("app.toml", &text).expect("a manifest")
}

#[tokio::test]
async fn a_member_can_do_everything_with_the_documented_permissions() {
    let server = server().await;
    let (here, there) = (member(&server).await, member(&server).await);

    // Calls, of a host whose epoch is recorded.
    let api = Arc::new(Api::default());
    let serving = there.serve(id("callee"), Arc::new(Serve(api))).await;
    let _serving = serving.expect("it serves");
    link(&here, "caller", "callee").await;
    let host = HostId::new("edge").expect("valid");
    let options = NodeOptions::default().host(&host).expect("valid");
    let node = here.node(options).await.expect("it joins");
    let caller = node.caller("caller").expect("valid");
    for args in ["x".to_owned(), "x".repeat(200_000)] {
        let answer = call(&caller, &echo(), text(&args), Context::default()).await;
        assert_eq!(answer, Ok(text(&args)));
    }

    // Apps, large enough for several deliveries, and their deletion.
    let ids: Vec<String> = (0..300).map(|n| format!("a{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    here.apply(&actors(&ids)).await.expect("applied");
    let mut follow = there.watch_desired();
    let all = async { while follow.next().await.expect("open").actors.len() < 300 {} };
    soon("the app", all).await;
    there.delete_app("shop").await.expect("deleted");
    let mut follow = here.watch_desired();
    let none = async { while !follow.next().await.expect("open").actors.is_empty() {} };
    soon("the deletion", none).await;
    assert!(here.desired().unreadable.is_empty(), "{:?}", here.desired());
    here.apply(&actors(&["a1"])).await.expect("applied again");

    // Links, and their deletion.
    let key = here.links().list()[0].key.clone();
    here.links().delete(&key).await.expect("deleted");
    assert_eq!(here.replica().health().refused, 0);
}

#[tokio::test]
async fn other_users_of_the_account_can_do_nothing() {
    let server = server().await;
    let lattice = member(&server).await;
    lattice.apply(&actors(&["a"])).await.expect("applied");
    let before = lattice.desired();
    let mut other = Raw::login(&server, "other", "change-me-too").await;
    let answer = other.send("PUB shop.orders 1\r\nx\r\n").await;
    assert!(!answer.contains("-ERR"), "its own subjects: {answer}");
    let mut subjects: Vec<String> = [
        "PURGE",
        "DELETE",
        "UPDATE",
        "CREATE",
        "MSG.DELETE",
        "MSG.GET",
    ]
    .iter()
    .map(|what| format!("$JS.API.STREAM.{what}.{STREAM}"))
    .collect();
    subjects.extend(
        [
            "$KV.LATTICE_prod.actor.a",
            "$KV.LATTICE_prod.lease.a",
            "$JS.API.STREAM.CREATE.another",
            "$JS.API.CONSUMER.CREATE.KV_LATTICE_prod.x",
            "$JS.API.DIRECT.GET.KV_LATTICE_prod.$KV.LATTICE_prod.actor.a",
            "_LATTICE_prod.any.1",
            "lattice.prod.beat",
            "lattice.prod.host.a.1.call",
        ]
        .map(str::to_owned),
    );
    for subject in &subjects {
        other.cannot_publish(subject).await;
    }
    for subject in [
        ">",
        "lattice.>",
        "lattice.prod.host.*.*.call",
        "_LATTICE_prod.>",
        "$KV.LATTICE_prod.>",
        "$JS.EVENT.ADVISORY.>",
    ] {
        other.cannot_subscribe(subject).await;
    }
    // A member needs the key for anything else, but not the right to destroy the store.
    let mut keyless = Raw::login(&server, "member", "change-me").await;
    for what in ["PURGE", "DELETE", "UPDATE", "MSG.DELETE"] {
        keyless
            .cannot_publish(&format!("$JS.API.STREAM.{what}.{STREAM}"))
            .await;
    }
    assert_eq!(lattice.desired(), before);
}

#[tokio::test]
async fn a_record_that_a_tool_of_nats_removes_is_not_deleted() {
    let server = NatsConfig::default().jetstream().start().await;
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::connect(server.url(), "prod").key(key);
    let lattice = lattice.await.expect("it joins");
    let ids = ["del", "purge", "rollup", "bare"];
    lattice.apply(&actors(&ids)).await.expect("applied");
    assert_eq!(lattice.desired().actors.len(), ids.len());
    let (client, jetstream) = super::nats::raw_client(&server.url()).await;
    let kv = jetstream
        .get_key_value("LATTICE_prod")
        .await
        .expect("there");
    kv.delete("actor.del").await.expect("deleted");
    kv.purge("actor.purge").await.expect("purged");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "sub");
    let subject = "$KV.LATTICE_prod.actor.rollup";
    let rolled = client.publish_with_headers(subject, headers, "x".into());
    rolled.await.expect("sent");
    let gone = super::nats::open(&server.url(), "prod").await;
    let actor = |id: &str| StoreKey::actor(&ComponentId::new(id).expect("valid"));
    let op = Op::delete(actor("bare"), Expect::Any);
    gone.commit(vec![op]).await.expect("removed");
    let mut follow = lattice.watch_desired();
    let refused = async {
        loop {
            let desired = follow.next().await.expect("open");
            if ids
                .iter()
                .all(|id| desired.unreadable.contains_key(&actor(id)))
            {
                return desired;
            }
        }
    };
    let desired = soon("what is refused", refused).await;
    assert_eq!(desired.actors.len(), ids.len());
    // The whole stream at once.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let stored = client.request_with_headers("$KV.LATTICE_prod.boom", headers, "x".into());
    stored.await.expect("stored");
    let app = StoreKey::parse("app.shop").expect("valid");
    let mut follow = lattice.watch_desired();
    let refused = async {
        while !follow
            .next()
            .await
            .expect("open")
            .unreadable
            .contains_key(&app)
        {}
    };
    soon("what is refused", refused).await;
    assert_eq!(lattice.desired().actors.len(), ids.len());
    lattice.apply(&actors(&ids)).await.expect("applied again");
    assert!(lattice.desired().unreadable.is_empty());
    lattice.delete_app("shop").await.expect("deleted");
    assert!(lattice.desired().actors.is_empty());
}
