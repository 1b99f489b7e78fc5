//! Requests to the web in the metrics of their host.

use super::{
    scene::{Scene, request},
    server::{Server, text},
};
use serde_json::json;

#[tokio::test]
async fn requests_are_counted_with_their_status_or_their_error() {
    let server = Server::http(async |_| {
        let mut response = text("no coffee".to_owned());
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        response
    })
    .await;
    let host = format!("http://{}", server.address);
    let scene = Scene::new(json!({ "allow": [host], "private": true })).await;
    let count = |attributes: &[(&str, &str)]| {
        let metrics = scene.host.metrics();
        let count = metrics.total("http.client.request.duration", attributes);
        count.unwrap_or_default()
    };
    let method = ("http.request.method", "PATCH");
    let teapot = [
        method,
        ("http.response.status_code", "418"),
        ("error.type", "418"),
    ];
    let denied = [method, ("error.type", "HttpRequestDenied")];
    let before = (count(&teapot), count(&denied));
    let sent = scene.send(request("PATCH", &server.url("/"))).await;
    assert_eq!(sent.expect("a response").status, 418);
    let sent = scene
        .send(request("PATCH", "http://elsewhere.example/"))
        .await;
    assert!(sent.is_err(), "the link doesn't lead there");
    let after = (count(&teapot), count(&denied));
    assert!(
        after.0 > before.0 && after.1 > before.1,
        "{before:?} {after:?}"
    );
}
