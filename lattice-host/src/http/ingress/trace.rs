//! The trace that a request belongs to.

use http::{HeaderMap, HeaderName};
use lattice_core::id::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Reads the header `traceparent` of W3C Trace Context, if it is there once and valid.
pub(super) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()?.parse().ok()
}

/// Removes what a request says of its trace.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const GOOD: HeaderValue =
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

    #[test]
    fn only_one_valid_header_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), None);
        headers.append(TRACEPARENT, GOOD);
        assert_eq!(of(&headers).map(|trace| trace.flags), Some(1));
        headers.append(TRACEPARENT, GOOD);
        assert_eq!(of(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_static("00-broken"));
        assert_eq!(of(&headers), None);
    }
}
