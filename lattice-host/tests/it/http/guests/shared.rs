//! Guests of version 0.3, whose instances serve several requests.

use super::support::*;
use futures_util::FutureExt;
use lattice_core::{Lattice, call::CallError};
use lattice_host::{Actor, Host, Instances, Limits, Reuse};
use lattice_provider_sdk::{ByteWriter, Bytes};
use std::{num::NonZeroUsize, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

const GUEST: &str = "http-handler";

async fn count(lattice: &Lattice) -> u32 {
    let (_, counted) = fetch(lattice, GUEST, "/count").await;
    counted.parse().expect("a number")
}

#[tokio::test]
async fn requests_are_answered_and_bodies_stream() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    assert_eq!(
        fetch(&lattice, GUEST, "/hello").await,
        (200, "hello".to_owned())
    );
    assert_eq!(fetch(&lattice, GUEST, "/nowhere").await.0, 404);
    assert_eq!(fetch(&lattice, GUEST, "/authority").await.1, "a.example");
    let mut request = get("/authority");
    request.scheme = None;
    let of_host = read(answered(&lattice, GUEST, request).await).await;
    assert_eq!(of_host.whole(), "a.example");
    ping_pong(&lattice, GUEST).await;
    echo_large(&lattice, GUEST, "/echo").await;
    let answered = send(&lattice, GUEST, get("/error")).await;
    let code = answered.expect("it is answered").expect_err("an error");
    assert_eq!(code, ErrorCode::HttpResponseTimeout);
}

#[tokio::test]
async fn requests_share_an_instance_at_once() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let (waits, writer) = post("/overlap");
    let waits = tokio::spawn({
        let lattice = lattice.clone();
        async move { read(answered(&lattice, GUEST, waits).await).await.whole() }
    });
    let until = Instant::now() + PATIENCE;
    while fetch(&lattice, GUEST, "/overlap").await.1 != "2" {
        assert!(Instant::now() < until, "they don't share an instance");
        tokio::task::yield_now().await;
    }
    writer.end();
    assert_eq!(waits.await.expect("it is answered"), "1");
}

#[tokio::test]
async fn sixteen_requests_share_an_instance_and_the_next_one_has_another() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    overlap(&lattice, 17, ["1", "16"]).await;
}

/// Makes so many requests that overlap, and compares how many are in the instances of the last one
/// and of the one before it.
async fn overlap(lattice: &Lattice, requests: usize, counts: [&str; 2]) {
    let mut waiting = Vec::new();
    for _ in 0..requests {
        waiting.push(begun(lattice).await);
    }
    for expected in counts {
        let (answer, writer) = waiting.pop().expect("it waits");
        writer.end();
        assert_eq!(answer.await.expect("it is answered"), expected);
    }
    for (answer, writer) in waiting {
        writer.end();
        answer.await.expect("it is answered");
    }
}

/// Makes a request that the guest has begun with, and that is answered when its body ends.
async fn begun(lattice: &Lattice) -> (JoinHandle<String>, ByteWriter) {
    let (request, mut writer) = post("/overlap");
    let lattice = lattice.clone();
    let answer = tokio::spawn(async move {
        let response = answered(&lattice, GUEST, request).await;
        read(response).await.whole()
    });
    for part in ["it", "has", "begun"] {
        let sent = writer.send(Bytes::from_static(part.as_bytes()));
        let sent = timeout(PATIENCE, sent).await.expect("in time");
        sent.expect("it is read");
    }
    (answer, writer)
}

fn reuse(concurrent: usize, requests: usize) -> Limits {
    let reuse = Reuse::default().requests(NonZeroUsize::new(requests));
    let concurrent = NonZeroUsize::new(concurrent).expect("not zero");
    Limits::default().reuse(reuse.concurrent(concurrent))
}

#[tokio::test]
async fn an_actor_sets_how_many_requests_an_instance_serves_at_once_and_in_all() {
    let lattice = lattice().await;
    let limits = reuse(2, 3);
    let host = serving(&lattice, GUEST, |actor| actor.limits(limits)).await;
    overlap(&lattice, 3, ["1", "2"]).await;
    assert!(host.shutdown(PATIENCE).await.is_clean());
    let warm = Instances::warm();
    let limited = |actor: Actor| actor.limits(limits).instances(warm);
    let _host = serving(&lattice, GUEST, limited).await;
    let mut counts = Vec::new();
    for _ in 0..9 {
        counts.push(count(&lattice).await);
    }
    assert!(counts.iter().all(|count| *count <= 3), "{counts:?}");
    assert!(counts.contains(&3), "{counts:?}");
}

