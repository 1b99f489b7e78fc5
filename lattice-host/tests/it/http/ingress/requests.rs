//! Requests that are served: heads, bodies and connections, over both protocols.

use super::{
    scene::{SITE, Scene},
    wire::{Body, Wire, within},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lattice_core::wormholes::NewWormhole;
use std::{convert::Infallible, net::SocketAddr};
use tokio::net::TcpStream;

pub(super) type AnyBody = UnsyncBoxBody<Bytes, Infallible>;
pub(super) type Client = hyper::client::conn::http2::SendRequest<AnyBody>;

/// Connects with HTTP/2, in plain text.
pub(super) async fn http2(address: SocketAddr) -> Client {
    let io = within(TcpStream::connect(address))
        .await
        .expect("it connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io));
    let (client, connection) = within(handshake).await.expect("a handshake");
    tokio::spawn(connection);
    client
}

pub(super) fn get(path: &str) -> http::Request<AnyBody> {
    let uri = format!("http://{SITE}{path}");
    let request = http::Request::get(uri).body(Empty::new().boxed_unsync());
    request.expect("a request")
}

async fn read(response: http::Response<Incoming>) -> Bytes {
    let body = within(response.into_body().collect()).await;
    body.expect("it is whole").to_bytes()
}

#[tokio::test]
async fn a_component_answers_over_one_connection_many_times() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    for _ in 0..3 {
        let answer = wire.get(SITE, "/hello").await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("content-length"), Some("5"));
        assert!(answer.header("date").is_some());
    }
    let answer = wire.get(SITE, "/nothing").await;
    assert_eq!(answer.status, 502, "an error code of the component");
}

#[tokio::test]
async fn both_protocols_are_spoken_on_one_address() {
    let scene = Scene::new().await;
    let mut client = http2(scene.address).await;
    let response = within(client.send_request(get("/hello"))).await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(read(response).await, "hello");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    const PARTS: usize = 200;
    let scene = Scene::new().await;
    let mut client = http2(scene.address).await;
    // Each part is sent when the one before has come back.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let parts = futures_util::stream::unfold(receiver, async |mut receiver| {
        let part = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(part)), receiver))
    });
    let body = StreamBody::new(Box::pin(parts)).boxed_unsync();
    let request = http::Request::post(format!("http://{SITE}/echo")).body(body);
    let response = client.send_request(request.expect("a request"));
    let mut response = within(response).await.expect("an answer");
    for number in 0..PARTS {
        let part = Bytes::from(vec![number as u8; 10_000]);
        within(sender.send(part.clone())).await.expect("it is read");
        let mut back = 0;
        while back < part.len() {
            let frame = within(response.body_mut().frame()).await;
            let frame = frame.expect("more").expect("it doesn't break");
            let data = frame.into_data().expect("data");
            assert!(data.iter().all(|byte| *byte == number as u8));
            back += data.len();
        }
        assert_eq!(back, part.len());
    }
    drop(sender);
    // The end of a stream comes as an empty part, because it wasn't known with the last one.
    while let Some(frame) = within(response.body_mut().frame()).await {
        let data = frame.expect("it doesn't break").into_data();
        assert_eq!(data.expect("no trailers"), "");
    }
}

#[tokio::test]
async fn a_large_body_comes_back_whole() {
    let scene = Scene::new().await;
    let mut client = http2(scene.address).await;
    let bytes: Bytes = (0..3_000_000_u32).map(|number| number as u8).collect();
    let body = Full::new(bytes.clone()).boxed_unsync();
    let request = http::Request::post(format!("http://{SITE}/echo")).body(body);
    let response = within(client.send_request(request.expect("a request"))).await;
    assert!(read(response.expect("an answer")).await == bytes);
}

#[tokio::test]
async fn chunks_and_expectations_are_understood() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SITE}\ntransfer-encoding: chunked\n\n5\nhello\n6\n world\n0\n\n"
    ))
    .await;
    assert_eq!(wire.answer().await.text(), "11");

    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SITE}\ncontent-length: 5\nexpect: 100-continue\n\n"
    ))
    .await;
    assert_eq!(wire.head().await.status, 100);
    wire.send("hello").await;
    assert_eq!(wire.answer().await.text(), "5");
}

