//! W3C trace context.
//!
//! ```text
//!  0            16          24      25
//! ┌────────────┬───────────┬───────┐
//! │ trace id   │ span id   │ flags │
//! └────────────┴───────────┴───────┘
//! ```

use super::{EnvelopeError, read::head};
use crate::id::TraceContext;
use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(super) const LEN: usize = 25;

pub(super) fn encode_into(trace: &TraceContext, buf: &mut BytesMut) {
    buf.put_slice(&trace.trace_id);
    buf.put_slice(&trace.span_id);
    buf.put_u8(trace.flags);
}

pub(super) fn decode(rest: &mut Bytes) -> Result<TraceContext, EnvelopeError> {
    let mut fields = &head::<LEN>(rest)?[..];
    let mut trace = TraceContext {
        trace_id: [0; 16],
        span_id: [0; 8],
        flags: 0,
    };
    fields.copy_to_slice(&mut trace.trace_id);
    fields.copy_to_slice(&mut trace.span_id);
    trace.flags = fields.get_u8();
    Ok(trace)
}
