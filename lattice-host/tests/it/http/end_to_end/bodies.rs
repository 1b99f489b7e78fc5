//! Bodies that pass whole, in both directions.

use super::{
    client::{WORLD, post, whole},
    scene::Scene,
};
use crate::host::support::PATIENCE;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::Frame,
    header::{HOST, TE},
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Bytes of a large body, and of its parts.
const LARGE: u64 = 64 << 20;
const PART: usize = 64 << 10;
/// The most that may be on its way: in the buffers of sockets, of both programs and of the guest.
const ON_ITS_WAY: u64 = 40 << 20;

#[tokio::test]
async fn an_actor_of_another_program_answers() {
    for scene in [
        Scene::in_memory().await,
        Scene::over_nats(|host| host).await,
    ] {
        let mut client = scene.client().await;
        for _ in 0..3 {
            let page = client.page("/").await;
            assert_eq!(page, (StatusCode::OK, "hello".to_owned()));
        }
        let seen = client.page("/seen?a=b").await.1;
        for line in ["method Method::Get", "path Some(\"/seen?a=b\")", WORLD] {
            assert!(seen.contains(line), "{line}: {seen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_passes_both_ways_with_bounded_memory() {
    echo(&Scene::in_memory().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_passes_both_ways_over_nats_with_bounded_memory() {
    echo(&Scene::over_nats(|host| host).await).await;
}

/// Sends a large body to the guest, which sends it back, and reads nothing of it until nothing more
/// is taken. At all times, little of it is on its way.
async fn echo(scene: &Scene) {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let parts = stream::iter(0..LARGE / PART as u64).map(move |number| {
        counted.fetch_add(PART as u64, Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(part(number)))
    });
    let mut client = scene.client().await;
    let request = post("/echo", StreamBody::new(parts).boxed_unsync());
    let response = client.send(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    stalled(&sent).await;
    let on_its_way = sent.load(Ordering::Relaxed);
    assert!(on_its_way <= ON_ITS_WAY, "{on_its_way} bytes are buffered");

    let (mut body, mut received) = (response.into_body(), 0);
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("in time") {
        let data = frame.expect("whole").into_data().expect("no trailers");
        for (offset, byte) in data.iter().enumerate().step_by(1_021) {
            let at = received + offset as u64;
            assert_eq!(*byte, byte_of(at / PART as u64), "at {at}");
        }
        received += data.len() as u64;
        let on_its_way = sent.load(Ordering::Relaxed) - received;
        assert!(on_its_way <= ON_ITS_WAY, "{on_its_way} bytes are buffered");
    }
    assert_eq!(received, LARGE);
}

/// Waits until nothing more is taken for a while. On a busy machine it may be too early, which
/// makes the test weaker and doesn't make it fail.
async fn stalled(sent: &AtomicU64) {
    let (mut last, mut same) = (0, 0);
    while same < 40 {
        sleep(Duration::from_millis(5)).await;
        let now = sent.load(Ordering::Relaxed);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
}

fn part(number: u64) -> Bytes {
    Bytes::from(vec![byte_of(number); PART])
}

fn byte_of(number: u64) -> u8 {
    (number % 251) as u8
}

#[tokio::test]
async fn a_body_and_its_trailers_arrive_whole() {
    let scene = Scene::in_memory().await;
    let mut client = scene.client().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "10".parse().expect("a value"));
    let frames = [
        Frame::data(Bytes::from_static(b"01234")),
        Frame::data(Bytes::from_static(b"56789")),
        Frame::trailers(trailers),
    ];
    let body = StreamBody::new(stream::iter(frames.map(Ok)));
    let mut request = post("/count", body.boxed_unsync());
    let announced = "x-sum".parse().expect("a value");
    request.headers_mut().insert("trailer", announced);
    let counted = client.send(request).await.expect("a response");
    let counted = whole(counted).await.1;
    assert_eq!(counted, "10 bytes, 1 trailers");

    let plain = post(
        "/count",
        Full::new(Bytes::from_static(b"abc")).boxed_unsync(),
    );
    let counted = client.send(plain).await.expect("a response");
    assert_eq!(whole(counted).await.1, "3 bytes, 0 trailers");

    let request = Request::get("/trailers")
        .header(HOST, WORLD)
        .header(TE, "trailers")
        .body(http_body_util::Empty::new().boxed_unsync());
    let response = client.send(request.expect("a request")).await;
    let body = response.expect("a response").into_body().collect().await;
    let body = body.expect("a whole body");
    let trailers = body.trailers().expect("trailers");
    assert_eq!(trailers["x-sum"], "4");
    assert_eq!(body.to_bytes(), "body");
}
