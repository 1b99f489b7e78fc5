//! Servers that are silent, gone, or say what they may not.

use super::{
    scene::{ErrorCode, Scene, broken, options, request},
    server::{Server, head},
};
use bytes::Bytes;
use futures_util::stream;
use lattice_provider_sdk::ByteReader;
use serde_json::{Value, json};
use std::{fmt::Write, future::pending, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// A link to the server, with one more setting.
async fn scene(server: &Server, setting: &str, value: Value) -> Scene {
    let mut config = json!({ "allow": [server.address.to_string()], "private": true });
    config[setting] = value;
    Scene::new(config).await
}

/// A server that sends these bytes for a head, and then nothing.
async fn silent(begin: &'static str) -> Server {
    Server::on_each(move |mut stream| async move {
        if head(&mut stream).await.is_some() {
            let _ = stream.write_all(begin.as_bytes()).await;
        }
        pending().await
    })
    .await
}

#[tokio::test]
async fn a_server_that_does_not_respond_is_given_up() {
    let server = silent("").await;
    let scene = scene(&server, "first-byte-timeout-ms", json!(50)).await;
    let late = scene.get(&server.url("/")).await;
    assert_eq!(late, Err(ErrorCode::HttpResponseTimeout));
    let server = silent("HTTP/1.1 200 OK\r\nx-a: b").await;
    let scene = self::scene(&server, "first-byte-timeout-ms", json!(50)).await;
    let late = scene.get(&server.url("/")).await;
    assert_eq!(late, Err(ErrorCode::HttpResponseTimeout));
}

#[tokio::test]
async fn a_guest_can_shorten_the_timeouts() {
    let nanos = Some(Duration::from_millis(50).as_nanos() as u64);
    let server = silent("").await;
    let scene = scene(&server, "http2", json!(true)).await;
    let mut first = options();
    first.first_byte_timeout = nanos;
    let get = request("GET", &server.url("/"));
    let late = scene.send_within(get, &first).await.map(drop);
    assert_eq!(late, Err(ErrorCode::HttpResponseTimeout));
    let mut between = options();
    between.between_bytes_timeout = nanos;
    let server = silent("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
    let scene = self::scene(&server, "http2", json!(true)).await;
    let get = request("GET", &server.url("/"));
    let response = scene.send_within(get, &between).await.expect("a head");
    assert_eq!(
        broken(response).await,
        Some(ErrorCode::ConnectionReadTimeout)
    );
    // Not a timeout of tokio's that panics, and not one that waits forever.
    let mut none = options();
    none.connect_timeout = Some(0);
    none.first_byte_timeout = Some(0);
    none.between_bytes_timeout = Some(0);
    let server = silent("").await;
    let scene = self::scene(&server, "http2", json!(true)).await;
    let get = request("GET", &server.url("/"));
    assert!(scene.send_within(get, &none).await.is_err());
}

#[tokio::test]
async fn a_body_that_stalls_breaks() {
    let server = silent("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await;
    let scene = scene(&server, "between-bytes-timeout-ms", json!(50)).await;
    let response = scene.send(request("GET", &server.url("/"))).await;
    let code = broken(response.expect("a head")).await;
    assert_eq!(code, Some(ErrorCode::ConnectionReadTimeout));
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_given_up() {
    let server = Server::on_each(|stream| async move {
        let _open = stream;
        pending().await
    })
    .await;
    let scene = scene(&server, "between-bytes-timeout-ms", json!(50)).await;
    let mut post = request("POST", &server.url("/"));
    let part = Bytes::from(vec![7; 1 << 20]);
    post.body = Some(ByteReader::new(stream::repeat(part)));
    let stuck = scene.send(post).await.map(drop);
    assert_eq!(stuck, Err(ErrorCode::ConnectionWriteTimeout));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_given_up() {
    let server = Server::on_each(|stream| async move {
        let _open = stream;
        pending().await
    })
    .await;
    let host = format!("https://{}", server.address);
    let config = json!({ "allow": [host], "private": true, "connect-timeout-ms": 50 });
    let scene = Scene::new(config).await;
    let late = scene.get(&host).await;
    assert_eq!(late, Err(ErrorCode::ConnectionTimeout));
}

#[tokio::test]
async fn a_server_that_is_gone_refuses() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = gone.local_addr().expect("bound").to_string();
    drop(gone);
    let scene = Scene::new(json!({ "allow": [address], "private": true })).await;
    let refused = scene.get(&format!("http://{address}/")).await;
    assert_eq!(refused, Err(ErrorCode::ConnectionRefused));
}

#[tokio::test]
async fn heads_have_a_limit() {
    let mut many = "HTTP/1.1 200 OK\r\n".to_owned();
    for number in 0..33_000 {
        write!(many, "x-{number}: a\r\n").expect("written");
    }
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "a".repeat(1 << 20));
    for head in [many, long] {
        let server = Server::raw(head + "content-length: 0\r\n\r\n").await;
        let scene = scene(&server, "http2", json!(true)).await;
        let refused = scene.get(&server.url("/")).await;
        assert_eq!(refused, Err(ErrorCode::HttpResponseHeaderSectionSize(None)));
    }
}

#[tokio::test]
async fn what_is_no_response_is_an_error() {
    for (response, code) in [
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            ErrorCode::HttpUpgradeFailed,
        ),
        ("what?\r\n\r\n", ErrorCode::HttpProtocolError),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
            ErrorCode::HttpProtocolError,
        ),
    ] {
        let server = Server::raw(response).await;
        let scene = scene(&server, "http2", json!(true)).await;
        assert_eq!(scene.get(&server.url("/")).await, Err(code), "{response}");
    }
    let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: \
                 2\r\n\r\nok";
    let server = Server::raw(early).await;
    let scene = scene(&server, "http2", json!(true)).await;
    assert_eq!(
        scene.get(&server.url("/")).await,
        Ok((200, "ok".to_owned()))
    );
}
