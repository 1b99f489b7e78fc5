//! Guests of version 0.2 that answer as they should.

use super::support::*;
use lattice_host::Instances;
use lattice_provider_sdk::{Bytes, FutureReader};
use std::{num::NonZeroUsize, time::Duration};

const GUEST: &str = "http-incoming";

#[tokio::test]
async fn a_small_response_is_one_value() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let response = answered(&lattice, GUEST, get("/hello")).await;
    assert_eq!(response.status, 200);
    let headers: Vec<_> = response.headers.iter().cloned().map(text_of).collect();
    let plain = ("content-type".to_owned(), "text/plain".to_owned());
    assert_eq!(headers, [plain]);
    assert_eq!(response.content, "hello");
    assert!(response.body.is_none() && response.trailers.is_none());
    assert_eq!(fetch(&lattice, GUEST, "/nowhere").await.0, 404);
}

#[tokio::test]
async fn a_guest_sees_the_head_of_its_request_and_sets_that_of_its_response() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let mut request = get("/headers?a=1");
    request.method = "M-SEARCH".to_owned();
    request.scheme = Some("https".to_owned());
    request.headers = vec![
        header("X-Upper", "1"),
        header("accept", "a"),
        header("accept", "b"),
        header("host", "other.example"),
        header("connection", "close"),
        header("te", "trailers"),
    ];
    let response = answered(&lattice, GUEST, request).await;
    assert_eq!(response.status, 201);
    let headers: Vec<String> = response
        .headers
        .iter()
        .cloned()
        .map(text_of)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for expected in ["x-one=1", "x-one=3", "x-two=2"] {
        assert!(headers.contains(&expected.to_owned()), "{headers:?}");
    }
    let text = read(response).await.whole();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "M-SEARCH https a.example /headers?a=1");
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["accept: a", "accept: b", "te: trailers", "x-upper: 1"]
    );
}

#[tokio::test]
async fn a_request_without_an_authority_is_served() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let mut request = get("/headers");
    (request.scheme, request.authority) = (None, None);
    let text = read(answered(&lattice, GUEST, request).await).await.whole();
    assert!(text.starts_with("GET http  /headers\n"), "{text}");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let mut request = get("/echo");
    request.content = Bytes::from_static(b"small");
    let text = read(answered(&lattice, GUEST, request).await).await.whole();
    assert_eq!(text, "small");
    ping_pong(&lattice, GUEST).await;
    echo_large(&lattice, GUEST, "/echo").await;
}

#[tokio::test]
async fn trailers_pass_without_those_that_frame_a_message() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let made = read(answered(&lattice, GUEST, get("/trailers")).await).await;
    let expected = [("x-sum", "7"), ("x-refused", "true")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(made.trailers, expected);
    assert_eq!(made.whole(), "body");
    let (mut request, writer) = post("/echo");
    let trailers = vec![
        header("x-sum", "8"),
        header("content-length", "9"),
        header("transfer-encoding", "chunked"),
    ];
    request.trailers = Some(FutureReader::new(async { Ok(trailers) }));
    writer.end();
    let echoed = read(answered(&lattice, GUEST, request).await).await;
    assert_eq!(echoed.trailers, [("x-sum".to_owned(), "8".to_owned())]);
}

#[tokio::test]
async fn an_error_code_is_an_answer() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let answered = send(&lattice, GUEST, get("/error")).await;
    let code = answered.expect("it is answered").expect_err("an error");
    assert_eq!(code, ErrorCode::HttpResponseTimeout);
}

#[tokio::test]
async fn instances_are_fresh_or_warm_as_the_actor_says() {
    let lattice = lattice().await;
    let host = serving(&lattice, GUEST, |actor| actor).await;
    for _ in 0..2 {
        assert_eq!(fetch(&lattice, GUEST, "/count").await.1, "1 0");
    }
    assert!(host.shutdown(PATIENCE).await.is_clean());
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(60),
    };
    let _host = serving(&lattice, GUEST, |actor| actor.instances(one)).await;
    for expected in ["1 0", "2 0"] {
        assert_eq!(fetch(&lattice, GUEST, "/count").await.1, expected);
    }
    // It goes on after its response, and the only instance is free when it has returned.
    let (request, writer) = post("/after");
    let response = answered(&lattice, GUEST, request).await;
    assert_eq!(read(response).await.whole(), "whole");
    let counted = fetch(&lattice, GUEST, "/count");
    writer.end();
    assert_eq!(counted.await.1, "3 1");
    // An instance whose guest did not do as it should isn't used again.
    assert!(send(&lattice, GUEST, get("/trap-at-once")).await.is_err());
    assert_eq!(fetch(&lattice, GUEST, "/count").await.1, "1 0");
}
