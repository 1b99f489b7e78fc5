//! Bodies that are told to hosts of several versions at once.
//!
//! ```text
//!  0          1
//! ┌─────────┬──────────────────┬─────────────────────────────┐
//! │ version │ postcard fields  │ fields of newer minor forms │
//! └─────────┴──────────────────┴─────────────────────────────┘
//! ```
//! A sender doesn't know who listens, so a body grows at its end: a reader takes the fields that it knows and leaves the
//! rest. The version changes only when that is not enough.

use super::{EnvelopeError, Kind};
use crate::value;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// The version of every body here.
const VERSION: u8 = 1;

/// An envelope that is a struct: all kinds but calls and replies.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of the frames that carry it.
    const KIND: Kind;
    /// Fewest bytes that an element of its list takes: there are never more of them than fit into what was sent, and room
    /// is made for no more.
    const SMALLEST_ELEMENT: usize = 1;

    /// Whether it is within its bounds.
    ///
    /// # Errors
    /// [`EnvelopeError::TooMany`].
    fn check(&self) -> Result<(), EnvelopeError> {
        Ok(())
    }

    /// The envelope.
    ///
    /// # Errors
    /// [`EnvelopeError::TooMany`].
    fn encode(&self) -> Result<Bytes, EnvelopeError> {
        self.check()?;
        let mut buf = BytesMut::new();
        buf.put_u8(VERSION);
        value::encode_into(self, &mut buf)?;
        Ok(buf.freeze())
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    fn decode(mut envelope: Bytes) -> Result<Self, EnvelopeError> {
        match envelope
            .try_get_u8()
            .map_err(|_| EnvelopeError::Truncated)?
        {
            VERSION => Ok(value::read_prefix(&envelope, Self::SMALLEST_ELEMENT)?),
            other => Err(EnvelopeError::Unknown {
                what: "body version",
                number: u64::from(other),
            }),
        }
    }
}

/// Refuses more than `limit` before they are sent.
pub(super) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), EnvelopeError> {
    if count > limit {
        return Err(EnvelopeError::TooMany { what, count, limit });
    }
    Ok(())
}
