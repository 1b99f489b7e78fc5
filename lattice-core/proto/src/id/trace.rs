//! The position of a call in a distributed trace.

/// The position of a call in a distributed trace, with the fields of the W3C `traceparent` header.
/// It is passed on and never interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The id of the trace.
    pub trace_id: [u8; 16],
    /// The id of the caller's span.
    pub span_id: [u8; 8],
    /// The trace flags. Bit 0: sampled.
    pub flags: u8,
}
