//! Bodies that hosts of several versions receive.
//!
//! ```text
//!  0          1
//! ┌─────────┬──────────────────┬─────────────────────────────┐
//! │ version │ postcard fields  │ fields of newer minor forms │
//! └─────────┴──────────────────┴─────────────────────────────┘
//! ```
//! A sender doesn't know the versions of its receivers, so new fields are added at the end: a
//! reader reads the fields that it knows and ignores the rest. A kind with fields that older
//! senders don't write reads these apart from the others ([`Body::read`]): all of them, or none.
//! The version changes only if that isn't enough.

use super::{EnvelopeError, Kind};
use crate::value::{self, ValueError};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// The version of every body here.
const VERSION: u8 = 1;

/// An envelope that is a struct: all kinds except calls and replies.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of the frames that carry it.
    const KIND: Kind;
    /// Fewest bytes that an element of its list takes. The list never has more elements than fit
    /// into the envelope, and gets no larger capacity.
    const SMALLEST_ELEMENT: usize = 1;

    /// Checks the bounds of its lists.
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::TooMany`].
    fn check(&self) -> Result<(), EnvelopeError> {
        Ok(())
    }

    /// Reads the fields that this version knows, and ignores those that follow.
    ///
    /// # Errors
    /// Fails with a [`ValueError`].
    fn read(fields: &[u8]) -> Result<Self, ValueError> {
        value::read_prefix(fields, Self::SMALLEST_ELEMENT)
    }

    /// Encodes the envelope.
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::TooMany`].
    fn encode(&self) -> Result<Bytes, EnvelopeError> {
        self.check()?;
        let mut buf = BytesMut::new();
        buf.put_u8(VERSION);
        value::encode_into(self, &mut buf)?;
        Ok(buf.freeze())
    }

    /// Decodes an envelope.
    ///
    /// # Errors
    /// Fails with an [`EnvelopeError`].
    fn decode(mut envelope: Bytes) -> Result<Self, EnvelopeError> {
        match envelope
            .try_get_u8()
            .map_err(|_| EnvelopeError::Truncated)?
        {
            VERSION => Ok(Self::read(&envelope)?),
            other => Err(EnvelopeError::Unknown {
                what: "body version",
                number: u64::from(other),
            }),
        }
    }
}

/// Fails if there are more than `limit`.
pub(super) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), EnvelopeError> {
    if count > limit {
        return Err(EnvelopeError::TooMany { what, count, limit });
    }
    Ok(())
}
