//! Bodies that stream, and bodies that break.

use super::{
    scene::{ErrorCode, PATIENCE, Scene, broken, header, read, request},
    server::{Body, Server, head, text},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use lattice_provider_sdk::ByteReader;
use serde_json::json;
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

async fn scene(server: &Server) -> Scene {
    let host = server.address.to_string();
    Scene::new(json!({ "allow": [host], "private": true })).await
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let server = Server::http(async |request| {
        let body: Body = request.into_body().map_err(io::Error::other).boxed();
        http::Response::new(body)
    })
    .await;
    let scene = scene(&server).await;
    let mut post = request("POST", &server.url("/"));
    let (mut writer, body) = ByteReader::channel();
    post.body = Some(body);
    let response = scene.send(post).await.expect("a response");
    let mut back = response.body.expect("it streams");
    // Each part is there before the next one is sent.
    for number in 0..20 {
        let part = Bytes::from(format!("part {number}"));
        writer.send(part.clone()).await.expect("read");
        let mut read = BytesMut::new();
        while read.len() < part.len() {
            let more = back.next().await.expect("not the end");
            read.extend_from_slice(&more.expect("whole"));
        }
        assert_eq!(read, part);
    }
    writer.end();
    assert!(back.next().await.is_none());
}

#[tokio::test]
async fn large_bodies_pass() {
    const PARTS: usize = 64;
    let server = Server::http(async |request| {
        let mut body = request.into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            size += frame
                .expect("whole")
                .into_data()
                .map_or(0, |data| data.len());
        }
        text(vec![7; size])
    })
    .await;
    let scene = scene(&server).await;
    let mut post = request("POST", &server.url("/"));
    let part = Bytes::from(vec![1; 128 << 10]);
    let parts = stream::iter(vec![part; PARTS]);
    post.body = Some(ByteReader::new(parts));
    let response = scene.send(post).await.expect("a response");
    let back = read(response).await.expect("whole");
    assert_eq!(back.len(), PARTS * (128 << 10));
}

#[tokio::test]
async fn a_response_that_is_cut_never_looks_complete() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let server = Server::raw(cut).await;
        let scene = scene(&server).await;
        let response = scene.send(request("GET", &server.url("/"))).await;
        let response = response.expect("a head");
        assert_eq!(read(response).await, Err("hello".to_owned()), "{cut}");
        let response = scene.send(request("GET", &server.url("/"))).await;
        let code = broken(response.expect("a head")).await;
        assert_eq!(code, Some(ErrorCode::HttpResponseIncomplete), "{cut}");
    }
    let wrong = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n";
    let server = Server::raw(wrong).await;
    let scene = scene(&server).await;
    let response = scene.send(request("GET", &server.url("/"))).await;
    assert_eq!(
        read(response.expect("a head")).await,
        Err("hello".to_owned())
    );
}

#[tokio::test]
async fn a_head_that_is_cut_is_an_error() {
    let server = Server::raw("HTTP/1.1 200 OK\r\ncontent-le").await;
    let scene = scene(&server).await;
    let cut = scene.get(&server.url("/")).await;
    assert_eq!(cut, Err(ErrorCode::ConnectionTerminated));
    let server = Server::raw("").await;
    let scene = self::scene(&server).await;
    let none = scene.get(&server.url("/")).await;
    assert_eq!(none, Err(ErrorCode::ConnectionTerminated));
}

/// A server that reports what it receives of a body, at the end of each connection.
async fn recorder() -> (Server, mpsc::UnboundedReceiver<String>) {
    let (report, reports) = mpsc::unbounded_channel();
    let server = Server::on_each(move |mut stream| {
        let report = report.clone();
        async move {
            let mut all = Vec::new();
            // A connection that is reset has ended too.
            let _ = stream.read_to_end(&mut all).await;
            let all = String::from_utf8_lossy(&all);
            let (_, body) = all.split_once("\r\n\r\n").unwrap_or_default();
            let _ = report.send(body.to_owned());
        }
    })
    .await;
    (server, reports)
}

#[tokio::test]
async fn a_request_whose_body_breaks_is_aborted() {
    let (server, mut reports) = recorder().await;
    let scene = scene(&server).await;
    let mut post = request("POST", &server.url("/"));
    let (mut writer, body) = ByteReader::channel();
    post.body = Some(body);
    let write = async {
        writer
            .send(Bytes::from_static(b"hello"))
            .await
            .expect("read");
        writer.fail("on purpose");
    };
    let (sent, ()) = tokio::join!(scene.send(post), write);
    let Err(ErrorCode::InternalError(Some(reason))) = sent else {
        panic!("not aborted: {sent:?}");
    };
    assert!(reason.contains("on purpose"), "{reason}");
    let received = reports.recv().await.expect("a report");
    assert!(!received.contains("0\r\n\r\n"), "{received:?}");
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_aborted() {
    let (server, mut reports) = recorder().await;
    let scene = scene(&server).await;
    for (length, parts, sent) in [("10", &["hello"][..], 5), ("5", &["hello", "x"], 6)] {
        let mut post = request("POST", &server.url("/"));
        post.headers = vec![header("content-length", length)];
        let parts: Vec<Bytes> = parts.iter().map(|&part| Bytes::from(part)).collect();
        post.body = Some(ByteReader::new(stream::iter(parts)));
        let aborted = scene.send(post).await.expect_err("aborted");
        assert_eq!(aborted, ErrorCode::HttpRequestBodySize(Some(sent)));
        let received = reports.recv().await.expect("a report");
        assert!(
            received.len() < length.parse().expect("a number"),
            "{received:?}"
        );
    }
}

#[tokio::test]
async fn lengths_that_conflict_are_refused() {
    let server = Server::http(async |_| text("sent")).await;
    let scene = scene(&server).await;
    for lengths in [&["5", "6"][..], &["5, 6"], &["five"], &["-1"]] {
        let mut post = request("POST", &server.url("/"));
        let lengths = lengths
            .iter()
            .map(|length| header("content-length", length));
        post.headers = lengths.collect();
        post.content = Bytes::from_static(b"hello");
        let refused = scene.send(post).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::HttpProtocolError));
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_response_that_is_dropped_ends_its_connection() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let server = Server::on_each(move |mut stream| {
        let report = report.clone();
        async move {
            if head(&mut stream).await.is_some() {
                let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello";
                let _ = stream.write_all(begin).await;
                let ended = stream.read_to_end(&mut Vec::new()).await;
                let _ = report.send(ended.is_ok_and(|read| read == 0));
            }
        }
    })
    .await;
    let scene = scene(&server).await;
    let response = scene.send(request("GET", &server.url("/"))).await;
    drop(response.expect("a head"));
    let closed = timeout(PATIENCE, reports.recv()).await.expect("it ends");
    assert!(closed.is_some());
}
