//! The answers of an ingress itself: why a request was not served. They say nothing of the inside,
//! which the log does, under the same request id.

use super::{
    auth::Stopped,
    body::{RequestFault, WormholeBody},
    route::BadDestination,
};
use crate::http::exchange::{ErrorCode, SendError};
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use lattice_core::{
    call::{CallError, Limit, Part, Ran},
    error::chain,
    wormholes::Wormhole,
};
use std::time::Duration;

/// How long a client should wait before it asks again for what is away or overloaded now.
const SOON: Duration = Duration::from_secs(1);
/// The longest time that a client is told to wait.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Most headers of a verifier's answer that are passed on.
const MOST_HEADERS: usize = 128;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct Rejection {
    status: StatusCode,
    /// What the client is told.
    text: &'static str,
    retry_after: Option<Duration>,
    stopped: Option<Stopped>,
    /// Whether the connection can't be used for other requests.
    pub(super) closes: bool,
    /// What the log says.
    reason: Option<String>,
}

impl Rejection {
    fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            retry_after: None,
            stopped: None,
            closes: false,
            reason: None,
        }
    }

    /// Nothing is there: no wormhole, or a closed one.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found")
    }

    /// The request is for another protocol.
    pub(super) fn upgrade() -> Self {
        let text = "upgrades, WebSocket and CONNECT are not supported";
        Self::new(StatusCode::NOT_IMPLEMENTED, text)
    }

    /// The body of the request has a form that isn't understood in one way.
    pub(super) fn bad_coding() -> Self {
        let text = "the request has transfer codings other than chunked, once";
        Self {
            closes: true,
            ..Self::new(StatusCode::BAD_REQUEST, text)
        }
    }

    /// The head of the request is too large.
    pub(super) fn too_many_headers() -> Self {
        let text = "the request has too many headers, or too large ones";
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text)
    }

    /// It isn't known where the request goes.
    pub(super) fn bad_destination(why: BadDestination) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.text())
    }

    /// There are too many requests.
    pub(super) fn too_many(wait: Duration) -> Self {
        let text = "there are too many requests; try again later";
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }

    /// The body of the request is too large, as its head says.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body of the request is too large",
        )
    }

    /// The body of the request broke before the response.
    pub(super) fn broken_request(fault: RequestFault) -> Self {
        let rejection = match fault {
            RequestFault::TooLarge => Self::too_large(),
            RequestFault::Slow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body of the request did not arrive in time",
            ),
            RequestFault::Broken => Self::new(
                StatusCode::BAD_REQUEST,
                "the body of the request is not complete",
            ),
        };
        Self {
            closes: true,
            ..rejection
        }
    }

    /// The request may not pass.
    pub(super) fn stopped(stopped: Stopped) -> Self {
        let (status, text) = match &stopped {
            Stopped::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "credentials are required"),
            Stopped::Denied(_) => (StatusCode::FORBIDDEN, "the request is not allowed"),
            Stopped::Unchecked(reason) => return Self::unavailable(reason.clone()),
            Stopped::Late => {
                return Self::late("the request was not checked in time".to_owned());
            }
        };
        Self {
            stopped: Some(stopped),
            ..Self::new(status, text)
        }
    }

    /// The request can't be served now.
    fn unavailable(reason: String) -> Self {
        let text = "the service is not available now; try again later";
        Self {
            retry_after: Some(SOON),
            reason: Some(reason),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    fn late(reason: String) -> Self {
        let text = "the service did not answer in time";
        Self {
            reason: Some(reason),
            ..Self::new(StatusCode::GATEWAY_TIMEOUT, text)
        }
    }

    /// The actor gave no answer that can be passed on.
    pub(super) fn bad_gateway(reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(StatusCode::BAD_GATEWAY, "the service failed")
        }
    }

    fn internal(reason: String) -> Self {
        let text = "the request failed here";
        Self {
            reason: Some(reason),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }

    /// The request was sent to the actor, and no response came back.
    pub(super) fn failed(error: &SendError) -> Self {
        let reason = chain(error);
        match error {
            SendError::Call(error) => Self::failed_call(error, reason),
            SendError::Code(code) => Self::failed_with(code, reason),
        }
    }

    fn failed_call(error: &CallError, reason: String) -> Self {
        match error {
            // It was closed after it was found.
            CallError::WormholeClosed { .. } => Self {
                reason: Some(reason),
                ..Self::not_found()
            },
            CallError::NotServed { .. }
            | CallError::Overloaded { .. }
            | CallError::Stopping { .. }
            | CallError::HostGone { .. }
            | CallError::LinkTableBehind
            | CallError::TooManySessions { .. }
            | CallError::Disconnected { ran: Ran::No }
            | CallError::StoreUnavailable { .. } => Self::unavailable(reason),
            CallError::DeadlineExceeded { .. }
            | CallError::LimitExceeded {
                limit: Limit::Wall(_),
                ..
            } => Self::late(reason),
            CallError::TooLarge {
                what: Part::Arguments,
                ..
            } => Self::too_many_headers(),
            CallError::BadArguments { .. } | CallError::InvalidName(_) => Self::internal(reason),
            _ => Self::bad_gateway(reason),
        }
    }

    fn failed_with(code: &ErrorCode, reason: String) -> Self {
        match code {
            ErrorCode::DestinationUnavailable | ErrorCode::ConnectionLimitReached => {
                Self::unavailable(reason)
            }
            ErrorCode::DnsTimeout
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout => Self::late(reason),
            ErrorCode::HttpRequestBodySize(_) => Self {
                closes: true,
                ..Self::too_large()
            },
            _ => Self::bad_gateway(reason),
        }
    }

    /// Writes to the log why the request was not served.
    pub(super) fn log(&self, request: &HeaderValue, wormhole: Option<&Wormhole>) {
        let request = request.to_str().unwrap_or_default();
        let status = self.status.as_u16();
        let id = wormhole.map(|wormhole| tracing::field::display(&wormhole.id));
        let component = wormhole.map(|wormhole| tracing::field::display(&wormhole.spec.actor));
        if let Some(reason) = &self.reason {
            tracing::warn!(
                request,
                wormhole = id,
                component,
                status,
                "a request was not served: {reason}"
            );
        } else {
            tracing::debug!(
                request,
                wormhole = id,
                component,
                status,
                "a request was refused: {}",
                self.text
            );
        }
    }

    /// Makes the answer.
    pub(super) fn into_response(self, request: &HeaderValue) -> Response<WormholeBody> {
        if let Some(Stopped::Denied(refusal)) = self.stopped {
            return denied(*refusal);
        }
        // Without the id, so that the answer for what doesn't exist is always the same.
        let text = match (self.status, request.to_str()) {
            (StatusCode::NOT_FOUND, _) | (_, Err(_)) => format!("{}\n", self.text),
            (_, Ok(request)) => format!("{}\nrequest {request}\n", self.text),
        };
        let mut response = Response::new(WormholeBody::text(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        if let Some(wait) = self.retry_after {
            let seconds = wait.min(LONGEST_WAIT).as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(stopped) = &self.stopped {
            stopped.write(headers);
        }
        response
    }
}

/// The answer of a verifier. What isn't valid in it is left out, and the request stays refused.
fn denied(refusal: crate::http::exchange::Refusal) -> Response<WormholeBody> {
    let status = StatusCode::from_u16(refusal.status).ok();
    let status = status.filter(|status| !status.is_informational());
    let mut response = Response::new(WormholeBody::text(refusal.body));
    *response.status_mut() = status.unwrap_or(StatusCode::FORBIDDEN);
    for header in refusal.headers.into_iter().take(MOST_HEADERS) {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(header.value);
        if let (Ok(name), Ok(value)) = (name, value)
            && name != http::header::CONTENT_LENGTH
            && !crate::http::exchange::is_of_connection(&name)
        {
            let _ = response.headers_mut().try_append(name, value);
        }
    }
    response
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
