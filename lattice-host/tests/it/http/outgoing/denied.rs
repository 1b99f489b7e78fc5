//! Requests for what a link doesn't lead to, by every trick.

use super::{
    scene::{ErrorCode, Scene, header, request},
    server::{Server, text},
};
use serde_json::json;

/// The code for a request whose URI has these parts.
async fn code(scene: &Scene, scheme: &str, authority: &str, path: &str) -> Option<ErrorCode> {
    let mut get = request("GET", "http://x");
    get.scheme = Some(scheme.to_owned());
    get.authority = Some(authority.to_owned());
    get.path_with_query = Some(path.to_owned());
    scene.send(get).await.err()
}

#[tokio::test]
async fn no_trick_leads_to_a_server_that_is_not_listed() {
    let server = Server::http(async |_| text("reached")).await;
    let port = server.address.port();
    let scene = Scene::new(json!({ "allow": ["http://a.example", "*.b.example"] })).await;
    let own = |host: &str| format!("{host}:{port}");
    for (authority, path) in [
        (own("127.0.0.1"), "/"),
        (own("localhost"), "/"),
        (own("LOCALHOST."), "/"),
        (own("2130706433"), "/"),
        (own("0x7f000001"), "/"),
        (own("0177.0.0.1"), "/"),
        (own("127.1"), "/"),
        (own("[::1]"), "/"),
        (own("[::ffff:127.0.0.1]"), "/"),
        (own("[0:0:0:0:0:ffff:7f00:1]"), "/"),
        (own("0"), "/"),
        (own("b.example"), "/"),
        (own("a.example"), "/"),
        ("a.example.".to_owned() + "evil.test", "/"),
        ("xa.example".to_owned(), "/"),
        ("b.example".to_owned(), "/"),
        // With a Cyrillic `а`.
        ("а.example".to_owned(), "/"),
    ] {
        let denied = code(&scene, "http", &authority, path).await;
        assert_eq!(denied, Some(ErrorCode::HttpRequestDenied), "{authority}");
    }
    let evil = format!("http://127.0.0.1:{port}/");
    for (authority, path) in [
        (format!("a.example@127.0.0.1:{port}"), "/"),
        (format!("a.example:80@127.0.0.1:{port}"), "/"),
        ("a.example:x".to_owned(), "/"),
        ("a.example#.evil.test".to_owned(), "/"),
        ("a.example\\.evil.test".to_owned(), "/"),
        ("a.example/".to_owned(), "/"),
        ("a.example".to_owned(), &*evil),
        ("a.example".to_owned(), "@127.0.0.1/"),
        (String::new(), "/"),
    ] {
        let denied = code(&scene, "http", &authority, path).await;
        let invalid = Some(ErrorCode::HttpRequestUriInvalid);
        assert_eq!(denied, invalid, "{authority} {path}");
    }
    for (scheme, expected) in [
        ("https", ErrorCode::HttpRequestDenied),
        ("ftp", ErrorCode::HttpRequestUriInvalid),
        ("", ErrorCode::HttpRequestUriInvalid),
    ] {
        let denied = code(&scene, scheme, "a.example", "/").await;
        assert_eq!(denied, Some(expected), "{scheme}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_pattern_never_leads_to_the_host_itself() {
    let server = Server::http(async |_| text("reached")).await;
    let port = server.address.port();
    let scene = Scene::new(json!({ "allow": ["*"], "private": true })).await;
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ] {
        let denied = code(&scene, "http", &format!("{host}:{port}"), "/").await;
        assert_eq!(denied, Some(ErrorCode::DestinationIpProhibited), "{host}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn the_host_of_the_uri_counts_and_not_the_header() {
    let server = Server::http(async |request| {
        let host = request.headers()["host"].to_str().expect("text");
        text(host.to_owned())
    })
    .await;
    let own = server.address.to_string();
    let scene = Scene::new(json!({ "allow": [own], "private": true })).await;
    let mut get = request("GET", &server.url("/"));
    get.headers = vec![header("host", "evil.example")];
    let response = scene.send(get).await.expect("sent");
    let host = super::scene::read(response).await;
    assert_eq!(host, Ok(own));
    let mut get = request("GET", "http://evil.example/");
    get.headers = vec![header("host", &server.address.to_string())];
    let denied = scene.send(get).await.map(drop);
    assert_eq!(denied, Err(ErrorCode::HttpRequestDenied));
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let server = Server::http(async |_| text("reached")).await;
    let own = server.address.to_string();
    let scene = Scene::new(json!({ "allow": [own], "private": true })).await;
    let mut connect = request("CONNECT", &server.url("/"));
    connect.path_with_query = None;
    let refused = scene.send(connect).await.map(drop);
    assert_eq!(refused, Err(ErrorCode::HttpRequestMethodInvalid));
    let mut socket = request("GET", &server.url("/"));
    socket.headers = vec![
        header("connection", "upgrade"),
        header("upgrade", "websocket"),
    ];
    let refused = scene.send(socket).await.map(drop);
    assert_eq!(refused, Err(ErrorCode::HttpUpgradeFailed));
    let invalid = scene
        .send(request("G ET", &server.url("/")))
        .await
        .map(drop);
    assert_eq!(invalid, Err(ErrorCode::HttpRequestMethodInvalid));
    for (name, value) in [("x y", "a"), ("x", "a\r\nx-more: b"), ("", "a")] {
        let mut get = request("GET", &server.url("/"));
        get.headers = vec![header(name, value)];
        let refused = scene.send(get).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::HttpProtocolError), "{name:?}");
    }
    assert_eq!(server.accepted(), 0);
}
