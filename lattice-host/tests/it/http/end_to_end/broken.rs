//! Requests and responses that break: clients that go away, hosts that die, guests that trap.

use super::{
    client::{Client, WORLD, collect},
    process::Remote,
    scene::{Held, MISCHIEF, OUTGOING, Scene},
};
use crate::host::support::{PATIENCE, link};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Well before a timeout of the ingress or the limit on a guest's time, which are 30 s, ends a call
/// that is held.
const BEFORE_TIMEOUTS: Duration = Duration::from_secs(20);

/// Adds a component to which the guest makes a request that is never answered. When the guest goes
/// away, so does that call.
async fn with_held() -> (Scene, Held) {
    let (service, held) = Held::new();
    let scene = Scene::with(|host| host.provider("held", service)).await;
    link(&scene.inner, MISCHIEF, OUTGOING, "held").await;
    (scene, held)
}

/// Waits until the guest went away, with its request.
async fn cancelled(held: &Held) {
    let gone = timeout(BEFORE_TIMEOUTS, held.gone()).await;
    gone.expect("it is cancelled before a timeout does that");
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_response_cancels_the_guest() {
    let (scene, held) = with_held().await;
    let mut client = scene.client().await;
    let request = tokio::spawn(async move { client.get("/hold").await });
    held.entered().await;
    request.abort();
    cancelled(&held).await;
    assert_still_serves(&scene).await;
}

#[tokio::test]
async fn a_client_that_goes_away_during_the_response_cancels_the_guest() {
    let (scene, held) = with_held().await;
    let mut client = scene.client().await;
    let response = client.get("/hold-and-pour").await.expect("a response");
    held.entered().await;
    let mut body = response.into_body();
    for _ in 0..3 {
        let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
        frame.expect("it has no end").expect("whole");
    }
    drop((body, client));
    cancelled(&held).await;
    assert_still_serves(&scene).await;
}

#[tokio::test]
async fn a_client_that_goes_away_during_its_request_cancels_the_guest() {
    let (scene, held) = with_held().await;
    let mut stream = TcpStream::connect(scene.address).await.expect("connected");
    let head = format!(
        "POST /hold-and-count HTTP/1.1\r\nhost: {WORLD}\r\ncontent-length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&[7; 1_000]).await.expect("sent");
    held.entered().await;
    drop(stream);
    cancelled(&held).await;
    assert_still_serves(&scene).await;
}

#[tokio::test]
async fn a_body_whose_host_is_killed_is_cut_visibly() {
    let scene = Scene::in_memory().await;
    let mut client = scene.client().await;
    let response = client.get("/pour").await.expect("a response");
    let mut body = response.into_body();
    first(&mut body).await;
    scene.actors.kill();
    assert_breaks(body).await;
}

#[tokio::test]
async fn a_body_whose_host_is_killed_is_reset_over_http2() {
    let scene = Scene::in_memory().await;
    let stream = TcpStream::connect(scene.address).await.expect("connected");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let shaken = hyper::client::conn::http2::handshake(executor, io).await;
    let (mut client, connection) = shaken.expect("a handshake");
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let get = |path: &str| {
        let request = hyper::Request::get(format!("http://{WORLD}{path}"));
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        request.body(body).expect("a request")
    };
    let response = client.send_request(get("/pour")).await;
    let mut body = response.expect("a response").into_body();
    first(&mut body).await;
    scene.actors.kill();
    assert_breaks(body).await;
    // Only the stream is reset: the connection goes on.
    let response = client.send_request(get("/")).await;
    let status = response.expect("a response").status();
    assert!(status.is_server_error(), "{status}");
    drop(connection);
}

#[tokio::test]
async fn a_body_whose_host_is_a_killed_process_is_cut_visibly() {
    let mut remote = Remote::start().await;
    let mut client = Client::open(remote.address).await;
    let response = client.get("/pour").await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    first(&mut body).await;
    remote.kill();
    assert_breaks(body).await;
}

#[tokio::test]
async fn a_request_whose_host_is_killed_gets_an_error_and_not_a_cut_connection() {
    let (scene, held) = with_held().await;
    let mut client = scene.client().await;
    let request = tokio::spawn(async move { client.page("/hold").await });
    held.entered().await;
    scene.actors.kill();
    let (status, text) = request.await.expect("a response");
    assert!(status.is_server_error(), "{status} {text}");
}

/// Waits for the first part of a body.
async fn first(body: &mut Incoming) {
    let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
    frame.expect("it has no end").expect("whole");
}

/// Reads a body that has to break.
async fn assert_breaks(mut body: Incoming) {
    let broken = async {
        loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("a body that broke looks whole"),
            }
        }
    };
    timeout(PATIENCE, broken).await.expect("it breaks in time");
}

#[tokio::test]
async fn a_guest_that_traps_after_the_head_cuts_the_connection() {
    for scene in [
        Scene::in_memory().await,
        Scene::over_nats(|host| host).await,
    ] {
        let mut client = scene.client().await;
        let response = client.get("/trap-later").await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        assert_breaks(response.into_body()).await;
        // This one may trap before its head has been passed on.
        let mut client = scene.client().await;
        let response = client.get("/twice").await.expect("a response");
        assert_not_whole("/twice", response).await;
        assert_still_serves(&scene).await;
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_never_looks_whole() {
    let scene = Scene::in_memory().await;
    for path in ["/short", "/long"] {
        let mut client = scene.client().await;
        match client.get(path).await {
            Ok(response) => assert_not_whole(path, response).await,
            Err(error) => assert!(error.is_incomplete_message(), "{path}: {error}"),
        }
    }
    assert_still_serves(&scene).await;
}

/// Checks that a response is an error of the ingress, or that its body breaks.
async fn assert_not_whole(path: &str, response: Response<Incoming>) {
    let status = response.status();
    let body = collect(response).await;
    let is_error = status == StatusCode::BAD_GATEWAY;
    assert!(is_error || body.is_err(), "{path}: {status} {body:?}");
}

#[tokio::test]
async fn a_request_whose_body_breaks_never_looks_whole_to_the_guest() {
    let scene = Scene::in_memory().await;
    let mut stream = TcpStream::connect(scene.address).await.expect("connected");
    let head =
        format!("POST /count HTTP/1.1\r\nhost: {WORLD}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The size of the second chunk is no number.
    stream
        .write_all(b"5\r\n12345\r\nzz\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = timeout(PATIENCE, read).await.expect("it ends in time");
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("5 bytes"), "{answer}");
    assert_still_serves(&scene).await;
}

async fn assert_still_serves(scene: &Scene) {
    let mut client = scene.client().await;
    assert_eq!(client.page("/").await.1, "hello");
}
