//! What a component can do wrong, and what its client gets.

use super::{
    requests::{get, http2},
    scene::{SITE, Scene},
    wire::{Body, within},
};
use http_body_util::BodyExt as _;
use lattice_core::wormhole::WormholeLimits;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_answer_that_cannot_be_passed_on_is_502_and_says_nothing_of_the_inside() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    for path in [
        "/status/101",
        "/status/103",
        "/status/42",
        "/status/1000",
        "/inject",
        "/many",
        "/huge",
        "/two-lengths",
        "/code",
        "/panic",
        "/nothing",
    ] {
        let answer = wire.get(SITE, path).await;
        assert_eq!(answer.status, 502, "{path}");
        let id = answer.header("x-request-id").expect("an id");
        assert_eq!(
            answer.text(),
            format!("the service failed\nrequest {id}\n"),
            "{path}"
        );
    }
    assert_eq!(
        wire.get(SITE, "/hello").await.text(),
        "hello",
        "it still serves"
    );
}

#[tokio::test]
async fn the_log_says_under_the_request_id_what_the_client_is_not_told() {
    let log = crate::host::output::Log::default();
    let _guard = log.start();
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    for (path, status, reason) in [
        ("/code", 502, "secret"),
        ("/panic", 502, "panicked"),
        ("/status/101", 502, "HttpProtocolError"),
    ] {
        let answer = wire.get(SITE, path).await;
        assert_eq!(answer.status, status, "{path}");
        let id = answer.header("x-request-id").expect("an id");
        let lines = log.lines(id);
        let is_told = |line: &String| {
            let parts = [
                "WARN",
                reason,
                "component=site",
                &format!("status={status}"),
            ];
            parts.iter().all(|part| line.contains(part))
        };
        assert!(lines.iter().any(is_told), "{path}: {lines:?}");
    }
    // A response that breaks after its head has been sent, too.
    wire.send(&format!("GET /broken HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    let head = wire.head().await;
    let id = head.header("x-request-id").expect("an id").to_owned();
    let _ = wire.rest().await;
    crate::wait::until("the log says why", || {
        let lines = log.lines(&id);
        lines
            .iter()
            .any(|line| line.contains("broke after its head"))
    })
    .await;
}

#[tokio::test]
async fn headers_of_a_connection_are_not_passed_on() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    let answer = wire.get(SITE, "/hop").await;
    assert_eq!((answer.status, answer.text()), (200, "hop"));
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(answer.header(name), None);
    }
    assert_eq!(answer.header("x-public"), Some("1"));
    assert_ne!(answer.header("x-request-id"), Some("of the component"));
}

#[tokio::test]
async fn a_body_that_breaks_cuts_the_connection_visibly() {
    let scene = Scene::new().await;
    for path in ["/broken", "/lost", "/short", "/long"] {
        let mut wire = scene.connect().await;
        wire.send(&format!("GET {path} HTTP/1.1\nhost: {SITE}\n\n"))
            .await;
        // What breaks at once may take the head with it.
        if let Some(answer) = wire.try_answer().await {
            assert_eq!(answer.status, 200, "{path}");
            let Body::Cut(part) = &answer.body else {
                panic!("{path} looks whole: {answer:?}");
            };
            assert!(["", "a part", "short"].contains(&&**part), "{path}: {part}");
        }
        assert_eq!(wire.rest().await.0, "", "{path}: nothing follows");

        let mut client = http2(scene.address).await;
        let response = within(client.send_request(get(path))).await;
        let body = match response {
            Ok(response) => within(response.into_body().collect()).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(body.is_err(), "{path} looks whole over HTTP/2");
    }
}

#[tokio::test]
async fn a_broken_body_is_not_taken_for_whole_by_a_client_of_http_1_0() {
    let scene = Scene::new().await;
    for path in ["/broken", "/lost"] {
        let mut wire = scene.connect().await;
        wire.send(&format!("GET {path} HTTP/1.0\nhost: {SITE}\n\n"))
            .await;
        let (_, is_orderly) = wire.rest().await;
        assert!(!is_orderly, "{path} looks whole");
    }
}

#[tokio::test]
async fn a_component_that_answers_too_late_is_cut_off() {
    // That of the ingress is longer than the test waits.
    let scene = Scene::limited(|limits| limits.head_timeout = Duration::from_hours(1)).await;
    let mut limits = WormholeLimits::default();
    let timeout = Duration::from_millis(200);
    limits.head_timeout = Some(timeout);
    scene
        .open(|new| new.host("late.example").limits(limits))
        .await;
    let mut wire = scene.connect().await;
    let began = Instant::now();
    let answer = wire.get("late.example", "/never").await;
    assert_eq!((answer.status, answer.header("retry-after")), (504, None));
    let took = began.elapsed();
    assert!(took >= timeout, "{took:?}");
    scene.cancelled(1).await;
    assert_eq!(wire.get("late.example", "/hello").await.text(), "hello");
}

#[tokio::test]
async fn a_response_that_takes_too_long_in_all_is_cut() {
    let scene = Scene::new().await;
    let mut limits = WormholeLimits::default();
    limits.total_timeout = Some(Duration::from_millis(500));
    scene
        .open(|new| new.host("ever.example").limits(limits))
        .await;
    let mut wire = scene.connect().await;
    let answer = wire.get("ever.example", "/ever").await;
    assert!(matches!(answer.body, Body::Cut(part) if !part.is_empty()));
    scene.cancelled(1).await;
}

#[tokio::test]
async fn a_component_without_a_host_is_503() {
    let scene = Scene::new().await;
    let wormholes = scene.wormholes();
    let new = lattice_core::wormholes::NewWormhole::new("absent").expect("an id");
    let created = wormholes.create(new.host("absent.example")).await;
    created.expect("it is created");
    let mut wire = scene.connect().await;
    let answer = wire.get("absent.example", "/").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(!answer.text().contains("absent"), "{answer:?}");
}
