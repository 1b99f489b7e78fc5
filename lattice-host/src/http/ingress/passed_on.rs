//! The response of an actor, on its way to the client.

use super::{
    body::{InFlight, Origin, Reaper, Times, WormholeBody},
    head::{check_head, has_no_body},
    respond::Rejection,
};
use crate::http::exchange::{self, ErrorCode, check_length, expected_length};
use http::{Method, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body as _;
use std::sync::Arc;

/// Returns the response to a request with this method, as it is passed on to the client.
pub(super) fn passed_on(
    response: Response<exchange::Body>,
    method: &Method,
    (origin, in_flight): (Origin, InFlight),
    times: Times,
    reaper: &Arc<Reaper>,
) -> Result<Response<WormholeBody>, Rejection> {
    let (mut parts, body) = response.into_parts();
    check_head(&parts)?;
    let length = expected_length(&parts.headers, method, parts.status).map_err(|_| {
        let reason = "the response has no valid or several values of Content-Length";
        Rejection::bad_gateway(reason.to_owned())
    })?;
    if matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    if has_no_body(method, parts.status) {
        return Ok(Response::from_parts(parts, WormholeBody::none()));
    }
    if length == Some(0) && !body.is_end_stream() {
        // The server would not read a body that was announced as empty, and not see that it
        // isn't.
        parts.headers.remove(CONTENT_LENGTH);
    }
    let body = match length {
        Some(length) if body.size_hint().exact() != Some(length) => {
            check_length(body, length, ErrorCode::HttpResponseBodySize)
        }
        _ => body,
    };
    let body = WormholeBody::streamed(body, times, reaper, origin, in_flight);
    Ok(Response::from_parts(parts, body))
}
