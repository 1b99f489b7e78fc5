//! Where a call stands in a distributed trace.

/// Where a call stands in a distributed trace, as the W3C `traceparent` header says it. Carried along, never interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: [u8; 16],
    /// The caller's span in it.
    pub span_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}
