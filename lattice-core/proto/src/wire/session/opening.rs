//! The part of a call or a reply that opens a session.
//!
//! ```text
//!  0          8       16
//! ┌──────────┬───────┐
//! │ session  │ size  │
//! └──────────┴───────┘
//! ```
//! Little endian. It is there if the envelope's count of channels isn't 0. The session has the
//! sender of the envelope as its opener. Channel 0 of the opener carries the arguments or the
//! result, of `size` bytes, which the envelope then doesn't have.

use crate::wire::{EnvelopeError, read::head};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Opens a session for arguments or a result that don't fit a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The number of the session among those that the sender opens.
    pub session: u64,
    /// How many bytes channel 0 will carry.
    pub size: u64,
}

impl Opening {
    /// The length in bytes.
    pub const LEN: usize = 16;

    /// The count of channels of an envelope with this opening, or without one.
    pub(in crate::wire) fn channels(opening: Option<&Self>) -> u16 {
        u16::from(opening.is_some())
    }

    pub(in crate::wire) fn encode_into(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.session);
        buf.put_u64_le(self.size);
    }

    /// Decodes the opening of an envelope with so many channels. What follows it must be empty,
    /// because the channel carries it.
    pub(in crate::wire) fn decode(
        rest: &mut Bytes,
        channels: u16,
    ) -> Result<Option<Self>, EnvelopeError> {
        match channels {
            0 => return Ok(None),
            1 => {}
            count => return Err(EnvelopeError::Channels { count }),
        }
        let mut fields = &head::<{ Self::LEN }>(rest)?[..];
        let (session, size) = (fields.get_u64_le(), fields.get_u64_le());
        if size == 0 || !rest.is_empty() {
            return Err(EnvelopeError::Contradiction);
        }
        Ok(Some(Self { session, size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let opening = Opening {
            session: 0x0102_0304_0506_0708,
            size: 16 << 20,
        };
        let mut buf = BytesMut::new();
        opening.encode_into(&mut buf);
        let bytes = buf.freeze();
        assert_eq!(&bytes[..8], b"\x08\x07\x06\x05\x04\x03\x02\x01");
        assert_eq!(&bytes[8..], b"\0\0\0\x01\0\0\0\0");
        let decode = |bytes: &Bytes, channels| Opening::decode(&mut bytes.clone(), channels);
        assert_eq!(decode(&bytes, 1), Ok(Some(opening)));
        assert_eq!(decode(&bytes, 0), Ok(None));
        assert_eq!(decode(&bytes, 2), Err(EnvelopeError::Channels { count: 2 }));
        for length in 0..Opening::LEN {
            let short = bytes.slice(..length);
            assert_eq!(decode(&short, 1), Err(EnvelopeError::Truncated));
        }
        let mut longer = bytes.to_vec();
        longer.push(1);
        let beside = decode(&longer.into(), 1);
        assert_eq!(beside, Err(EnvelopeError::Contradiction));
        let empty = decode(&Bytes::from_static(&[0; 16]), 1);
        assert_eq!(empty, Err(EnvelopeError::Contradiction));
    }
}
