//! Authenticated values: the format of every value that Lattice itself puts into a store.
//!
//! ```text
//!  0        2            10                     len-16      len
//! ┌────────┬────────────┬──────────────────────┬───────────┐
//! │ schema │ generation │ body                 │ tag       │
//! │ u16    │ u64        │ encoded as arguments │ 16 bytes  │      integers little endian
//! └────────┴────────────┴──────────────────────┴───────────┘
//! tag over: incarnation (u64) · key · everything before the tag
//! ```
//! A value that was copied to another key, or from another incarnation of the store, is therefore
//! refused as a forged one is. No part of a value is used before its tag has been checked. A
//! replayed *older* value of the same key has a valid tag; the process that follows the store
//! detects it by the generation. A deletion is a value too, with a schema of its own and no body.
//!
//! ```
//! # use lattice_core::{auth::Auth, store::{record::*, *}};
//! # use std::sync::Arc;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
//! let incarnation = records.store().incarnation().await?;
//! let key = StoreKey::for_test("greeting");
//! let value = records.encode(incarnation, &key, 7, &("hello", 3_u32))?;
//! records.store().commit(vec![Op::put(key.clone(), value, Expect::Absent)]).await?;
//!
//! let entry = records.store().read(key).await?.expect("just written");
//! let record: Record<(String, u32)> = records.decode(incarnation, &entry)?;
//! assert_eq!((record.generation, record.body), (7, ("hello".to_owned(), 3)));
//! # Ok(())
//! # }
//! ```

use super::{Entry, Incarnation, MAX_VALUE, Store, StoreKey};
use crate::{
    auth::{Auth, Purpose, TAG_LEN},
    value::{self, ValueError},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u16 = 1;
/// The oldest schema that exists.
const FIRST_SCHEMA: u16 = 1;
/// The schema of a deletion, whose body is empty.
const REMOVED: u16 = u16::MAX;
const HEAD: usize = 2 + 8;

/// A [`Store`] and what authenticates its values. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Records {
    store: Arc<dyn Store>,
    auth: Auth,
}

/// A value that was written by a holder of the lattice key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<T> {
    /// The schema that it was written in.
    pub schema: u16,
    /// The writer's counter, higher with each write of a key.
    pub generation: u64,
    /// The decoded body.
    pub body: T,
}

/// Why a value isn't a valid record, or can't be encoded as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The tag is wrong. The value was written without the lattice key, with another key, for
    /// another store key or in another incarnation of the store, or was damaged since.
    #[error(
        "the value of `{key}` was not written here with this lattice's key; delete or write it again if that was you"
    )]
    Forged {
        /// The key.
        key: StoreKey,
    },
    /// Authentic, but written by a newer version of Lattice.
    #[error(
        "the value of `{key}` has schema {found} and this host reads up to {newest}; update it"
    )]
    Newer {
        /// The key.
        key: StoreKey,
        /// The schema that was found.
        found: u16,
        /// The newest that this version reads.
        newest: u16,
    },
    /// Authentic: the record was deleted.
    #[error("the record of `{key}` was deleted; write it again")]
    Removed {
        /// The key.
        key: StoreKey,
        /// The generation of the deletion.
        generation: u64,
    },
    /// Authentic, but of a schema that never existed: its writer has a bug.
    #[error("the value of `{key}` has schema {found}, which no version writes; write it again")]
    NoSchema {
        /// The key.
        key: StoreKey,
        /// The schema that was found.
        found: u16,
    },
    /// Authentic, but its body can't be decoded as what belongs at this key.
    #[error("the value of `{key}` isn't a valid record; write it again")]
    Malformed {
        /// The key.
        key: StoreKey,
        /// The problem.
        #[source]
        source: ValueError,
    },
    /// The body can't be encoded.
    #[error("the value for `{key}` can't be encoded")]
    Unencodable {
        /// The key.
        key: StoreKey,
        /// The problem.
        #[source]
        source: ValueError,
    },
    /// The whole value would be larger than [`MAX_VALUE`].
    #[error("the value for `{key}` has {size} bytes and the limit is {MAX_VALUE}; store less")]
    TooLarge {
        /// The key.
        key: StoreKey,
        /// Its size in bytes.
        size: usize,
    },
}

