//! W3C trace context.
//!
//! ```text
//!  0            16          24      25
//! ┌────────────┬───────────┬───────┐
//! │ trace id   │ span id   │ flags │
//! └────────────┴───────────┴───────┘
//! ```

use super::{EnvelopeError, read::head};
use bytes::{Buf, BufMut, Bytes, BytesMut};

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

impl TraceContext {
    pub(super) const LEN: usize = 25;

    pub(super) fn encode_into(&self, buf: &mut BytesMut) {
        buf.put_slice(&self.trace_id);
        buf.put_slice(&self.span_id);
        buf.put_u8(self.flags);
    }

    pub(super) fn decode(rest: &mut Bytes) -> Result<Self, EnvelopeError> {
        let mut fields = &head::<{ Self::LEN }>(rest)?[..];
        let mut trace = Self {
            trace_id: [0; 16],
            span_id: [0; 8],
            flags: 0,
        };
        fields.copy_to_slice(&mut trace.trace_id);
        fields.copy_to_slice(&mut trace.span_id);
        trace.flags = fields.get_u8();
        Ok(trace)
    }
}
