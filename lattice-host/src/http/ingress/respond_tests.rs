use super::*;
use http_body_util::BodyExt as _;
use lattice_core::name::{ComponentId, WormholeId};

fn component() -> ComponentId {
    ComponentId::new("secret-component").expect("an id")
}

async fn text(rejection: Rejection) -> (StatusCode, http::HeaderMap, String) {
    let id = HeaderValue::from_static("0af7");
    let (parts, body) = rejection.into_response(&id).into_parts();
    let body = body.collect().await.expect("it doesn't break").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("text");
    (parts.status, parts.headers, body)
}

#[tokio::test]
async fn failed_calls_have_their_status_and_say_nothing_of_the_inside() {
    let (component, reason) = (component(), "secret-reason".to_owned());
    let wormhole = WormholeId::new("secret-wormhole").expect("an id");
    for (error, status, waits) in [
        (
            CallError::NotServed {
                component: component.clone(),
            },
            503,
            true,
        ),
        (
            CallError::Overloaded {
                component: component.clone(),
            },
            503,
            true,
        ),
        (CallError::Stopping { component }, 503, true),
        (CallError::Disconnected { ran: Ran::No }, 503, true),
        (CallError::Disconnected { ran: Ran::Maybe }, 502, false),
        (CallError::DeadlineExceeded { ran: Ran::Maybe }, 504, false),
        (
            CallError::CalleeFailed {
                reason: reason.clone(),
            },
            502,
            false,
        ),
        (
            CallError::InstanceLost {
                reason: reason.clone(),
            },
            502,
            false,
        ),
        (
            CallError::BadArguments {
                reason: reason.clone(),
            },
            500,
            false,
        ),
        (
            CallError::LimitExceeded {
                limit: Limit::Wall(SOON),
                reason: reason.clone(),
            },
            504,
            false,
        ),
        (CallError::WormholeClosed { wormhole, reason }, 404, false),
    ] {
        let rejection = Rejection::failed(&SendError::Call(error.clone()));
        let (found, headers, body) = text(rejection).await;
        assert_eq!(found, status, "{error}");
        assert_eq!(headers.contains_key(RETRY_AFTER), waits, "{error}");
        assert!(!body.contains("secret"), "{body}");
        assert_eq!(body.contains("0af7"), status != 404, "{body}");
    }
}

#[tokio::test]
async fn a_wormhole_that_was_just_closed_is_as_one_that_never_was() {
    let wormhole = WormholeId::new("a").expect("an id");
    let reason = "it is closed".to_owned();
    let closed = SendError::Call(CallError::WormholeClosed { wormhole, reason });
    let closed = text(Rejection::failed(&closed)).await;
    assert_eq!(closed, text(Rejection::not_found()).await);
}

#[tokio::test]
async fn a_client_is_told_how_long_to_wait() {
    for (wait, seconds) in [
        (Duration::from_millis(1), "1"),
        (Duration::from_millis(1_001), "2"),
        (Duration::MAX, "3600"),
    ] {
        let (status, headers, _) = text(Rejection::too_many(wait)).await;
        assert_eq!(
            (status.as_u16(), &headers[RETRY_AFTER]),
            (429, &HeaderValue::from_static(seconds))
        );
    }
}

#[tokio::test]
async fn the_answer_of_a_verifier_is_passed_on_as_far_as_it_is_one() {
    let header = |name: &str, value: &'static str| crate::http::exchange::Header {
        name: name.to_owned(),
        value: bytes::Bytes::from_static(value.as_bytes()),
    };
    let refusal = |status| crate::http::exchange::Refusal {
        status,
        headers: vec![
            header("location", "/login"),
            header("content-length", "77"),
            header("transfer-encoding", "chunked"),
            header("x", "a\r\nb: c"),
        ],
        body: bytes::Bytes::from_static(b"please"),
    };
    let stopped = |status| Rejection::stopped(Stopped::Denied(Box::new(refusal(status))));
    let (status, headers, body) = text(stopped(302)).await;
    assert_eq!((status.as_u16(), &*body), (302, "please"));
    assert_eq!(headers.len(), 1, "{headers:?}");
    assert_eq!(headers["location"], "/login");
    for wrong in [0, 101, 1_000] {
        assert_eq!(text(stopped(wrong)).await.0, 403);
    }
}

#[tokio::test]
async fn credentials_are_asked_for_and_what_was_not_checked_does_not_pass() {
    let challenge = HeaderValue::from_static("Basic realm=\"restricted\"");
    let stopped = Rejection::stopped(Stopped::Unauthorized(challenge.clone()));
    let (status, headers, _) = text(stopped).await;
    assert_eq!(
        (status.as_u16(), &headers["www-authenticate"]),
        (401, &challenge)
    );
    let stopped = Rejection::stopped(Stopped::Unchecked("secret".to_owned()));
    let (status, _, body) = text(stopped).await;
    assert_eq!(status, 503);
    assert!(!body.contains("secret"));
    assert_eq!(text(Rejection::stopped(Stopped::Late)).await.0, 504);
}