impl Records {
    /// Reads and writes values of `store`, authenticated by `auth`.
    pub fn new(store: Arc<dyn Store>, auth: Auth) -> Self {
        Self { store, auth }
    }

    /// Returns the store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Encodes the value for `key` in this incarnation of the store.
    ///
    /// # Errors
    /// Fails with [`RecordError::Unencodable`] or [`RecordError::TooLarge`].
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        incarnation: Incarnation,
        key: &StoreKey,
        generation: u64,
        body: &T,
    ) -> Result<Bytes, RecordError> {
        let mut out = head(SCHEMA, generation);
        value::encode_into(body, &mut out).map_err(|source| RecordError::Unencodable {
            key: key.clone(),
            source,
        })?;
        let size = out.len() + TAG_LEN;
        if size > MAX_VALUE {
            return Err(RecordError::TooLarge {
                key: key.clone(),
                size,
            });
        }
        Ok(self.tagged(incarnation, key, out))
    }

    /// Encodes the deletion of the record of `key` in this incarnation of the store.
    pub(super) fn encode_removal(
        &self,
        incarnation: Incarnation,
        key: &StoreKey,
        generation: u64,
    ) -> Bytes {
        self.tagged(incarnation, key, head(REMOVED, generation))
    }

    fn tagged(&self, incarnation: Incarnation, key: &StoreKey, mut out: BytesMut) -> Bytes {
        let begin = start(incarnation);
        let tag = self.auth.tag(Purpose::Store, &parts(&begin, key, &out));
        out.put_slice(&tag);
        out.freeze()
    }

    /// Authenticates and decodes `entry`, which was read in this incarnation of the store.
    ///
    /// # Errors
    /// Fails with [`RecordError::Forged`], [`RecordError::Removed`], [`RecordError::NoSchema`],
    /// [`RecordError::Newer`] or [`RecordError::Malformed`].
    pub fn decode<T: DeserializeOwned>(
        &self,
        incarnation: Incarnation,
        entry: &Entry,
    ) -> Result<Record<T>, RecordError> {
        let opened = self.open(incarnation, entry)?;
        let Record {
            schema, generation, ..
        } = opened;
        let body = read_body(&entry.key, &opened.body)?;
        Ok(Record {
            schema,
            generation,
            body,
        })
    }

    /// Authenticates `entry`, which was read in this incarnation of the store, and leaves its body
    /// encoded; see [`read_body`].
    ///
    /// # Errors
    /// Fails with [`RecordError::Forged`], [`RecordError::Removed`], [`RecordError::NoSchema`] or
    /// [`RecordError::Newer`].
    pub fn open(
        &self,
        incarnation: Incarnation,
        entry: &Entry,
    ) -> Result<Record<Bytes>, RecordError> {
        let key = &entry.key;
        let mut rest = authentic(&self.auth, incarnation, entry)
            .ok_or_else(|| RecordError::Forged { key: key.clone() })?;
        let schema = rest.get_u16_le();
        let generation = rest.get_u64_le();
        if schema == REMOVED {
            read_body::<()>(key, &rest)?;
            return Err(RecordError::Removed {
                key: key.clone(),
                generation,
            });
        }
        if schema < FIRST_SCHEMA {
            return Err(RecordError::NoSchema {
                key: key.clone(),
                found: schema,
            });
        }
        if schema > SCHEMA {
            return Err(RecordError::Newer {
                key: key.clone(),
                found: schema,
                newest: SCHEMA,
            });
        }
        Ok(Record {
            schema,
            generation,
            body: rest,
        })
    }
}

/// Decodes the body of the record at `key`, as [`Records::open`] returned it.
///
/// # Errors
/// Fails with [`RecordError::Malformed`].
pub fn read_body<T: DeserializeOwned>(key: &StoreKey, body: &Bytes) -> Result<T, RecordError> {
    value::from_bytes(body).map_err(|source| RecordError::Malformed {
        key: key.clone(),
        source,
    })
}

