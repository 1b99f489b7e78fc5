//! Local stand-in for authenticated values.
#![expect(missing_docs, reason = "stand-in")]
use super::{Entry, Incarnation, Store, StoreKey};
use crate::auth::{Auth, Purpose, TAG_LEN};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Records {
    store: Arc<dyn Store>,
    auth: Auth,
}
#[derive(Debug)]
pub struct Record<T> {
    pub generation: u64,
    pub body: T,
}
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    #[error("forged")]
    Forged,
    #[error("newer")]
    Newer {},
    #[error("malformed: {0}")]
    Malformed(String),
}
impl Records {
    pub fn new(store: Arc<dyn Store>, auth: Auth) -> Self {
        Self { store, auth }
    }
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
    fn parts<'a>(i: &'a [u8; 8], key: &'a StoreKey, rest: &'a [u8]) -> [&'a [u8]; 3] {
        [i, key.as_str().as_bytes(), rest]
    }
    pub fn encode<T: Serialize>(
        &self,
        incarnation: Incarnation,
        key: &StoreKey,
        generation: u64,
        body: &T,
    ) -> Result<Bytes, RecordError> {
        let mut out = Vec::new();
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&generation.to_le_bytes());
        let mut out =
            postcard::to_extend(body, out).map_err(|e| RecordError::Malformed(e.to_string()))?;
        let tag = self.auth.tag(
            Purpose::Store,
            &Self::parts(&incarnation.0.to_le_bytes(), key, &out),
        );
        out.extend_from_slice(&tag);
        Ok(out.into())
    }
    pub fn decode<T: DeserializeOwned>(
        &self,
        incarnation: Incarnation,
        entry: &Entry,
    ) -> Result<Record<T>, RecordError> {
        let v = &entry.value;
        if v.len() < 10 + TAG_LEN {
            return Err(RecordError::Malformed("short".into()));
        }
        let (rest, tag) = v.split_at(v.len() - TAG_LEN);
        if !self.auth.verify(
            Purpose::Store,
            &Self::parts(&incarnation.0.to_le_bytes(), &entry.key, rest),
            tag,
        ) {
            return Err(RecordError::Forged);
        }
        if rest[..2] != 1u16.to_le_bytes() {
            return Err(RecordError::Newer {});
        }
        let mut g = [0; 8];
        g.copy_from_slice(&rest[2..10]);
        let (body, left) = postcard::take_from_bytes(&rest[10..])
            .map_err(|e| RecordError::Malformed(e.to_string()))?;
        if !left.is_empty() {
            return Err(RecordError::Malformed("trailing".into()));
        }
        Ok(Record {
            generation: u64::from_le_bytes(g),
            body,
        })
    }
}
