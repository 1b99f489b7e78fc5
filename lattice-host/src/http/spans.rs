//! Spans of requests of HTTP, and the header `traceparent`.
//!
//! They have the attributes of the stable semantic conventions for HTTP, without headers, which may
//! have secrets in them, and requests to a wormhole without the query of the URL. Requests that go
//! out have their URL, in which `urls` redacts what is known to be secret.

use super::{
    exchange::{ErrorCode, Header},
    names::{self, method, variant},
    urls,
};
use http::{StatusCode, Version, request::Parts};
use lattice_core::{call::Context, id::TraceContext, trace, wormholes::Wormhole};
use std::fmt;
use tokio::time::Instant;
use tracing::{Level, Span, field::Empty};

/// The target of these spans.
const TARGET: &str = "lattice::http";
const LEVEL: Level = Level::DEBUG;
const TRACEPARENT: &str = "traceparent";

/// The span of a request, which lasts as long as this and its clones, or nothing if the request
/// isn't sampled.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    /// No span.
    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    /// Begins the span of a request to a wormhole, if it is sampled, and puts it into the context
    /// of its calls. If the context doesn't say whether it is, a trace starts here.
    pub(crate) fn server(head: &Parts, wormhole: &Wormhole, context: &mut Context) -> Self {
        if !trace::is_sampled(context) {
            return Self::none();
        }
        let (method, route) = (method(head.method.as_str()), &*wormhole.spec.path);
        let span = tracing::span!(
            target: TARGET,
            LEVEL,
            "request",
            otel.name = format!("{} {route}", name(method)),
            otel.kind = "server",
            otel.status_description = Empty,
            http.request.method = method,
            http.response.status_code = Empty,
            http.route = route,
            "error.type" = Empty,
            lattice.wormhole = wormhole.id.as_str(),
            network.protocol.version = version(head.version),
            server.address = head.uri.host().unwrap_or_default(),
            url.path = head.uri.path(),
            url.scheme = head.uri.scheme_str().unwrap_or_default(),
        );
        trace::join(&span, context);
        Self(span)
    }

    /// Begins the span of a request that is sent to a server, if it is sampled, and puts it into
    /// the context. Its URL is the origin with the path and query.
    pub(crate) fn client(
        given: &str,
        (scheme, host, port): (&str, &dyn fmt::Display, u16),
        (origin, path): (&dyn fmt::Display, &str),
        context: &mut Context,
    ) -> Self {
        if !trace::is_sampled(context) {
            return Self::none();
        }
        let method = method(given);
        let span = tracing::span!(
            target: TARGET,
            LEVEL,
            "request",
            otel.name = name(method),
            otel.kind = "client",
            otel.status_description = Empty,
            http.request.method = method,
            http.response.status_code = Empty,
            "error.type" = Empty,
            server.address = %host,
            server.port = i64::from(port),
            url.full = urls::full(origin, path),
            url.scheme = scheme,
        );
        trace::join(&span, context);
        Self(span)
    }

    /// Returns what notes that the request was given up, unless it is told before it is dropped
    /// that there is an outcome.
    pub(crate) fn until_outcome(&self, deadline: Instant) -> Undecided<'_> {
        Undecided {
            span: Some(self),
            deadline,
        }
    }

    /// Returns the span, to run in it.
    pub(crate) fn span(&self) -> Span {
        self.0.clone()
    }

    /// Returns whether the request has no span.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Notes the status of the response. `fails` are the statuses that count as failures.
    pub(crate) fn responded(&self, status: StatusCode, fails: impl Fn(StatusCode) -> bool) {
        if self.is_none() {
            return;
        }
        // Signed, as attributes of OpenTelemetry are: other numbers would become text.
        let number = i64::from(status.as_u16());
        self.0.record("http.response.status_code", number);
        if fails(status) {
            self.0.record("error.type", status.as_str());
            self.0.record("otel.status_description", "");
        }
    }

    /// Notes that there is no response, because of an error with this code.
    pub(crate) fn failed_with(&self, code: &ErrorCode, text: &str) {
        if !self.is_none() {
            self.failed(&variant(code), text);
        }
    }

    /// Notes that there is no response, or not all of it.
    pub(crate) fn failed(&self, kind: &str, text: &str) {
        if !self.is_none() {
            self.0.record("error.type", kind);
            self.0.record("otel.status_description", text);
        }
    }
}

/// A request that has no outcome yet.
pub(crate) struct Undecided<'s> {
    span: Option<&'s RequestSpan>,
    deadline: Instant,
}

impl Undecided<'_> {
    /// The request has an outcome.
    pub(crate) fn decided(mut self) {
        self.span = None;
    }
}

impl Drop for Undecided<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.span {
            let kind = names::given_up(self.deadline);
            span.failed(kind, "the request was given up before its response");
        }
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        // It ended when it was left last.
        if !self.is_none() {
            self.0.in_scope(|| ());
        }
    }
}

/// Gives a request that leaves the lattice its position in the trace. The sender's own
/// `traceparent` stays if it is of another trace, or if it isn't one at all. One of the same trace
/// was passed on by the sender from the request that it serves, and is replaced by the nearer one.
pub(crate) fn propagate(headers: &mut Vec<Header>, trace: Option<TraceContext>) {
    let Some(trace) = trace else {
        return;
    };
    let mut own = headers
        .iter_mut()
        .filter(|header| header.name.eq_ignore_ascii_case(TRACEPARENT));
    match (own.next(), own.next()) {
        (None, _) => headers.push(Header {
            name: TRACEPARENT.to_owned(),
            value: trace.to_string().into(),
        }),
        (Some(header), None) if trace_of(&header.value) == Some(trace.trace_id) => {
            header.value = trace.to_string().into();
        }
        _ => {}
    }
}

fn trace_of(value: &[u8]) -> Option<[u8; 16]> {
    let trace: TraceContext = str::from_utf8(value).ok()?.parse().ok()?;
    Some(trace.trace_id)
}

/// Returns the method as names of spans have it.
fn name(method: &str) -> &str {
    if method == names::OTHER {
        "HTTP"
    } else {
        method
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sent(own: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = own
            .iter()
            .map(|(name, value)| Header {
                name: (*name).to_owned(),
                value: value.as_bytes().to_vec().into(),
            })
            .collect();
        propagate(&mut headers, Some(HERE.parse().expect("a traceparent")));
        let text = |header: Header| (header.name, String::from_utf8_lossy(&header.value).into());
        headers.into_iter().map(text).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_request_has_its_position_in_the_trace() {
        assert_eq!(sent(&[]), [pair("traceparent", HERE)]);
        let passed_on = HERE.replace("b7ad", "0000");
        let passed_on = sent(&[("Traceparent", &passed_on)]);
        assert_eq!(passed_on, [pair("Traceparent", HERE)]);
    }

    #[test]
    fn a_traceparent_of_the_sender_itself_stays() {
        let other = HERE.replace("0af7", "1111");
        for own in [&*other, "broken"] {
            assert_eq!(sent(&[("traceparent", own)]), [pair("traceparent", own)]);
        }
        let two = [("traceparent", HERE), ("traceparent", HERE)];
        assert_eq!(sent(&two).len(), 2);
        let mut none = Vec::new();
        propagate(&mut none, None);
        assert!(none.is_empty());
    }

    #[test]
    fn methods_that_clients_invent_are_no_names() {
        assert_eq!((method("GET"), name(method("GET"))), ("GET", "GET"));
        assert_eq!(method("get"), "_OTHER");
        assert_eq!(name(method("INVENTED")), "HTTP");
    }
}
