//! The trace that a request belongs to.

use http::{HeaderMap, HeaderName};
use lattice_core::id::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Reads the header `traceparent` of W3C Trace Context, if it is there and valid.
pub(super) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    parse(value.to_str().ok()?)
}

fn parse(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version] = bytes(version)?;
    let has_more = parts.next().is_some();
    // Version 0 has four parts, and later ones may have more. The highest one is invalid.
    if version == 0xff || (version == 0 && has_more) {
        return None;
    }
    let (trace_id, span_id, [flags]) = (bytes(trace)?, bytes(span)?, bytes(flags)?);
    let is_given = trace_id != [0; 16] && span_id != [0; 8];
    is_given.then_some(TraceContext {
        trace_id,
        span_id,
        flags,
    })
}

fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let decoded = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
    decoded.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read() {
        let trace = parse(GOOD).expect("it is valid");
        assert_eq!(trace.trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(trace.span_id[7], 0x31);
        assert_eq!(trace.flags, 1);
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(parse(&later), Some(trace));
    }

    #[test]
    fn others_are_ignored() {
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        }
        assert_eq!(of(&twice), None);
    }
}