#[tokio::test]
async fn a_request_waits_while_all_instances_that_there_may_be_are_full() {
    let lattice = lattice().await;
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(600),
    };
    let limited = |actor: Actor| actor.limits(reuse(1, 100)).instances(one);
    let _host = serving(&lattice, GUEST, limited).await;
    let (answer, writer) = begun(&lattice).await;
    let late = send_within(&lattice, GUEST, get("/count"), Duration::from_millis(300)).await;
    let late = late.map(drop).expect_err("the only instance is full");
    assert!(matches!(late, CallError::DeadlineExceeded { .. }), "{late}");
    let waits = tokio::spawn({
        let lattice = lattice.clone();
        async move { count(&lattice).await }
    });
    writer.end();
    assert_eq!(answer.await.expect("it is answered"), "1");
    // The second one of this instance: the late one never got there.
    assert_eq!(waits.await.expect("it is answered"), 2);
}

#[tokio::test]
async fn an_instance_serves_so_many_requests_and_no_more() {
    let lattice = lattice().await;
    let host = serving(&lattice, GUEST, |actor| actor).await;
    let mut counts = Vec::new();
    for _ in 0..130 {
        counts.push(count(&lattice).await);
    }
    assert!(counts.iter().all(|count| *count <= 128), "{counts:?}");
    assert!(counts.iter().any(|count| *count > 1), "{counts:?}");
    assert!(counts.iter().filter(|count| **count == 1).count() > 1);
    assert!(host.shutdown(PATIENCE).await.is_clean());
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(600),
    };
    let _host = serving(&lattice, GUEST, |actor| actor.instances(one)).await;
    for expected in 1..=130 {
        assert_eq!(count(&lattice).await, expected);
    }
}

#[tokio::test]
async fn a_trap_fails_its_own_request_and_breaks_those_of_its_neighbours() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let (request, mut writer) = post("/echo");
    let mut neighbour = Reading::of(answered(&lattice, GUEST, request).await);
    writer
        .send(Bytes::from_static(b"part"))
        .await
        .expect("it is read");
    assert_eq!(neighbour.next(4).await, "part");
    let failed = send(&lattice, GUEST, get("/trap-before")).await;
    let reason = reason(failed.map(drop));
    assert!(reason.contains("on purpose"), "{reason}");
    let rest = timeout(PATIENCE, neighbour.rest()).await.expect("in time");
    rest.broken();
    let (request, writer) = post("/trap-after-head");
    let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
    assert_eq!(reading.next(4).await, "part");
    writer.end();
    let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
    let reason = rest.broken();
    assert!(reason.contains("on purpose"), "{reason}");
    assert_eq!(fetch(&lattice, GUEST, "/hello").await.1, "hello");
}

#[tokio::test]
async fn a_request_that_is_given_up_does_not_hold_its_instance() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let (request, writer) = post("/never");
    let late = send_within(&lattice, GUEST, request, Duration::from_millis(300)).await;
    let late = late.map(drop).expect_err("it never answers");
    assert!(matches!(late, CallError::DeadlineExceeded { .. }), "{late}");
    // The guest held the body of its request.
    timeout(PATIENCE, writer.unread())
        .await
        .expect("the instance ended");
    let mut reading = Reading::of(answered(&lattice, GUEST, get("/forever")).await);
    reading.next(10_000).await;
    drop(reading);
    assert_eq!(fetch(&lattice, GUEST, "/hello").await.1, "hello");
}

#[tokio::test]
async fn a_client_that_goes_away_after_the_head_retires_the_instance() {
    let lattice = lattice().await;
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(600),
    };
    let _host = serving(&lattice, GUEST, |actor| actor.instances(one)).await;
    assert_eq!(count(&lattice).await, 1);
    assert_eq!(fetch(&lattice, GUEST, "/hello").await.1, "hello");
    assert_eq!(count(&lattice).await, 3, "a whole response keeps it");
    let mut reading = Reading::of(answered(&lattice, GUEST, get("/forever")).await);
    reading.next(100_000).await;
    drop(reading);
    let until = Instant::now() + PATIENCE;
    // It counts from one in a new instance.
    while count(&lattice).await != 1 {
        assert!(Instant::now() < until, "the instance still takes requests");
        tokio::task::yield_now().await;
    }
    // The instance ends with its guest's task, which holds the body of its request.
    let (request, writer) = post("/linger");
    let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
    assert_eq!(reading.next(4).await, "part");
    drop(reading);
    timeout(PATIENCE, writer.unread())
        .await
        .expect("the instance ended");
}

