//! Names whose addresses change, or aren't those of the web, and servers that don't respond.

use super::{OutgoingHttp, resolve::Resolve};
use crate::http::exchange::{
    DnsErrorPayload, ErrorCode, HANDLER, HandlerClient, Request, RequestOptions,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use lattice_core::{Lattice, sync::Mutex};
use lattice_provider_sdk::{Caller, Link, ServeHandle, serve};
use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// What a resolver says, one after the other. Then it says nothing more.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<io::Result<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let addresses = |answer: &&[&str]| {
            let parsed = answer.iter().map(|text| text.parse().expect("an address"));
            Ok(parsed.collect())
        };
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(addresses).collect()),
            asked: Mutex::default(),
        })
    }
}

impl Resolve for Script {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().push(name.to_owned());
        match self.answers.lock().pop_front() {
            Some(answer) => async { answer }.boxed(),
            None => pending().boxed(),
        }
    }
}

/// A component with a link to the web.
struct Scene {
    client: HandlerClient<Caller>,
    script: Arc<Script>,
    _serving: ServeHandle,
    _lattice: Lattice,
}

impl Scene {
    async fn new(script: Arc<Script>, config: serde_json::Value) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let provider = OutgoingHttp::with_resolver(script.clone());
        let serving = serve(&lattice, "web", provider).await.expect("serves");
        let link = Link::new("app", HANDLER, "web").expect("a link");
        let link = link.config(&config).expect("a config");
        lattice.links().put(link).await.expect("put");
        Self {
            client: HandlerClient::new(lattice.caller("app").expect("an id")),
            script,
            _serving: serving,
            _lattice: lattice,
        }
    }

    /// Gets a path of `http://authority`, and returns the status.
    async fn get(&self, authority: &str) -> Result<u16, ErrorCode> {
        let request = Request {
            method: "GET".to_owned(),
            scheme: Some("http".to_owned()),
            authority: Some(authority.to_owned()),
            path_with_query: Some("/".to_owned()),
            headers: Vec::new(),
            content: Bytes::new(),
            body: None,
            trailers: None,
        };
        let options = RequestOptions {
            connect_timeout: None,
            first_byte_timeout: None,
            between_bytes_timeout: None,
        };
        let response = self.client.handle(request, &options);
        let response = response.timeout(std::time::Duration::from_secs(60)).await;
        response
            .expect("the call succeeds")
            .map(|response| response.status)
    }

    fn asked(&self) -> Vec<String> {
        self.script.asked.lock().clone()
    }
}

/// Answers one request on each connection, and closes it.
async fn server() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a listener");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1_024];
            let _ = stream.read(&mut head).await;
            let response = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(response).await;
        }
    });
    (port, serving)
}

#[tokio::test]
async fn an_answer_that_changes_is_checked_again() {
    let (port, serving) = server().await;
    let script = Script::of(&[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]]);
    let host = format!("localhost:{port}");
    let config = serde_json::json!({ "allow": [host], "private": true });
    let scene = Scene::new(script, config).await;
    assert_eq!(scene.get(&host).await, Ok(204));
    assert_eq!(
        scene.get(&host).await,
        Err(ErrorCode::DestinationIpProhibited)
    );
    assert_eq!(scene.get(&host).await, Ok(204));
    assert_eq!(scene.asked(), ["localhost"; 3]);
    serving.abort();
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_ones_are_tried() {
    let (port, serving) = server().await;
    let mixed = &[
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "127.0.0.1",
    ];
    let host = format!("localhost:{port}");
    let config = serde_json::json!({ "allow": [host], "private": true });
    let scene = Scene::new(Script::of(&[mixed]), config).await;
    assert_eq!(scene.get(&host).await, Ok(204));
    serving.abort();
}

#[tokio::test]
async fn no_name_leads_to_what_is_not_of_the_web() {
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["169.254.169.254"],
        &["fd00:ec2::254"],
        &["0.0.0.0"],
        &["::"],
        &["224.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["127.0.0.1", "169.254.169.254"],
    ] {
        // The list has the loopback addresses themselves, and the name only as a pattern.
        let config = serde_json::json!({
            "allow": ["*", "app.example:80", "127.0.0.1", "[::1]", "localhost"],
            "private": true,
        });
        let scene = Scene::new(Script::of(&[addresses]), config).await;
        let refused = scene.get("app.example").await;
        let prohibited = Err(ErrorCode::DestinationIpProhibited);
        assert_eq!(refused, prohibited, "{addresses:?}");
    }
    let config = serde_json::json!({ "allow": ["*"] });
    for private in ["10.0.0.1", "192.168.1.1", "fc00::1", "100.64.0.1"] {
        let scene = Scene::new(Script::of(&[&[private]]), config.clone()).await;
        let refused = scene.get("app.example").await;
        assert_eq!(
            refused,
            Err(ErrorCode::DestinationIpProhibited),
            "{private}"
        );
    }
}

#[tokio::test]
async fn addresses_in_any_notation_are_not_resolved() {
    let config = serde_json::json!({ "allow": ["*"], "private": true });
    let scene = Scene::new(Script::of(&[]), config).await;
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "0xa9fea9fe",
        "2852039166",
        "0",
    ] {
        let refused = scene.get(host).await;
        assert_eq!(refused, Err(ErrorCode::DestinationIpProhibited), "{host}");
    }
    assert!(scene.asked().is_empty(), "{:?}", scene.asked());
}

#[tokio::test]
async fn names_that_do_not_resolve_have_their_own_errors() {
    let config = serde_json::json!({ "allow": ["*"], "connect-timeout-ms": 50 });
    let script = Script::of(&[&[]]);
    let unknown = io::Error::other("unknown");
    script.answers.lock().push_back(Err(unknown));
    let scene = Scene::new(script, config).await;
    assert_eq!(
        scene.get("none.example").await,
        Err(ErrorCode::DestinationNotFound)
    );
    let error = DnsErrorPayload {
        rcode: None,
        info_code: None,
    };
    assert_eq!(
        scene.get("unknown.example").await,
        Err(ErrorCode::DnsError(error))
    );
    assert_eq!(scene.get("Late.example.").await, Err(ErrorCode::DnsTimeout));
    let asked = ["none.example", "unknown.example", "late.example"];
    assert_eq!(scene.asked(), asked);
}

#[tokio::test]
async fn what_is_not_listed_is_not_even_resolved() {
    let config = serde_json::json!({ "allow": ["https://a.example", "*.b.example"] });
    let scene = Scene::new(Script::of(&[]), config).await;
    for authority in [
        "a.example",
        "a.example:443",
        "b.example",
        "a.b.example:8080",
        "c.example",
        "xa.example",
        "1.1.1.1",
    ] {
        let refused = scene.get(authority).await;
        assert_eq!(refused, Err(ErrorCode::HttpRequestDenied), "{authority}");
    }
    assert!(scene.asked().is_empty());
}
