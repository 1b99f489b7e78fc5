//! Requests that are malformed, too large, or for another protocol: byte for byte.

use super::{
    scene::{SITE, Scene},
    wire::{Answer, Wire},
};

/// Sends a request, and returns the answer and what comes after it.
async fn ask(scene: &Scene, request: &str) -> (Answer, Wire) {
    let mut wire = scene.connect().await;
    wire.send(&request.replace("SITE", SITE)).await;
    let answer = wire.answer().await;
    (answer, wire)
}

async fn status(scene: &Scene, request: &str) -> u16 {
    ask(scene, request).await.0.status
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let scene = Scene::new().await;
    for (request, expected) in [
        ("GET /hello HTTP/1.1\nhost: SITE\n\n", 200),
        ("GET /hello HTTP/1.0\nhost: SITE\n\n", 200),
        ("GET /hello HTTP/1.0\n\n", 400),
        ("GET /hello HTTP/1.1\n\n", 400),
        ("GET /hello HTTP/1.1\nhost:\n\n", 400),
        ("GET /hello HTTP/1.1\nhost: SITE\nhost: SITE\n\n", 400),
        ("GET /hello HTTP/1.1\nhost: SITE\nhost: other\n\n", 400),
        ("GET http://SITE/hello HTTP/1.1\nhost: SITE\n\n", 200),
        ("GET http://SITE/hello HTTP/1.1\nhost: other\n\n", 400),
        ("GET http://SITE/hello HTTP/1.0\n\n", 200),
        ("GET http://user@SITE/hello HTTP/1.1\n\n", 400),
        ("GET /hello HTTP/1.1\nhost: user@SITE\n\n", 400),
        ("GET /hello HTTP/1.1\nhost: SITE/x\n\n", 400),
        ("GET /a/../hello HTTP/1.1\nhost: SITE\n\n", 400),
        ("GET /%2e%2e/hello HTTP/1.1\nhost: SITE\n\n", 400),
    ] {
        assert_eq!(status(&scene, request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_ends() {
    let scene = Scene::new().await;
    for request in [
        "nonsense\n\n",
        "GET /hello HTTP/1.1\nhost: SITE\nbad header: 1\n\n",
        "GET /hello HTTP/1.1\nhost: SITE\nx: a\x01b\n\n",
        "GET /hello HTTP/3.0\nhost: SITE\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: x\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: -1\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: 5\ncontent-length: 6\n\nhello",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: 5, 6\n\nhello",
        "POST /read HTTP/1.1\nhost: SITE\ntransfer-encoding: gzip\n\nhello",
        "POST /read HTTP/1.1\nhost: SITE\ntransfer-encoding: chunked, gzip\n\n0\n\n",
        "POST /read HTTP/1.0\nhost: SITE\ntransfer-encoding: chunked\n\n0\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ntransfer-encoding : chunked\n\n0\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ntransfer-encoding: xchunked\n\n0\n\n",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: +5\n\nhello",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: 5 5\n\nhello",
        "POST /read HTTP/1.1\nhost: SITE\ncontent-length: 18446744073709551616\n\nhello",
        "GET /hello HTTP/1.1\nhost: SITE\nx: a\n b\n\n",
        "GET /hello HTTP/1.1\nhost: SITE\n: x\n\n",
        "GET /hello HTTP/1.1\n host: SITE\n\n",
        " GET /hello HTTP/1.1\nhost: SITE\n\n",
        "GET  /hello HTTP/1.1\nhost: SITE\n\n",
        "GET /hel lo HTTP/1.1\nhost: SITE\n\n",
    ] {
        let (answer, mut wire) = ask(&scene, request).await;
        assert_eq!(answer.status, 400, "{request}");
        // Before it is a request, nothing gives it an id.
        assert_eq!(answer.header("x-request-id"), None, "{request}");
        assert_eq!(wire.rest().await.0, "", "{request}");
    }
    assert_eq!(
        scene
            .site
            .state()
            .begun
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[tokio::test]
async fn chunks_that_are_none_break_the_request_and_end_the_connection() {
    let scene = Scene::new().await;
    let next = "GET /hello HTTP/1.1\r\nhost: site.example\r\n\r\n";
    for (coding, body) in [
        ("chunked", "fffffffffffffffff\r\nhello"),
        ("chunked", "-5\r\nhello\r\n0\r\n\r\n"),
        ("chunked", " 5\r\nhello\r\n0\r\n\r\n"),
        ("chunked", "5\r\nhelloX\r\n0\r\n\r\n"),
        ("chunked, chunked", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "chunked\ntransfer-encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let mut wire = scene.connect().await;
        wire.send(&format!(
            "POST /read HTTP/1.1\nhost: {SITE}\ntransfer-encoding: {coding}\n\n"
        ))
        .await;
        let _ = wire.send_bytes(format!("{body}{next}").as_bytes()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{coding} {body:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{coding}");
        let (rest, _) = wire.rest().await;
        assert!(!rest.contains("HTTP/1.1 "), "{coding} {body:?}: {rest}");
    }
}

#[tokio::test]
async fn of_two_kinds_of_length_chunks_win_and_the_connection_ends() {
    let scene = Scene::new().await;
    // By its length, the body would be all of the second request.
    let second = "GET /hello HTTP/1.1\r\nhost: site.example\r\n\r\n";
    for lengths in [
        "content-length: 49\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\ncontent-length: 49",
    ] {
        let mut wire = scene.connect().await;
        wire.send(&format!(
            "POST /read HTTP/1.1\nhost: {SITE}\n{lengths}\n\n3\nabc\n0\n\n"
        ))
        .await;
        let _ = wire.send_bytes(second.as_bytes()).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "3"), "{lengths}");
        assert_eq!(wire.rest().await.0, "", "no second answer");
    }
    // The same length twice is one length.
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SITE}\ncontent-length: 3\ncontent-length: 3\n\nabc"
    ))
    .await;
    assert_eq!(wire.answer().await.text(), "3");
    assert_eq!(wire.get(SITE, "/hello").await.text(), "hello");
}

#[tokio::test]
async fn heads_have_limits() {
    let scene = Scene::limited(|limits| {
        limits.headers = 20;
        limits.header_bytes = lattice_host::ByteSize::kib(8);
    })
    .await;
    let headers = |count: usize| {
        let lines: Vec<String> = (0..count).map(|at| format!("x-{at}: 1\n")).collect();
        lines.concat()
    };
    let long = |bytes: usize| format!("x-long: {}\n", "a".repeat(bytes));
    for (headers, expected) in [
        (headers(19), 200),
        (headers(20), 431),
        (headers(500), 431),
        (long(7_000), 200),
        (long(9_000), 431),
        (long(1_000_000), 431),
    ] {
        let mut wire = scene.connect().await;
        let request = format!("GET /hello HTTP/1.1\nhost: {SITE}\n{headers}\n");
        let _ = wire
            .send_bytes(request.replace('\n', "\r\n").as_bytes())
            .await;
        assert_eq!(
            wire.head().await.status,
            expected,
            "{} bytes",
            request.len()
        );
    }
    let mut wire = scene.connect().await;
    let path = format!("/{}", "a".repeat(100_000));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {SITE}\r\n\r\n");
    let _ = wire.send_bytes(request.as_bytes()).await;
    assert!(matches!(wire.head().await.status, 414 | 431));
}

#[tokio::test]
async fn heads_have_limits_over_http2() {
    let scene = Scene::limited(|limits| limits.headers = 20).await;
    for (headers, expected) in [(10, 200), (30, 431)] {
        let mut client = super::requests::http2(scene.address).await;
        let mut request = super::requests::get("/hello");
        for number in 0..headers {
            let name: http::HeaderName = format!("x-{number}").parse().expect("a name");
            let value = http::HeaderValue::from_static("1");
            request.headers_mut().append(name, value);
        }
        let response = client.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn other_protocols_are_refused_clearly() {
    let scene = Scene::new().await;
    for request in [
        "GET /hello HTTP/1.1\nhost: SITE\nconnection: upgrade\nupgrade: websocket\n\
         sec-websocket-key: x\nsec-websocket-version: 13\n\n",
        "CONNECT other.example:443 HTTP/1.1\nhost: other.example:443\n\n",
    ] {
        let mut wire = scene.connect().await;
        wire.send(&request.replace("SITE", SITE)).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 501, "{request}");
        assert!(answer.text().contains("not supported"), "{answer:?}");
    }
    let h2c = "GET /hello HTTP/1.1\nhost: SITE\nconnection: upgrade, http2-settings\n\
               upgrade: h2c\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\n\n";
    assert_eq!(status(&scene, h2c).await, 200, "it is served as HTTP/1.1");
}
