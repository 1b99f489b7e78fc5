//! Writes, as values: they are made beside the call when somebody watches the bucket.

use super::{
    backend::{Addition, Backend, Failure, Place, Seen},
    provider::Shared,
    watch::Change,
};
use bytes::Bytes;
use std::sync::Arc;

/// A write to a bucket.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Set(String, Bytes),
    Delete(String),
    Add(String, Addition),
    Swap(String, Seen, Bytes),
    SetMany(Vec<(String, Bytes)>),
    DeleteMany(Vec<String>),
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    Sum(i64),
    Swapped(bool),
}

impl Write {
    /// What traces call it.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Set(..) => "set",
            Self::Delete(_) => "delete",
            Self::Add(..) => "add",
            Self::Swap(..) => "swap",
            Self::SetMany(_) => "set-many",
            Self::DeleteMany(_) => "delete-many",
        }
    }

    /// How many keys it writes.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::SetMany(entries) => entries.len(),
            Self::DeleteMany(keys) => keys.len(),
            Self::Set(..) | Self::Delete(_) | Self::Add(..) | Self::Swap(..) => 1,
        }
    }

    /// The keys that it writes.
    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Set(key, _) | Self::Delete(key) | Self::Add(key, _) | Self::Swap(key, ..) => {
                vec![key.as_str()]
            }
            Self::SetMany(entries) => entries.iter().map(|(key, _)| key.as_str()).collect(),
            Self::DeleteMany(keys) => keys.iter().map(String::as_str).collect(),
        }
    }

    /// The sizes of the values that it sets, in bytes.
    pub(super) fn sizes(&self) -> Vec<usize> {
        match self {
            Self::Set(_, value) | Self::Swap(_, _, value) => vec![value.len()],
            Self::SetMany(entries) => entries.iter().map(|(_, value)| value.len()).collect(),
            Self::Delete(_) | Self::Add(..) | Self::DeleteMany(_) => Vec::new(),
        }
    }

    /// What it has changed.
    fn changes(self, written: Written) -> Vec<Change> {
        let set = |key, value| Change {
            key,
            value: Some(value),
        };
        let deleted = |key| Change { key, value: None };
        match (self, written) {
            (Self::Set(key, value), _) | (Self::Swap(key, _, value), Written::Swapped(true)) => {
                vec![set(key, value)]
            }
            (Self::Add(key, _), Written::Sum(sum)) => vec![set(key, sum.to_string().into())],
            (Self::Swap(..) | Self::Add(..), _) => Vec::new(),
            (Self::Delete(key), _) => vec![deleted(key)],
            (Self::SetMany(entries), _) => {
                let entries = entries.into_iter();
                entries.map(|(key, value)| set(key, value)).collect()
            }
            (Self::DeleteMany(keys), _) => keys.into_iter().map(deleted).collect(),
        }
    }
}

impl<B: Backend> Shared<B> {
    /// Makes a write, and tells those who watch.
    pub(super) async fn write(
        self: &Arc<Self>,
        bucket: &Arc<str>,
        write: Write,
    ) -> Result<Written, Failure> {
        if !self.watchers.is_watched(bucket, &write) {
            return self.apply(bucket, write).await;
        }
        let (shared, bucket) = (self.clone(), bucket.clone());
        // The write isn't stopped between the backend and the watchers when its caller gives up. It
        // ends by itself in time.
        let written = tokio::spawn(async move {
            let limit = shared.limits.timeout;
            let written = tokio::time::timeout(limit, shared.write_watched(&bucket, write)).await;
            written.unwrap_or(Err(Failure::Timeout(limit)))
        });
        written.await.unwrap_or(Err(Failure::NotRunning))
    }

    async fn write_watched(&self, bucket: &str, write: Write) -> Result<Written, Failure> {
        let telling = self.watchers.prepare(bucket, &write).await?;
        let written = self.apply(bucket, write.clone()).await?;
        telling.tell(write.changes(written));
        Ok(written)
    }

    async fn apply(&self, bucket: &str, write: Write) -> Result<Written, Failure> {
        let backend = &self.backend;
        match write {
            Write::Set(key, value) => {
                let at = Place { bucket, key: &key };
                backend.set(at, value).await?;
            }
            Write::Delete(key) => backend.delete(Place { bucket, key: &key }).await?,
            Write::Add(key, addition) => {
                let sum = backend.add(Place { bucket, key: &key }, addition).await?;
                return Ok(Written::Sum(sum));
            }
            Write::Swap(key, seen, value) => {
                let at = Place { bucket, key: &key };
                return Ok(Written::Swapped(backend.swap(at, &seen, value).await?));
            }
            Write::SetMany(entries) => backend.set_many(bucket, entries).await?,
            Write::DeleteMany(keys) => backend.delete_many(bucket, &keys).await?,
        }
        Ok(Written::Done)
    }
}
