//! Clients that are slow, silent or gone, and more of them than there is room for.

use super::{
    requests::{get, http2},
    scene::{SITE, SOON, Scene},
    tls::Authority,
    wire::{Wire, within},
};
use http_body_util::BodyExt as _;
use lattice_host::http::{Ingress, IngressLimits};
use std::sync::atomic::Ordering;

/// Long enough that only the timeout of the test can be the reason for an end.
const LONG: std::time::Duration = std::time::Duration::from_hours(1);

/// Limits that nothing in a test reaches.
fn patient(limits: &mut IngressLimits) {
    limits.handshake = LONG;
    limits.header = LONG;
    limits.idle = LONG;
    limits.body_idle = LONG;
    limits.head_timeout = LONG;
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_cut_off() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.header = SOON;
    })
    .await;
    // Nothing; a letter with which HTTP/2 and POST begin; half a head; half a preface.
    for begun in [
        "",
        "P",
        "GET / HT",
        "GET / HTTP/1.1\nhost: a\n",
        "PRI * HTTP/2.0\n\n",
    ] {
        let mut wire = scene.connect().await;
        wire.send(begun).await;
        assert_eq!(wire.rest().await.0, "", "{begun}");
    }
    // A head that never stops.
    let mut wire = scene.connect().await;
    wire.send("GET / HTTP/1.1\nhost: a\n").await;
    while wire.send_bytes(b"x: y\r\n").await {
        tokio::time::sleep(SOON / 30).await;
    }
}

#[tokio::test]
async fn a_second_head_has_the_same_time() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.header = SOON;
    })
    .await;
    let mut wire = scene.connect().await;
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
    wire.send("GET / HT").await;
    assert_eq!(wire.rest().await.0, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.idle = SOON;
    })
    .await;
    let mut wire = scene.connect().await;
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
    assert_eq!(wire.rest().await.0, "");

    let mut client = http2(scene.address).await;
    let response = within(client.send_request(get("/hello"))).await;
    within(response.expect("an answer").into_body().collect())
        .await
        .expect("it is whole");
    crate::wait::until("the connection ends", || client.is_closed()).await;
}

#[tokio::test]
async fn a_tls_handshake_that_stops_is_cut_off() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &[SITE]);
    let mut limits = IngressLimits::default();
    patient(&mut limits);
    limits.handshake = SOON;
    let scene = Scene::of(Ingress::https("127.0.0.1:0", files).limits(limits)).await;
    for begun in [&b""[..], &[0x16, 3, 1], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut wire = scene.connect().await;
        let _ = wire.send_bytes(begun).await;
        let _ = wire.rest().await;
    }
}

#[tokio::test]
async fn a_body_that_stops_is_answered_and_breaks_for_the_component() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.body_idle = SOON;
    })
    .await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SITE}\ncontent-length: 10\n\nhello"
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (408, Some("close"))
    );
    assert_eq!(wire.rest().await.0, "");
    scene.broken(1).await;
}

#[tokio::test]
async fn a_component_that_stops_within_its_body_is_cut() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.body_idle = SOON;
    })
    .await;
    let mut wire = scene.connect().await;
    let answer = wire.get(SITE, "/stalls").await;
    assert_eq!(answer.body, super::wire::Body::Cut("a part".to_owned()));
}

#[tokio::test]
async fn a_reader_that_stops_frees_the_component() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.body_idle = SOON;
    })
    .await;
    // Over HTTP/1.1 the connection takes no more, over HTTP/2 the stream.
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /ever HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    scene.cancelled(1).await;

    let mut client = http2(scene.address).await;
    let response = within(client.send_request(get("/ever"))).await;
    let stalled = response.expect("an answer");
    scene.cancelled(2).await;
    // The other streams of the connection go on.
    let response = within(client.send_request(get("/hello"))).await;
    let body = within(response.expect("an answer").into_body().collect()).await;
    assert_eq!(body.expect("it is whole").to_bytes(), "hello");
    let rest = within(stalled.into_body().collect()).await;
    assert!(rest.is_err(), "what was stalled is not whole");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let scene = Scene::limited(patient).await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /never HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    scene.begun(1).await;
    drop(wire);
    scene.cancelled(1).await;

    let mut wire = scene.connect().await;
    wire.send(&format!("GET /ever HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    drop(wire);
    scene.cancelled(2).await;

    // Over HTTP/2, only the request ends, and the connection stays.
    let mut client = http2(scene.address).await;
    let request = client.send_request(get("/never"));
    let request = tokio::spawn(request);
    scene.begun(3).await;
    request.abort();
    scene.cancelled(3).await;
    let response = within(client.send_request(get("/hello"))).await;
    assert_eq!(response.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_client_that_goes_away_within_its_body_breaks_it() {
    let scene = Scene::limited(patient).await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SITE}\ncontent-length: 100000\n\n"
    ))
    .await;
    assert!(wire.send_bytes(&vec![b'x'; 50_000]).await);
    scene.begun(1).await;
    assert_eq!(scene.site.state().broken.load(Ordering::SeqCst), 0);
    drop(wire);
    // The component doesn't take the half for the whole.
    scene.broken(1).await;
    let mut wire = scene.connect().await;
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
}

#[tokio::test]
async fn further_connections_wait_until_there_is_room() {
    let scene = Scene::limited(|limits| {
        patient(limits);
        limits.connections = 2;
    })
    .await;
    let mut first = scene.connect().await;
    assert_eq!(first.get(SITE, "/hello").await.status, 200);
    let mut second = scene.connect().await;
    assert_eq!(second.get(SITE, "/hello").await.status, 200);

    let mut third: Wire = scene.connect().await;
    third
        .send(&format!("GET /hello HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    // Requests of the others go on, and this one waits.
    for _ in 0..20 {
        assert_eq!(first.get(SITE, "/hello").await.status, 200);
    }
    assert_eq!(scene.site.state().begun.load(Ordering::SeqCst), 22);
    drop(second);
    assert_eq!(third.answer().await.status, 200);
}
