//! Guests of version 0.2 that don't do as they should, and requests that aren't valid.

use super::support::*;
use lattice_core::{Lattice, call::CallError};
use lattice_host::Limits;
use lattice_provider_sdk::Bytes;
use std::time::Duration;
use tokio::time::timeout;

const GUEST: &str = "http-incoming";

/// Returns the reason of a request that the guest did not answer.
async fn failure(lattice: &Lattice, path: &str) -> String {
    let answered = send(lattice, GUEST, get(path)).await;
    reason(answered.map(|answered| answered.map(|response| response.status)))
}

/// Returns why the body of a response broke, whose head was there.
async fn broken(lattice: &Lattice, path: &str) -> String {
    read(answered(lattice, GUEST, get(path)).await)
        .await
        .broken()
}

/// Gets the head and the first part of a response, then sends something, and returns the rest.
async fn continued(lattice: &Lattice, path: &str) -> Read {
    let (request, mut writer) = post(path);
    let mut reading = Reading::of(answered(lattice, GUEST, request).await);
    assert_eq!(reading.next(4).await, "part");
    writer
        .send(Bytes::from_static(b"go on"))
        .await
        .expect("it is read");
    timeout(PATIENCE, reading.rest()).await.expect("in time")
}

#[tokio::test]
async fn a_trap_fails_the_call_or_breaks_the_body() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    for path in ["/trap-before", "/trap-at-once"] {
        let reason = failure(&lattice, path).await;
        assert!(reason.contains("on purpose"), "{path}: {reason}");
    }
    let reason = continued(&lattice, "/trap-after-head").await.broken();
    assert!(reason.contains("on purpose"), "{reason}");
    assert_eq!(fetch(&lattice, GUEST, "/hello").await.1, "hello");
}

#[tokio::test]
async fn a_guest_that_gives_no_response_is_told_apart() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let silent = failure(&lattice, "/silent").await;
    assert!(silent.contains("without a response"), "{silent}");
    // It drops the place for its response and goes on.
    let (request, _writer) = post("/dropped");
    let answered = send(&lattice, GUEST, request).await;
    let dropped = reason(answered.map(drop));
    assert!(dropped.contains("response-outparam"), "{dropped}");
    let never = send_within(&lattice, GUEST, get("/never"), Duration::from_millis(300)).await;
    let late = never.map(drop).expect_err("it never answers");
    assert!(matches!(late, CallError::DeadlineExceeded { .. }), "{late}");
    failure(&lattice, "/twice").await;
}

#[tokio::test]
async fn a_guest_that_is_late_is_cut_off_by_the_limit_on_its_time() {
    let lattice = lattice().await;
    let wall = Duration::from_millis(200);
    let limits = Limits::default().wall(wall);
    let _host = serving(&lattice, GUEST, |actor| actor.limits(limits)).await;
    let late = send(&lattice, GUEST, get("/never")).await.map(drop);
    assert_eq!(exceeded(late), lattice_core::call::Limit::Wall(wall));
}

#[tokio::test]
async fn an_informational_status_is_no_response() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    for status in ["100", "101", "103", "199"] {
        let reason = failure(&lattice, &format!("/status/{status}")).await;
        assert!(reason.contains(status), "{status}: {reason}");
    }
    assert_eq!(fetch(&lattice, GUEST, "/status/599").await.0, 599);
}

#[tokio::test]
async fn only_a_body_of_the_announced_length_is_whole() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    assert_eq!(
        fetch(&lattice, GUEST, "/length/6/who/le!").await.1,
        "whole!"
    );
    assert_eq!(fetch(&lattice, GUEST, "/length/0").await.1, "");
    for path in [
        "/length/9/short",
        "/length/4/too-long",
        "/length/4/four/more",
        "/length/1",
    ] {
        broken(&lattice, path).await;
    }
    let mut request = get("/length/9");
    request.method = "HEAD".to_owned();
    let head = answered(&lattice, GUEST, request).await;
    let length = head.headers.into_iter().map(text_of).next();
    assert_eq!(length, Some(("content-length".to_owned(), "9".to_owned())));
}