/// Returns the value of `entry` without its tag, if the tag is valid.
pub(crate) fn authentic(auth: &Auth, incarnation: Incarnation, entry: &Entry) -> Option<Bytes> {
    let Entry { key, value, .. } = entry;
    let size = value.len().checked_sub(TAG_LEN);
    let size = size.filter(|size| *size >= HEAD)?;
    let (tagged, tag) = value.split_at(size);
    let begin = start(incarnation);
    let parts = parts(&begin, key, tagged);
    auth.verify(Purpose::Store, &parts, tag)
        .then(|| value.slice(..size))
}

/// Returns whether a value that isn't authentic has the shape of a record. Such a value was written
/// with another key or in another incarnation of the store.
pub(crate) fn is_of_others(value: &[u8]) -> bool {
    let schema = value
        .first_chunk()
        .map(|schema| u16::from_le_bytes(*schema));
    let is_known = |schema| schema == REMOVED || (FIRST_SCHEMA..=SCHEMA).contains(&schema);
    value.len() >= HEAD + TAG_LEN && schema.is_some_and(is_known)
}

/// Returns whether a value has the shape of a deletion. Its tag is not checked.
#[doc(hidden)]
pub fn looks_removed(value: &[u8]) -> bool {
    value.starts_with(&REMOVED.to_le_bytes()) && value.len() == HEAD + TAG_LEN
}

