//! The limits of a wormhole: bodies and rates.

use super::{
    requests::http2,
    scene::{SITE, Scene},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use lattice_core::wormhole::{Rate, WormholeLimits};
use lattice_host::ByteSize;
use std::{num::NonZeroU32, sync::atomic::Ordering};

const SMALL: &str = "small.example";

async fn small() -> Scene {
    let scene = Scene::new().await;
    let mut limits = WormholeLimits::default();
    limits.body = Some(ByteSize::bytes(10));
    scene.open(|new| new.host(SMALL).limits(limits)).await;
    scene
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_at_once() {
    let scene = small().await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SMALL}\ncontent-length: 10\n\n0123456789"
    ))
    .await;
    assert_eq!(wire.answer().await.text(), "10");
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SMALL}\ncontent-length: 11\nexpect: 100-continue\n\n"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 413, "and it isn't asked for");
    assert_eq!(scene.site.state().begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_that_becomes_too_large_is_cut() {
    let scene = small().await;
    let mut wire = scene.connect().await;
    wire.send(&format!(
        "POST /read HTTP/1.1\nhost: {SMALL}\ntransfer-encoding: chunked\n\n5\nhello\n6\n world\n"
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (413, Some("close"))
    );
    assert_eq!(wire.rest().await.0, "");

    // Over HTTP/2, one that has begun to come back.
    let mut client = http2(scene.address).await;
    let body = Full::new(Bytes::from(vec![1; 100_000])).boxed_unsync();
    let request = http::Request::post(format!("http://{SMALL}/echo")).body(body);
    let response = client.send_request(request.expect("a request")).await;
    match response {
        Ok(response) if response.status() == 413 => {}
        Ok(response) => {
            let rest = response.into_body().collect().await;
            assert!(rest.is_err(), "what came back looks whole");
        }
        Err(error) => panic!("there is no answer: {error}"),
    }
}

#[tokio::test]
async fn requests_over_the_rate_wait() {
    let scene = Scene::new().await;
    let mut limits = WormholeLimits::default();
    let (one, three) = (NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(2));
    limits.rate = Some(Rate {
        per_second: one,
        burst: three,
    });
    scene
        .open(|new| new.host("rated.example").limits(limits))
        .await;
    let mut wire = scene.connect().await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = wire.get("rated.example", "/hello").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the rate is exceeded");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert!(scene.site.state().begun.load(Ordering::SeqCst) >= 3);
    assert_eq!(
        wire.get(SITE, "/hello").await.status,
        200,
        "others have no limit"
    );
}

#[tokio::test]
async fn each_client_has_its_own_rate() {
    let local = "127.0.0.0/8".parse().expect("a range");
    let scene = Scene::with(|ingress| ingress.trusted_proxies([local])).await;
    let mut limits = WormholeLimits::default();
    // So slow that no time of a test is enough for a second one.
    let one = NonZeroU32::MIN;
    limits.client_rate = Some(Rate {
        per_second: one,
        burst: one,
    });
    scene
        .open(|new| new.host("rated.example").limits(limits))
        .await;
    let mut wire = scene.connect().await;
    let mut ask = async |client: &str| {
        wire.send(&format!(
            "GET /hello HTTP/1.1\nhost: rated.example\nx-forwarded-for: {client}\n\n"
        ))
        .await;
        wire.answer().await.status
    };
    let mut was_refused = false;
    for _ in 0..200 {
        was_refused |= ask("192.0.2.1").await == 429;
        if was_refused {
            break;
        }
    }
    assert!(was_refused);
    assert_eq!(ask("192.0.2.2").await, 200, "another client");
    assert_eq!(ask("2001:db8::1").await, 200);
}
