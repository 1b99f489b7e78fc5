//! The position of a call in a distributed trace.

use std::{fmt, str::FromStr};

/// The bit of the flags that says that the trace is sampled.
const SAMPLED: u8 = 1;

/// The position of a call in a distributed trace, with the fields of the W3C `traceparent` header.
///
/// Its text, written and parsed, is the value of that header:
///
/// ```
/// use lattice_proto::id::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let trace: TraceContext = text.parse()?;
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), text);
/// # Ok::<_, lattice_proto::id::TraceContextError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The id of the trace.
    pub trace_id: [u8; 16],
    /// The id of the caller's span.
    pub span_id: [u8; 8],
    /// The trace flags. Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Returns whether the trace is sampled. That is decided once, where it starts.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The value of the header `traceparent`, of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (
            u128::from_be_bytes(self.trace_id),
            u64::from_be_bytes(self.span_id),
        );
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// Parses the value of a header `traceparent`. Those of later versions may be longer, and what is
/// added there is ignored.
impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        parse(text).ok_or(TraceContextError)
    }
}

/// A text isn't the value of a `traceparent` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a traceparent; it has the form `00-TRACE-SPAN-FLAGS`, in 32, 16 and 2 lower-case hexadecimal digits, with ids that aren't zero"
)]
pub struct TraceContextError;

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
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut decoded = [0; N];
    hex::decode_to_slice(digits, &mut decoded).ok()?;
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let trace: TraceContext = GOOD.parse().expect("it is valid");
        assert_eq!(trace.trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(trace.span_id[7], 0x31);
        assert_eq!(trace.flags, 1);
        assert!(trace.is_sampled());
        assert_eq!(trace.to_string(), GOOD);
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(later.parse(), Ok(trace));
        let unsampled = GOOD.replace("-01", "-02");
        assert!(
            !unsampled
                .parse::<TraceContext>()
                .expect("it is valid")
                .is_sampled()
        );
    }

    #[test]
    fn others_are_refused() {
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0101",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(
                wrong.parse::<TraceContext>(),
                Err(TraceContextError),
                "{wrong}"
            );
        }
    }
}