/// Returns the generation of an authentic value, and 0 for a value that is too short to have one.
#[cfg(feature = "disk")]
pub(crate) fn generation_of(value: &[u8]) -> u64 {
    let generation = value.get(2..HEAD).and_then(|bytes| bytes.first_chunk());
    generation.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn head(schema: u16, generation: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    out.put_u16_le(schema);
    out.put_u64_le(generation);
    out
}

fn start(incarnation: Incarnation) -> [u8; 8] {
    incarnation.0.to_le_bytes()
}

fn parts<'a>(start: &'a [u8; 8], key: &'a StoreKey, tagged: &'a [u8]) -> [&'a [u8]; 3] {
    [start, key.as_str().as_bytes(), tagged]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::LatticeKey,
        name::LatticeName,
        store::{MemoryStore, Revision},
    };
    use proptest::prelude::*;

    const LIFE: Incarnation = Incarnation(0x0102_0304_0506_0708);
    type Body = (String, Vec<u32>, Option<bool>);

    fn records(key: u8) -> Records {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        let name = LatticeName::new("prod").expect("a name");
        Records::new(Arc::new(MemoryStore::new()), Auth::keyed(&name, &key))
    }

    fn key() -> StoreKey {
        StoreKey::for_test("k")
    }

    fn body() -> Body {
        ("greeter".to_owned(), vec![1, 300], Some(true))
    }

    fn entry(value: impl Into<Bytes>) -> Entry {
        Entry {
            key: key(),
            value: value.into(),
            revision: Revision(1),
        }
    }

    fn encoded(records: &Records, body: &Body) -> Bytes {
        records.encode(LIFE, &key(), 9, body).expect("encodes")
    }

    /// Returns a value with a valid tag, in another schema or with another body.
    fn tagged(records: &Records, schema: u16, body: &[u8]) -> Entry {
        let mut value = schema.to_le_bytes().to_vec();
        value.extend_from_slice(&9_u64.to_le_bytes());
        value.extend_from_slice(body);
        let (begin, key) = (start(LIFE), key());
        let parts = parts(&begin, &key, &value);
        let tag = records.auth.tag(Purpose::Store, &parts);
        value.extend_from_slice(&tag);
        entry(value)
    }

    #[test]
    fn golden_bytes() {
        let value = encoded(&records(7), &body());
        assert_eq!(
            hex::encode(&value),
            "0100090000000000000007677265657465720201ac020101cf4152e2a715b82f2eb8ad21da1b2b75"
        );
        let plain = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
        assert_eq!(
            encoded(&plain, &body())[..value.len() - TAG_LEN],
            value[..value.len() - TAG_LEN]
        );
        assert_eq!(
            encoded(&plain, &body())[value.len() - TAG_LEN..],
            [0; TAG_LEN]
        );
    }

    #[test]
    fn a_value_is_authentic_only_for_its_key_position_and_incarnation() {
        let ours = records(7);
        let good = entry(encoded(&ours, &body()));
        assert_eq!(
            ours.decode(LIFE, &good),
            Ok(Record {
                schema: SCHEMA,
                generation: 9,
                body: body()
            })
        );
        let forged = |result: Result<Record<Body>, RecordError>| {
            assert!(
                matches!(result, Err(RecordError::Forged { .. })),
                "{result:?}"
            );
        };
        forged(records(8).decode(LIFE, &good));
        forged(ours.decode(Incarnation(LIFE.0 + 1), &good));
        let moved = Entry {
            key: StoreKey::for_test("other"),
            ..good.clone()
        };
        forged(ours.decode(LIFE, &moved));
        for length in 0..good.value.len() {
            forged(ours.decode(LIFE, &entry(good.value.slice(..length))));
        }
        for bit in 0..good.value.len() * 8 {
            let mut value = good.value.to_vec();
            value[bit / 8] ^= 1 << (bit % 8);
            forged(ours.decode(LIFE, &entry(value)));
        }
    }

    #[test]
    fn newer_and_foreign_values_return_their_own_errors() {
        let ours = records(7);
        let newer = ours.decode::<Body>(LIFE, &tagged(&ours, SCHEMA + 4, b"any bytes"));
        let error = newer.expect_err("a newer schema");
        assert_eq!(
            error,
            RecordError::Newer {
                key: key(),
                found: 5,
                newest: 1
            }
        );
        assert!(
            error
                .to_string()
                .contains("schema 5 and this host reads up to 1")
        );
        let none = ours.decode::<Body>(LIFE, &tagged(&ours, 0, b"\x01a\x00\x00"));
        assert_eq!(
            none,
            Err(RecordError::NoSchema {
                key: key(),
                found: 0
            })
        );
        for bad in [
            &b""[..],
            b"\x01a\x00",
            b"\x01a\x00\x02",
            b"\x01a\x00\x00\x00",
            b"\xff\xff\xff\xff\x7f",
        ] {
            let result = ours.decode::<Body>(LIFE, &tagged(&ours, SCHEMA, bad));
            assert!(
                matches!(result, Err(RecordError::Malformed { .. })),
                "{bad:x?}: {result:?}"
            );
        }
    }

    #[test]
    fn an_oversized_value_is_rejected() {
        let fits = "x".repeat(MAX_VALUE - HEAD - 3 - TAG_LEN);
        let ours = records(7);
        let value = ours.encode(LIFE, &key(), 0, &fits).expect("just fits");
        assert_eq!(value.len(), MAX_VALUE);
        assert_eq!(
            ours.encode(LIFE, &key(), 0, &format!("{fits}x")),
            Err(RecordError::TooLarge {
                key: key(),
                size: MAX_VALUE + 1
            })
        );
    }

    proptest! {
        #[test]
        fn round_trips(body: Body, generation: u64, life: u64) {
            let records = records(7);
            let value = records.encode(Incarnation(life), &key(), generation, &body);
            let record = records.decode::<Body>(Incarnation(life), &entry(value.expect("encodes")));
            prop_assert_eq!(record, Ok(Record { schema: SCHEMA, generation, body }));
        }

        #[test]
        fn any_bytes_return_an_error_without_a_panic(value: Vec<u8>, body: Vec<u8>) {
            let ours = records(7);
            prop_assert!(ours.decode::<Body>(LIFE, &entry(value.clone())).is_err());
            let trusting = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
            let _ = trusting.decode::<Body>(LIFE, &entry(value));
            let _ = ours.decode::<Body>(LIFE, &tagged(&ours, SCHEMA, &body));
        }
    }
}