#[tokio::test]
async fn an_instance_that_a_client_has_left_ends_with_the_last_of_the_other_requests() {
    let lattice = lattice().await;
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(600),
    };
    let _host = serving(&lattice, GUEST, |actor| actor.instances(one)).await;
    let (request, mut neighbour) = post("/echo");
    let mut echoed = Reading::of(answered(&lattice, GUEST, request).await);
    let (request, left) = post("/linger");
    let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
    assert_eq!(reading.next(4).await, "part");
    drop(reading);
    let until = Instant::now() + PATIENCE;
    // A new instance counts from one.
    while count(&lattice).await > 2 {
        assert!(Instant::now() < until, "the instance still takes requests");
        tokio::task::yield_now().await;
    }
    let sent = neighbour.send(Bytes::from_static(b"on")).await;
    sent.expect("the neighbour goes on");
    assert_eq!(echoed.next(2).await, "on");
    assert!(left.unread().now_or_never().is_none(), "the guest has it");
    neighbour.end();
    let rest = timeout(PATIENCE, echoed.rest()).await.expect("in time");
    assert_eq!(rest.whole(), "");
    // The guest still waits in the request that was left, and holds its body.
    timeout(PATIENCE, left.unread())
        .await
        .expect("the instance ended");
}

#[tokio::test]
async fn only_a_body_of_the_announced_length_is_whole() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    assert_eq!(
        fetch(&lattice, GUEST, "/length/6/who/le!").await.1,
        "whole!"
    );
    for path in [
        "/length/9/short",
        "/length/4/too-long",
        "/length/4/four/more",
    ] {
        read(answered(&lattice, GUEST, get(path)).await)
            .await
            .broken();
    }
}

#[tokio::test]
async fn a_middleware_passes_requests_on_over_its_links() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor(GUEST, guest(GUEST))
        .actor("back", guest("http-incoming"));
    let _host = started(host).await;
    let denied = send(&lattice, GUEST, get("/next/hello")).await;
    let denied = denied.expect("answered").map(drop).expect_err("no link");
    assert_eq!(denied, ErrorCode::HttpRequestDenied);
    link(&lattice, GUEST, "wasi:http/handler@0.3.0", "back").await;
    link(&lattice, GUEST, "wasi:http/client@0.3.0", "back").await;
    assert_eq!(fetch(&lattice, GUEST, "/next/hello").await.1, "hello");
    let (_, text) = fetch(&lattice, GUEST, "/send/b.example:81/headers").await;
    assert!(text.starts_with("GET http b.example:81 /headers"), "{text}");
    echo_large(&lattice, GUEST, "/next/echo").await;
    echo_large(&lattice, GUEST, "/send/b.example/echo").await;
    // Itself: an actor of version 0.3 behind the other one.
    link_to_itself(&lattice).await;
    assert_eq!(fetch(&lattice, GUEST, "/next/next/hello").await.1, "hello");
}

#[tokio::test]
async fn a_request_that_waits_for_the_instance_of_its_own_caller_is_refused_at_once() {
    let lattice = lattice().await;
    let one = Instances::Warm {
        most: NonZeroUsize::MIN,
        idle: Duration::from_secs(600),
    };
    let limited = |actor: Actor| actor.limits(reuse(1, 100)).instances(one);
    let _host = serving(&lattice, GUEST, limited).await;
    link_to_itself(&lattice).await;
    let began = Instant::now();
    let refused = send_within(&lattice, GUEST, get("/next/hello"), PATIENCE).await;
    let refused = refused.expect("the outer one is answered");
    refused.map(drop).expect_err("the inner one is not");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(fetch(&lattice, GUEST, "/hello").await.1, "hello");
}

async fn link_to_itself(lattice: &Lattice) {
    let link = lattice_core::link::Link::new(GUEST, "wasi:http/handler@0.3.0", GUEST);
    let link = link.expect("a link");
    lattice
        .links()
        .replace(link)
        .await
        .expect("the link is put");
}
