//! Cancel envelope: a caller no longer waits for the reply to a call.
//!
//! ```text
//!  0    8
//! ┌────┬─────────────────────────────┐
//! │ id │ fields of newer minor forms │
//! └────┴─────────────────────────────┘
//! ```
//! Little endian. The id is that of the call, among those of the frame's sender. A receiver ignores
//! an id that it doesn't know: the call may have ended, or never arrived.

use super::{EnvelopeError, envelope_id};
use bytes::{BufMut, Bytes, BytesMut};

/// A cancellation on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// The id of the call.
    pub id: u64,
}

impl Cancel {
    /// The length of the envelope in bytes.
    pub const LEN: usize = 8;

    /// Appends the envelope to `buf`.
    pub fn encode_into(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.id);
    }

    /// Decodes an envelope.
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::Truncated`].
    pub fn decode(envelope: &Bytes) -> Result<Self, EnvelopeError> {
        let id = envelope_id(envelope).ok_or(EnvelopeError::Truncated)?;
        Ok(Self { id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let cancel = Cancel {
            id: 0x0102_0304_0506_0708,
        };
        let mut buf = BytesMut::new();
        cancel.encode_into(&mut buf);
        assert_eq!(&buf[..], b"\x08\x07\x06\x05\x04\x03\x02\x01");
        assert_eq!(Cancel::decode(&buf.clone().freeze()), Ok(cancel));
        buf.put_u8(9);
        assert_eq!(Cancel::decode(&buf.freeze()), Ok(cancel), "a newer form");
        for length in 0..Cancel::LEN {
            let short = Bytes::from(vec![1; length]);
            assert_eq!(Cancel::decode(&short), Err(EnvelopeError::Truncated));
        }
    }
}
