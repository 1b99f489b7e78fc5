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
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// Elements that are taken on trust of a count: fewer than 64 KiB of any of them.
const PREALLOCATED: usize = 1024;
/// The version of every body here.
const VERSION: u8 = 1;

/// An envelope that is a struct: all kinds but calls and replies.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of the frames that carry it.
    const KIND: Kind;

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
            VERSION => Ok(value::read_prefix(&envelope)?),
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

/// Reads a list of at most `MAX`, whatever its count says.
pub(super) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Bounded::<Vec<T>, MAX>(PhantomData))
}

/// Reads a map of at most `MAX`, whatever its count says.
pub(super) fn map<'de, D, const MAX: usize>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Bounded::<BTreeMap<String, String>, MAX>(PhantomData))
}

struct Bounded<C, const MAX: usize>(PhantomData<C>);

impl<'de, T: Deserialize<'de>, const MAX: usize> serde::de::Visitor<'de> for Bounded<Vec<T>, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let claimed = seq.size_hint().unwrap_or(0);
        let mut list = Vec::with_capacity(claimed.min(MAX).min(PREALLOCATED));
        while let Some(item) = seq.next_element()? {
            if list.len() == MAX {
                return Err(serde::de::Error::invalid_length(MAX + 1, &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

impl<'de, const MAX: usize> serde::de::Visitor<'de> for Bounded<BTreeMap<String, String>, MAX> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MAX}")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(
        self,
        mut entries: A,
    ) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            if map.len() == MAX {
                return Err(serde::de::Error::invalid_length(MAX + 1, &self));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}
