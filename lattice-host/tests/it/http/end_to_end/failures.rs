//! Guests that answer in no usable way.

use super::{
    client::{Client, WORLD},
    scene::{Held, MISCHIEF, OUTGOING, Scene},
};
use crate::host::support::link;
use hyper::StatusCode;
use std::time::Duration;

/// Words that only this side may read.
const INTERNAL: [&str; 5] = ["mischief", "wasm", "trap", "panic", "127.0.0.1"];

async fn assert_fails(client: &mut Client, path: &str, expected: StatusCode) {
    let response = client.get(path).await.expect("a response");
    let id = response.headers().get("x-request-id").cloned();
    let (status, text) = super::client::whole(response).await;
    assert_eq!(status, expected, "{path}: {text}");
    assert!(id.is_some(), "{path}: the log is found by the request id");
    for word in INTERNAL {
        assert!(!text.to_lowercase().contains(word), "{path}: {text}");
    }
}

#[tokio::test]
async fn guests_that_do_not_answer_or_answer_nonsense_are_bad_gateways() {
    for scene in [
        Scene::in_memory().await,
        Scene::over_nats(|host| host).await,
    ] {
        let mut client = scene.client().await;
        for path in [
            "/trap",
            "/silence",
            "/status/100",
            "/status/101",
            "/status/103",
            "/headers/33000",
        ] {
            assert_fails(&mut client, path, StatusCode::BAD_GATEWAY).await;
            // The connection isn't what failed.
            assert_eq!(client.page("/").await.1, "hello", "after {path}");
        }
    }
}

#[tokio::test]
async fn statuses_of_a_guest_arrive_as_they_are() {
    let scene = Scene::in_memory().await;
    let mut client = scene.client().await;
    for status in [200, 201, 299, 404, 418, 500, 503, 599] {
        let page = client.page(&format!("/status/{status}")).await;
        let expected = StatusCode::from_u16(status).expect("a status");
        assert_eq!(page, (expected, "odd".to_owned()));
    }
    for status in [0, 99, 1_000, 65_535] {
        let page = client.page(&format!("/status/{status}")).await;
        assert_eq!(page, (StatusCode::OK, "refused".to_owned()), "{status}");
    }
}

#[tokio::test]
async fn guests_that_never_answer_are_cut_off_after_the_wormholes_timeout() {
    let (service, held) = Held::new();
    let scene = Scene::with(|host| host.provider("held", service)).await;
    link(&scene.inner, MISCHIEF, OUTGOING, "held").await;
    let timeout = Some(Duration::from_millis(200));
    scene.limit(|limits| limits.head_timeout = timeout).await;
    let mut client = scene.client().await;
    assert_fails(&mut client, "/hold", StatusCode::GATEWAY_TIMEOUT).await;
    held.gone().await;
    assert_fails(&mut client, "/spin", StatusCode::GATEWAY_TIMEOUT).await;
    scene.limit(|limits| limits.head_timeout = None).await;
    assert_eq!(scene.client().await.page("/").await.1, "hello");
}

#[tokio::test]
async fn headers_of_a_guest_can_not_add_others_or_touch_the_connection() {
    let scene = Scene::in_memory().await;
    let mut client = scene.client().await;
    for path in ["/inject", "/forbidden"] {
        let response = client.get(path).await.expect("a response");
        let headers = response.headers().clone();
        let (status, text) = super::client::whole(response).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "taken: []"));
        for name in ["x-injected", "upgrade", "keep-alive", "proxy-connection"] {
            assert!(!headers.contains_key(name), "{path}: {headers:?}");
        }
    }
}

#[tokio::test]
async fn an_actor_that_no_host_serves_is_unavailable() {
    let scene = Scene::in_memory().await;
    super::scene::opened(&scene.world, "none.example", "nowhere").await;
    let mut client = scene.client().await;
    let request = super::client::get("none.example", "/");
    let response = client.send(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(scene.client().await.page("/").await.1, "hello", "{WORLD}");
}
