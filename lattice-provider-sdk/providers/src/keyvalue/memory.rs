//! Buckets in memory.

use super::{
    backend::{Addition, Backend, Failure, KeyRange, Place, Seen},
    config::{Limits, duration, max_value_size, timeout},
    provider::KeyValue,
};
use bytes::Bytes;
use lattice_core::{quantity::ByteSize, sync::RwLock};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    time::Duration,
};

/// Most that the buckets take by default.
const MAX_SIZE: ByteSize = ByteSize::mib(256);
/// What an entry takes beside its key and its value, about.
const ENTRY: usize = 128;

/// The config of a provider with its buckets in memory. Everything in it is optional.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemoryConfig {
    /// The largest value. 1 MiB by default.
    pub max_value_size: ByteSize,
    /// Most that all buckets together take. 256 MiB by default.
    pub max_size: ByteSize,
    /// How long an operation may take, such as `10s`, which is the default.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_value_size: max_value_size(),
            max_size: MAX_SIZE,
            timeout: timeout(),
        }
    }
}

/// Buckets in the memory of one provider. They end with it.
#[derive(Debug)]
pub struct Memory {
    state: RwLock<State>,
    max_size: usize,
}

/// A key-value provider with its buckets in memory.
pub type MemoryKeyValue = KeyValue<Memory>;

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<String, BTreeMap<String, Entry>>,
    /// The number of the last write.
    revision: u64,
    size: usize,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    revision: u64,
}

impl KeyValue<Memory> {
    /// Creates a provider with its buckets in memory.
    pub fn new(config: MemoryConfig) -> Self {
        let limits = Limits {
            max_value_size: config.max_value_size,
            timeout: config.timeout,
        };
        let memory = Memory {
            state: RwLock::new(State::default()),
            max_size: config.max_size.as_usize(),
        };
        Self::with_backend(memory, limits)
    }
}

impl State {
    fn entry(&self, at: Place<'_>) -> Option<&Entry> {
        self.buckets.get(at.bucket)?.get(at.key)
    }

    fn set(&mut self, at: Place<'_>, value: Bytes, max_size: usize) -> Result<(), Failure> {
        let before = self.entry(at).map_or(0, |entry| size(at.key, &entry.value));
        let after = size(at.key, &value);
        if after > before && self.size - before + after > max_size {
            return Err(Failure::Full {
                backend: Memory::NAME,
                reason: format!("the buckets take the {max_size} bytes of `max-size`"),
            });
        }
        self.size = self.size - before + after;
        self.revision += 1;
        let entry = Entry {
            // Not a part of a larger message, which it would keep.
            value: Bytes::copy_from_slice(&value),
            revision: self.revision,
        };
        let bucket = match self.buckets.get_mut(at.bucket) {
            Some(bucket) => bucket,
            None => self.buckets.entry(at.bucket.to_owned()).or_default(),
        };
        bucket.insert(at.key.to_owned(), entry);
        Ok(())
    }

    fn delete(&mut self, at: Place<'_>) {
        let Some(bucket) = self.buckets.get_mut(at.bucket) else {
            return;
        };
        if let Some(entry) = bucket.remove(at.key) {
            self.size -= size(at.key, &entry.value);
        }
        if bucket.is_empty() {
            self.buckets.remove(at.bucket);
        }
    }
}

/// What an entry takes, about.
fn size(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + ENTRY
}

impl Backend for Memory {
    const NAME: &'static str = "keyvalue-memory";
    const IS_LASTING: bool = false;

    async fn read(&self, at: Place<'_>) -> Result<Seen, Failure> {
        let state = self.state.read();
        let seen = state.entry(at).map(|entry| Seen {
            value: Some(entry.value.clone()),
            revision: entry.revision,
        });
        Ok(seen.unwrap_or(Seen::NOTHING))
    }

    async fn set(&self, at: Place<'_>, value: Bytes) -> Result<(), Failure> {
        self.state.write().set(at, value, self.max_size)
    }

    async fn delete(&self, at: Place<'_>) -> Result<(), Failure> {
        self.state.write().delete(at);
        Ok(())
    }

    async fn add(&self, at: Place<'_>, addition: Addition) -> Result<i64, Failure> {
        let mut state = self.state.write();
        let sum = addition.to(state.entry(at).map(|entry| &*entry.value))?;
        state.set(at, sum.to_string().into(), self.max_size)?;
        Ok(sum)
    }

    async fn swap(&self, at: Place<'_>, seen: &Seen, value: Bytes) -> Result<bool, Failure> {
        let mut state = self.state.write();
        let revision = state.entry(at).map_or(0, |entry| entry.revision);
        if revision != seen.revision {
            return Ok(false);
        }
        state.set(at, value, self.max_size)?;
        Ok(true)
    }

    async fn keys(&self, bucket: &str, range: KeyRange<'_>) -> Result<Vec<String>, Failure> {
        let state = self.state.read();
        let Some(entries) = state.buckets.get(bucket) else {
            return Ok(Vec::new());
        };
        let first = match range.after {
            Some(after) if after >= range.prefix => Bound::Excluded(after),
            _ => Bound::Included(range.prefix),
        };
        let keys = entries.range::<str, _>((first, Bound::Unbounded));
        let keys = keys.map(|(key, _)| key);
        let keys = keys.take_while(|key| key.starts_with(range.prefix));
        Ok(keys.take(range.most).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_all_buckets_is_bounded_and_counted() {
        let mut state = State::default();
        let at = |bucket, key| Place { bucket, key };
        let value = Bytes::from_static(&[7; 100]);
        let room = 2 * (100 + 1 + ENTRY);
        assert_eq!(state.set(at("a", "1"), value.clone(), room), Ok(()));
        assert_eq!(state.set(at("b", "2"), value.clone(), room), Ok(()));
        let full = state.set(at("b", "3"), Bytes::new(), room);
        assert!(matches!(full, Err(Failure::Full { .. })), "{full:?}");
        // In place of another value there is room.
        assert_eq!(state.set(at("b", "2"), value.clone(), room), Ok(()));
        state.delete(at("a", "1"));
        state.delete(at("a", "1"));
        assert_eq!(state.set(at("b", "3"), value, room), Ok(()));
        state.delete(at("b", "2"));
        state.delete(at("b", "3"));
        assert_eq!((state.size, state.buckets.len()), (0, 0));
    }
}
