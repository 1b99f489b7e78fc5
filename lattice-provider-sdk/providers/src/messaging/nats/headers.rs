//! The header with the place of a message in a trace.

use crate::messaging::spans::{TRACEPARENT, position};
use async_nats::{HeaderMap, HeaderValue};
use lattice_core::id::TraceContext;

/// What the header takes in a message without others: the line of the version, its own, and the
/// empty one.
const SIZE: usize = 82;

/// Returns the headers of a message with this place in a trace. None if it has no place, or if its
/// body leaves no room for them in a message of the server.
pub(super) fn traced(
    trace: Option<TraceContext>,
    (body, most): (usize, usize),
) -> Option<HeaderMap> {
    let has_room = body.saturating_add(SIZE) <= most;
    let trace = trace.filter(|_| has_room)?;
    let mut headers = HeaderMap::new();
    insert(&mut headers, trace);
    Some(headers)
}

/// Adds the place in a trace to headers.
pub(super) fn insert(headers: &mut HeaderMap, trace: TraceContext) {
    if let Ok(value) = trace.to_string().parse::<HeaderValue>() {
        headers.insert(TRACEPARENT, value);
    }
}

/// Returns the place in a trace that a message has: that of its one valid header.
pub(super) fn trace_of(headers: Option<&HeaderMap>) -> Option<TraceContext> {
    let mut values = headers?.get_all(TRACEPARENT);
    match (values.next(), values.next()) {
        (Some(value), None) => position(value.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace() -> TraceContext {
        TRACE.parse().expect("a traceparent")
    }

    #[test]
    fn a_message_has_its_place_in_a_trace_if_there_is_room() {
        let headers = traced(Some(trace()), (100, 182)).expect("there is room");
        let value = headers.get(TRACEPARENT).expect("it has one").as_str();
        assert_eq!(value, TRACE);
        let line = format!("NATS/1.0\r\n{TRACEPARENT}: {value}\r\n\r\n");
        assert_eq!(line.len(), SIZE);
        assert_eq!(trace_of(Some(&headers)), Some(trace()));
        assert!(traced(Some(trace()), (101, 182)).is_none(), "no room");
        assert!(traced(None, (1, 182)).is_none(), "no trace");
    }

    #[test]
    fn what_is_not_one_valid_header_is_ignored() {
        assert_eq!(trace_of(None), None);
        let mut headers = HeaderMap::new();
        assert_eq!(trace_of(Some(&headers)), None);
        headers.insert(TRACEPARENT, "broken");
        assert_eq!(trace_of(Some(&headers)), None);
        headers.insert(TRACEPARENT, TRACE);
        assert_eq!(trace_of(Some(&headers)), Some(trace()));
        headers.append(TRACEPARENT, TRACE);
        assert_eq!(trace_of(Some(&headers)), None, "two");
    }
}
