//! The envelopes of calls and of their replies.

use crate::allocation::bounded;
use bytes::{Bytes, BytesMut};
use lattice_core::wire::{CallEnvelope, ReplyEnvelope, envelope_id};

/// Decodes any bytes as the envelope of a call.
pub fn call(input: &[u8]) {
    let envelope = Bytes::copy_from_slice(input);
    let Ok(call) = bounded(input.len(), || CallEnvelope::decode(envelope.clone())) else {
        return;
    };
    assert_eq!(envelope_id(&envelope), Some(call.id));
    let mut again = BytesMut::new();
    call.encode_into(&mut again);
    assert!(again.len() <= envelope.len());
    assert_eq!(CallEnvelope::decode(again.freeze()), Ok(call));
}

/// Decodes any bytes as the envelope of a reply.
pub fn reply(input: &[u8]) {
    let envelope = Bytes::copy_from_slice(input);
    let Ok(reply) = bounded(input.len(), || ReplyEnvelope::decode(envelope.clone())) else {
        return;
    };
    assert_eq!(envelope_id(&envelope), Some(reply.id));
    let mut again = BytesMut::new();
    reply.encode_into(&mut again);
    assert_eq!(ReplyEnvelope::decode(again.freeze()), Ok(reply));
}
