//! What of a request arrives, and what of a response.

use super::{
    scene::{Scene, header, options, read, request, values},
    server::{Body, Server, empty, text},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use lattice_provider_sdk::{ByteReader, FutureReader};
use serde_json::json;

/// Writes the head of a request as text.
fn head(request: &http::Request<Incoming>) -> String {
    let mut lines = vec![format!("{} {}", request.method(), request.uri())];
    for (name, value) in request.headers() {
        lines.push(format!("{name}: {}", value.to_str().expect("text")));
    }
    lines.join("\n")
}

async fn scene(server: &Server) -> Scene {
    let host = format!("http://{}", server.address);
    Scene::new(json!({ "allow": [host], "private": true })).await
}

#[tokio::test]
async fn a_request_arrives_with_its_head_and_body() {
    let server = Server::http(async |request| {
        let head = head(&request);
        let body = request.into_body().collect().await.expect("whole");
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let mut response = text(format!("{head}\n\n{body}"));
        *response.status_mut() = http::StatusCode::CREATED;
        let two = ["a", "b"].map(HeaderValue::from_static);
        for value in two {
            response.headers_mut().append("set-cookie", value);
        }
        response
    })
    .await;
    let scene = scene(&server).await;
    let mut post = request("POST", &server.url("/things?a=b"));
    post.headers = vec![header("x-own", "1"), header("accept", "text/plain")];
    let parts = ["hello, ", "Ada"].map(Bytes::from);
    post.body = Some(ByteReader::new(stream::iter(parts)));
    let response = scene.send(post).await.expect("a response");
    assert_eq!(response.status, 201);
    assert_eq!(values(&response, "set-cookie"), ["a", "b"]);
    let arrived = read(response).await.expect("whole");
    for line in [
        "POST /things?a=b",
        "x-own: 1",
        "accept: text/plain",
        "\n\nhello, Ada",
    ] {
        assert!(arrived.contains(line), "{line}: {arrived}");
    }
    let mut put = request("PUT", &server.url("/"));
    put.content = Bytes::from_static(b"small");
    let arrived = scene.send(put).await.expect("a response");
    let arrived = read(arrived).await.expect("whole");
    assert!(arrived.contains("content-length: 5") && arrived.ends_with("small"));
}

#[tokio::test]
async fn headers_of_the_connection_are_not_the_guests() {
    let server = Server::http(async |request| text(head(&request))).await;
    let scene = scene(&server).await;
    let mut get = request("GET", &server.url("/"));
    get.headers = vec![
        header("Host", "evil.example"),
        header("Connection", "close, x-secret"),
        header("x-secret", "1"),
        header("keep-alive", "timeout=5"),
        header("proxy-authorization", "x"),
        header("proxy-connection", "close"),
        header("te", "gzip"),
        header("trailer", "x"),
        header("transfer-encoding", "chunked"),
        header("upgrade", "h2c"),
        header("http2-settings", "x"),
        header("x-kept", "1"),
    ];
    let response = scene.send(get).await.expect("a response");
    let arrived = read(response).await.expect("whole");
    let mut lines: Vec<&str> = arrived.lines().collect();
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    assert_eq!(lines, ["GET /", &*host, "x-kept: 1"]);
}

#[tokio::test]
async fn headers_of_the_servers_connection_are_not_passed_on() {
    let server = Server::raw(
        "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\
         proxy-authenticate: x\r\ncontent-length: 2\r\nx-kept: 1\r\n\r\nok",
    )
    .await;
    let scene = scene(&server).await;
    let response = scene.send(request("GET", &server.url("/"))).await;
    let response = response.expect("a response");
    let mut names: Vec<&str> = response
        .headers
        .iter()
        .map(|header| &*header.name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-kept"]);
    assert_eq!(read(response).await.as_deref(), Ok("ok"));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let server = Server::http(async |request| {
        let body = request.into_body().collect().await.expect("whole");
        let got = body.trailers().cloned().unwrap_or_default();
        let mut trailers = HeaderMap::new();
        let sum = got.get("x-sum").cloned();
        trailers.insert("x-got", sum.unwrap_or(HeaderValue::from_static("none")));
        let frames = [
            Ok(Frame::data(body.to_bytes())),
            Ok(Frame::trailers(trailers)),
        ];
        let body: Body = StreamBody::new(stream::iter(frames)).boxed();
        let mut response = http::Response::new(body);
        let names = HeaderValue::from_static("x-got");
        response.headers_mut().insert("trailer", names);
        response
    })
    .await;
    let scene = scene(&server).await;
    let mut post = request("POST", &server.url("/"));
    post.headers = vec![header("trailer", "X-Sum"), header("te", "trailers")];
    post.content = Bytes::from_static(b"abc");
    let sum = vec![header("x-sum", "7"), header("content-length", "9")];
    post.trailers = Some(FutureReader::new(async { Ok(sum) }));
    let mut response = scene.send(post).await.expect("a response");
    let trailers = response.trailers.take().expect("they will come");
    assert_eq!(read(response).await.as_deref(), Ok("abc"));
    let trailers = trailers.await.expect("not lost").expect("whole");
    assert_eq!(trailers, [header("x-got", "7")]);
}

#[tokio::test]
async fn a_get_has_a_body_only_if_there_is_one() {
    let server = Server::http(async |request| {
        let head = head(&request);
        let body = request.into_body().collect().await.expect("whole");
        text(format!("{head}\n{} bytes", body.to_bytes().len()))
    })
    .await;
    let scene = scene(&server).await;
    for (part, expected) in [(&b""[..], "0 bytes"), (b"abc", "3 bytes")] {
        let mut get = request("GET", &server.url("/"));
        let parts = async move {
            // Not there with the head.
            tokio::task::yield_now().await;
            Bytes::from_static(part)
        };
        get.body = Some(ByteReader::new(stream::once(parts)));
        let arrived = scene.send(get).await.expect("a response");
        let arrived = read(arrived).await.expect("whole");
        assert!(arrived.ends_with(expected), "{arrived}");
        let is_chunked = arrived.contains("transfer-encoding: chunked");
        assert_eq!(is_chunked, !part.is_empty(), "{arrived}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::http(async |_| {
        http::Response::builder()
            .status(302)
            .header("location", "/elsewhere")
            .body(empty())
            .expect("valid")
    })
    .await;
    let scene = scene(&server).await;
    let response = scene.send(request("GET", &server.url("/"))).await;
    let response = response.expect("a response");
    assert_eq!(response.status, 302);
    assert_eq!(values(&response, "location"), ["/elsewhere"]);
}

#[tokio::test]
async fn a_head_has_no_body() {
    let server = Server::raw("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    let scene = scene(&server).await;
    let response = scene
        .send_within(request("HEAD", &server.url("/")), &options())
        .await;
    let response = response.expect("a response");
    assert_eq!(values(&response, "content-length"), ["1000"]);
    assert_eq!(read(response).await.as_deref(), Ok(""));
}