#[tokio::test]
async fn a_body_that_its_guest_does_not_finish_is_broken() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let reason = broken(&lattice, "/unfinished").await;
    assert!(reason.contains("outgoing-body.finish"), "{reason}");
    let reason = continued(&lattice, "/unfinished-later").await.broken();
    assert!(reason.contains("outgoing-body.finish"), "{reason}");
    let whole = continued(&lattice, "/hold").await.whole();
    assert_eq!(whole, ", rest");
}

#[tokio::test]
async fn a_request_body_that_breaks_is_no_end_for_the_guest() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let (request, mut writer) = post("/echo");
    let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
    writer
        .send(Bytes::from_static(b"part"))
        .await
        .expect("it is read");
    assert_eq!(reading.next(4).await, "part");
    writer.fail("the client is gone");
    timeout(PATIENCE, reading.rest())
        .await
        .expect("in time")
        .broken();
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_breaks_its_body() {
    let lattice = lattice().await;
    let limits = Limits::default().cpu(Duration::from_millis(50));
    let _host = serving(&lattice, GUEST, |actor| actor.limits(limits)).await;
    let reason = continued(&lattice, "/spin").await.broken();
    assert!(reason.contains("CPU"), "{reason}");
}

#[tokio::test]
async fn a_body_of_which_nothing_moves_is_broken() {
    let lattice = lattice().await;
    let limits = Limits::default().kept(Duration::from_millis(200));
    let _host = serving(&lattice, GUEST, |actor| actor.limits(limits)).await;
    let (request, _writer) = post("/hold");
    let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
    assert_eq!(reading.next(4).await, "part");
    let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
    let reason = rest.broken();
    assert!(reason.contains("kept"), "{reason}");
}

#[tokio::test]
async fn a_guest_that_goes_on_after_its_response_ends_also_without_a_limit_on_its_time() {
    let lattice = lattice().await;
    let limits = Limits::default()
        .wall(None)
        .kept(Duration::from_millis(200));
    let _host = serving(&lattice, GUEST, |actor| actor.limits(limits)).await;
    let (request, writer) = post("/after");
    let response = answered(&lattice, GUEST, request).await;
    assert_eq!(read(response).await.whole(), "whole");
    // The guest waits for the rest of its request.
    timeout(PATIENCE, writer.unread()).await.expect("it ended");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_guest() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    // Before the head: the guest holds the body of its request until then.
    let (request, writer) = post("/never");
    let sent = send(&lattice, GUEST, request);
    assert!(timeout(Duration::from_millis(50), sent).await.is_err());
    timeout(PATIENCE, writer.unread()).await.expect("it ended");
    // After it.
    for path in ["/hold", "/forever"] {
        let (request, writer) = post(path);
        let mut reading = Reading::of(answered(&lattice, GUEST, request).await);
        reading.next(4).await;
        drop(reading);
        timeout(PATIENCE, writer.unread()).await.expect(path);
    }
}

#[tokio::test]
async fn headers_that_a_guest_may_not_set_are_refused() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let (_, refused) = fetch(&lattice, GUEST, "/forbidden").await;
    let expected = "connection,host,transfer-encoding,upgrade,keep-alive,x y,x-injected";
    assert_eq!(refused, expected);
    for path in ["/many-headers", "/large-header"] {
        failure(&lattice, path).await;
    }
}

#[tokio::test]
async fn requests_that_are_not_valid_have_the_code_that_says_why() {
    let lattice = lattice().await;
    let _host = serving(&lattice, GUEST, |actor| actor).await;
    let refused = async |change: fn(&mut Request)| {
        let mut request = get("/hello");
        change(&mut request);
        let answered = send(&lattice, GUEST, request).await.expect("answered");
        answered
            .map(|response| response.status)
            .expect_err("refused")
    };
    let method = refused(|request| request.method = "GET /".to_owned()).await;
    assert_eq!(method, ErrorCode::HttpRequestMethodInvalid);
    let path = refused(|request| request.path_with_query = Some("http://b/".to_owned())).await;
    assert_eq!(path, ErrorCode::HttpRequestUriInvalid);
    let injected = refused(|request| request.headers = vec![header("x", "1\r\ny: 2")]).await;
    assert_eq!(injected, ErrorCode::HttpProtocolError);
    let many = refused(|request| {
        request.headers = (0..33_000).map(|n| header(&format!("x-{n}"), "")).collect();
    });
    assert_eq!(many.await, ErrorCode::HttpRequestHeaderSectionSize(None));
}
