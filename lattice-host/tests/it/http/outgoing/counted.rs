//! Requests to the web in the metrics of their host.

use super::{
    scene::{PATIENCE, Scene, options, request},
    server::{Server, text},
};
use crate::wait::until;
use serde_json::json;
use std::{future::pending, time::Duration};

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

#[tokio::test]
async fn requests_that_are_given_up_are_counted() {
    let server = Server::on_each(|stream| async move {
        let _open = stream;
        pending().await
    })
    .await;
    let host = format!("http://{}", server.address);
    let scene = Scene::new(json!({ "allow": [host], "private": true })).await;
    let count = |error: &str| {
        let metrics = scene.host.metrics();
        let attributes = [("http.request.method", "OPTIONS"), ("error.type", error)];
        let count = metrics.total("http.client.request.duration", &attributes);
        count.unwrap_or_default()
    };
    let before = (count("cancelled"), count("timeout"));
    let options = options();
    let asked = scene
        .client
        .handle(request("OPTIONS", &server.url("/")), &options)
        .timeout(PATIENCE);
    let mut asked = Box::pin(asked.into_future());
    tokio::select! {
        _ = &mut asked => panic!("the server is silent"),
        () = until("the server is connected to", || server.accepted() > 0) => {}
    }
    drop(asked);
    until("the request is counted", || count("cancelled") > before.0).await;

    let asked = scene
        .client
        .handle(request("OPTIONS", &server.url("/")), &options)
        .timeout(Duration::from_millis(200));
    assert!(asked.await.is_err(), "its time is over");
    until("the request is counted", || count("timeout") > before.1).await;
}
