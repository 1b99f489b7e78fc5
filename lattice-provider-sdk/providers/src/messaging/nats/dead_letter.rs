//! The headers of messages that were set aside.

use super::headers as own;
use async_nats::{HeaderMap, HeaderValue, jetstream};
use lattice_core::id::TraceContext;

/// Longest reason in a header, in bytes. It is one line for a person, not a log.
const LONGEST: usize = 1_024;

/// Returns the headers of a message that was not handled, for this reason. It stays in its trace.
pub(super) fn headers(reason: &str, subject: &str, trace: Option<TraceContext>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(trace) = trace {
        own::insert(&mut headers, trace);
    }
    insert(&mut headers, "Lattice-Reason", reason);
    insert(&mut headers, "Lattice-Subject", subject);
    headers
}

/// Returns the headers of a message of a stream. Setting it aside twice stores it once.
pub(super) fn headers_of(
    reason: &str,
    message: &jetstream::Message,
    info: &jetstream::message::Info<'_>,
) -> HeaderMap {
    let trace = own::trace_of(message.headers.as_ref());
    let mut headers = headers(reason, &message.subject, trace);
    insert(&mut headers, "Lattice-Stream", info.stream);
    insert(
        &mut headers,
        "Lattice-Sequence",
        &info.stream_sequence.to_string(),
    );
    insert(
        &mut headers,
        "Lattice-Deliveries",
        &info.delivered.to_string(),
    );
    let (stream, number, consumer) = (info.stream, info.stream_sequence, info.consumer);
    insert(
        &mut headers,
        "Nats-Msg-Id",
        &format!("{stream}-{number}-{consumer}"),
    );
    headers
}

/// Inserts a header. Line breaks, which no value may have, become spaces.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let end = value.floor_char_boundary(LONGEST);
    let one_line = value[..end].replace(['\r', '\n'], " ");
    if let Ok(value) = one_line.parse::<HeaderValue>() {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_a_header() {
        let long = format!("first\r\nsecond {}", "é".repeat(LONGEST));
        let headers = headers(&long, "a.b", None);
        let reason = headers.get("Lattice-Reason").expect("a reason").as_str();
        assert!(reason.starts_with("first  second é") && reason.len() <= LONGEST);
        assert_eq!(
            headers.get("Lattice-Subject").expect("a subject").as_str(),
            "a.b"
        );
    }
}