#[tokio::test]
async fn some_responses_have_no_body() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("HEAD /exact HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    let head = wire.head().await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5"))
    );
    for status in [204, 304] {
        let answer = wire.get(SITE, &format!("/status/{status}")).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, None)
        );
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    // The connection is still in step.
    assert_eq!(wire.get(SITE, "/hello").await.text(), "hello");

    let mut client = http2(scene.address).await;
    for (method, path) in [
        ("HEAD", "/hello"),
        ("GET", "/status/204"),
        ("GET", "/status/304"),
    ] {
        let mut request = get(path);
        *request.method_mut() = method.parse().expect("a method");
        let response = within(client.send_request(request))
            .await
            .expect("an answer");
        assert!(read(response).await.is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_component_sees_the_head_and_what_is_known_of_the_client() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "GET /see?a=%20b HTTP/1.1\nHost: {}:81\nAccept: x\nConnection: keep-alive, x-private\n\
         X-Private: 1\nX-Forwarded-For: 6.6.6.6\nX-Real-Ip: 6.6.6.6\nX-Request-Id: forged\n\
         Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nTE: trailers\n\n",
        SITE.to_uppercase()
    ))
    .await;
    let answer = wire.answer().await;
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let seen: Vec<&str> = answer.text().lines().collect();
    assert_eq!(
        seen[..4],
        [
            "method GET",
            "scheme http",
            &format!("authority {}:81", SITE.to_uppercase()),
            "path /see?a=%20b"
        ]
    );
    for expected in [
        "accept: x",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        &format!("x-forwarded-host: {}:81", SITE.to_uppercase()),
        &format!("x-request-id: {id}"),
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "te: trailers",
    ] {
        assert!(seen.contains(&expected), "{expected} in {seen:?}");
    }
    for name in ["connection", "x-private", "x-real-ip", "forged", "6.6.6.6"] {
        assert!(!answer.text().contains(name), "{name} in {seen:?}");
    }
    assert!(
        !seen.iter().any(|line| line.starts_with("host:")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_client_cannot_remove_headers_of_the_ingress() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "GET /see HTTP/1.1\nhost: {SITE}\nconnection: X-Forwarded-For, x-forwarded-proto, x-private\n\
         connection: x-forwarded-host,x-request-id\nx-private: 1\n\n"
    ))
    .await;
    let answer = wire.answer().await;
    let id = answer.header("x-request-id").expect("an id").to_owned();
    for expected in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        &format!("x-forwarded-host: {SITE}"),
        &format!("x-request-id: {id}"),
    ] {
        assert!(answer.text().contains(expected), "{expected}: {answer:?}");
    }
    assert!(!answer.text().contains("x-private"), "{answer:?}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let local = "127.0.0.0/8".parse().expect("a range");
    let scene = Scene::with(|ingress| ingress.trusted_proxies([local])).await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "GET /see HTTP/1.1\nhost: {SITE}\nx-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\n\
         x-request-id: of-the-proxy\n\n"
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!(answer.header("x-request-id"), Some("of-the-proxy"));
    for expected in [
        "scheme https",
        "x-forwarded-for: 192.0.2.7, 127.0.0.1",
        "x-forwarded-proto: https",
        "x-request-id: of-the-proxy",
    ] {
        assert!(answer.text().contains(expected), "{expected}: {answer:?}");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_names_the_trace_where_traces_begin_here() {
    let head = format!(
        "GET /see HTTP/1.1\nhost: {SITE}\ntracestate: a=b\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n\n"
    );
    let local = "127.0.0.0/8".parse().expect("a range");
    for (proxies, is_kept) in [(vec![], false), (vec![local], true)] {
        let scene = Scene::with(|ingress| ingress.own_traces().trusted_proxies(proxies)).await;
        let mut wire = scene.connect().await;
        wire.send(&head).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for name in ["tracestate:", "traceparent: 00-0af7651916cd43dd"] {
            assert_eq!(answer.text().contains(name), is_kept, "{name}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn wormholes_are_found_by_host_and_path() {
    let scene = Scene::with(|ingress| ingress.domain("Lattice.Example")).await;
    scene
        .open(|new| new.host("quiet-harbor-4821").domain("shop.example"))
        .await;
    let mut wire = scene.connect().await;
    for (host, status) in [
        ("quiet-harbor-4821", 200),
        ("quiet-harbor-4821.localhost:8080", 200),
        ("quiet-harbor-4821.lattice.example", 200),
        ("a.quiet-harbor-4821.lattice.example", 404),
        ("quiet-harbor-4821.other.example", 404),
        ("shop.example.", 200),
        ("lattice.example", 404),
    ] {
        assert_eq!(wire.get(host, "/hello").await.status, status, "{host}");
    }
    wire.send("GET http://shop.example/hello HTTP/1.1\nhost: shop.example\n\n")
        .await;
    assert_eq!(wire.answer().await.text(), "hello");

    scene
        .open(|new| new.host("paths.example").path("/see"))
        .await;
    for (path, status) in [
        ("/see", 200),
        ("/%73ee", 502),
        ("/sees", 404),
        ("/hello", 404),
    ] {
        let found = wire.get("paths.example", path).await.status;
        assert_eq!(found, status, "{path}");
    }
    scene.open(NewWormhole::any_host).await;
    assert_eq!(wire.get("any.example", "/hello").await.status, 200);
}

#[tokio::test]
async fn a_request_of_http_1_0_is_answered_until_the_connection_ends() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /hello HTTP/1.0\nhost: {SITE}\n\n"))
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &Body::Whole("hello".to_owned()))
    );
    assert_eq!(wire.rest().await, (String::new(), true));
}

#[tokio::test]
async fn trailers_arrive_without_what_belongs_to_a_head() {
    let scene = Scene::new().await;
    let mut client = http2(scene.address).await;
    let response = within(client.send_request(get("/trailers"))).await;
    let body = within(response.expect("an answer").into_body().collect()).await;
    let body = body.expect("it is whole");
    let trailers = body.trailers().expect("there are trailers");
    assert_eq!(trailers["x-sum"], "7");
    assert_eq!(trailers.len(), 1, "{trailers:?}");
}

#[tokio::test]
async fn cookies_that_http2_splits_are_one_header() {
    let scene = Scene::new().await;
    let mut client = http2(scene.address).await;
    let mut request = get("/see");
    for cookie in ["a=1", "b=2"] {
        let cookie = http::HeaderValue::from_static(cookie);
        request.headers_mut().append("cookie", cookie);
    }
    let response = within(client.send_request(request)).await;
    let seen = read(response.expect("an answer")).await;
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("cookie: a=1; b=2"), "{seen}");
}

#[tokio::test]
async fn two_requests_at_once_are_answered_in_order() {
    let scene = Scene::new().await;
    let mut wire: Wire = scene.connect().await;
    wire.send(&format!(
        "GET /hello HTTP/1.1\nhost: {SITE}\n\nGET /empty HTTP/1.1\nhost: {SITE}\n\n"
    ))
    .await;
    assert_eq!(wire.answer().await.text(), "hello");
    assert_eq!(wire.answer().await.text(), "");
}
