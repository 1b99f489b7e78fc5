//! What every backend does for [`KeyValue`](super::KeyValue).

use bytes::Bytes;
use lattice_provider_sdk::BackendServer;
use std::{future::Future, time::Duration};

/// A store of buckets, each of which has values of bytes under keys.
///
/// Buckets exist once something is in them. Names of buckets and keys are any texts, also empty
/// ones; [`KeyValue`](super::KeyValue) has checked their lengths. Every operation may be called by
/// many tasks at the same time.
///
/// # Cancel safety
/// An operation whose future is dropped has been done as a whole or not at all.
/// [`set_many`](Self::set_many) and [`delete_many`](Self::delete_many) may have been done in part.
pub trait Backend: Send + Sync + 'static {
    /// The name of the built-in provider with this backend.
    const NAME: &'static str;
    /// Whether all replicas of the provider, and it after a restart, have the same buckets.
    const IS_LASTING: bool;

    /// Returns what traces call the database in which the buckets are. Empty if it has no name.
    fn namespace(&self) -> String {
        String::new()
    }

    /// Returns the server, as traces have it. None if there is none, or there are several.
    fn server(&self) -> Option<BackendServer> {
        None
    }

    /// Prepares for operations. A server that can't be reached isn't a failure.
    ///
    /// # Errors
    /// Fails when the config can't work.
    fn start(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Gives back what it holds.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Checks whether it can be used now.
    ///
    /// # Errors
    /// Fails when it can't.
    fn check(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    /// Fails with a [`Failure`], as all operations.
    fn get(&self, at: Place<'_>) -> impl Future<Output = Result<Option<Bytes>, Failure>> + Send {
        async move { Ok(self.read(at).await?.value) }
    }

    /// Returns the value of a key, so that [`swap`](Self::swap) can tell whether it has changed.
    fn read(&self, at: Place<'_>) -> impl Future<Output = Result<Seen, Failure>> + Send;

    /// Returns whether a key exists.
    fn exists(&self, at: Place<'_>) -> impl Future<Output = Result<bool, Failure>> + Send {
        async move { Ok(self.get(at).await?.is_some()) }
    }

    /// Sets the value of a key.
    fn set(&self, at: Place<'_>, value: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Deletes a key, if it exists.
    fn delete(&self, at: Place<'_>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Adds to the counter at a key. A key that doesn't exist counts as 0.
    ///
    /// # Errors
    /// Fails with [`Failure::NotACounter`] or [`Failure::CounterOverflow`], and changes nothing
    /// then.
    fn add(
        &self,
        at: Place<'_>,
        addition: Addition,
    ) -> impl Future<Output = Result<i64, Failure>> + Send;

    /// Sets the value of a key, if the key is still as it was seen. Returns whether it was.
    fn swap(
        &self,
        at: Place<'_>,
        seen: &Seen,
        value: Bytes,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Returns at most `most` keys that start with `prefix` and come after the key `after`, ordered
    /// by their bytes.
    fn keys(
        &self,
        bucket: &str,
        range: KeyRange<'_>,
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;

    /// Returns the values of keys, in their order.
    fn get_many(
        &self,
        bucket: &str,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>, Failure>> + Send {
        async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.get(Place { bucket, key }).await?);
            }
            Ok(values)
        }
    }

    /// Sets the values of keys, in their order.
    fn set_many(
        &self,
        bucket: &str,
        entries: Vec<(String, Bytes)>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            for (key, value) in entries {
                self.set(Place { bucket, key: &key }, value).await?;
            }
            Ok(())
        }
    }

    /// Deletes keys.
    fn delete_many(
        &self,
        bucket: &str,
        keys: &[String],
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async move {
            for key in keys {
                self.delete(Place { bucket, key }).await?;
            }
            Ok(())
        }
    }
}

/// A key in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place<'a> {
    /// The name of the bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
}

/// A key's value, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The value; none if the key didn't exist.
    pub value: Option<Bytes>,
    /// The number of the key's last write; 0 if the key didn't exist, and for a backend that
    /// doesn't number writes.
    pub revision: u64,
}

impl Seen {
    /// A key that doesn't exist.
    pub const NOTHING: Self = Self {
        value: None,
        revision: 0,
    };
}

/// Which keys are listed.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<'a> {
    /// What they start with.
    pub prefix: &'a str,
    /// The key before the first of them.
    pub after: Option<&'a str>,
    /// How many at most.
    pub most: usize,
}

impl KeyRange<'_> {
    /// Returns whether a key is in the range.
    pub fn has(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }
}

/// What is added to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// The number that is added.
    pub delta: i64,
    /// The lowest sum that is allowed.
    pub least: i64,
}

impl Addition {
    /// Returns the sum of a counter with this value, or of a new one.
    ///
    /// # Errors
    /// Fails with [`Failure::NotACounter`] if the value isn't a decimal number in its shortest
    /// form, and with [`Failure::CounterOverflow`] if the sum is out of range.
    pub fn to(self, value: Option<&[u8]>) -> Result<i64, Failure> {
        let now = match value {
            None => 0,
            Some(value) => counter(value).ok_or(Failure::NotACounter)?,
        };
        let sum = now.checked_add(self.delta);
        let sum = sum.filter(|sum| *sum >= self.least);
        sum.ok_or(Failure::CounterOverflow)
    }
}

/// Returns the counter with this value.
fn counter(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    // `+1` and `007` aren't counters for all backends.
    (number.to_string() == text).then_some(number)
}

/// Why an operation failed. None of them has a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The caller's link doesn't lead to the bucket.
    #[error("the link doesn't lead to bucket `{0}`; add it to `buckets` in the link's config")]
    NoSuchBucket(String),
    /// The caller's link only reads.
    #[error("the link only reads; set `read-only` to false in its config to write")]
    ReadOnly,
    /// A key or the name of a bucket is too long, or has characters that the backend can't have.
    #[error("{0}")]
    InvalidKey(String),
    /// A value is over the limit, in bytes.
    #[error("the value has {size} bytes, and the provider's `max-value-size` is {limit} bytes")]
    TooLarge {
        /// Size of the value.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A batch has too many keys.
    #[error("the batch has {count} keys, and may have {limit}; use several batches")]
    TooMany {
        /// How many keys it has.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The values of a batch are too large together.
    #[error("the values of these keys have more than {limit} bytes together; ask for fewer keys")]
    BatchTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Others hold too many values that were read to be swapped.
    #[error("the values that were read to be swapped take too much memory; swap or drop some")]
    TooManySeen,
    /// The value at the key isn't a counter.
    #[error("the value isn't a counter: a decimal number from -2^63 to 2^63 - 1")]
    NotACounter,
    /// The sum is out of range.
    #[error("the counter would leave its range; it is unchanged")]
    CounterOverflow,
    /// A cursor is unknown.
    #[error("the cursor is unknown or has expired; list the keys from the beginning")]
    InvalidCursor,
    /// The backend refused the credentials or their rights.
    #[error("{backend} refuses the provider's credentials: {reason}")]
    Refused {
        /// The backend.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The backend can't be reached, or failed. The operation may be tried again.
    #[error("{backend} can't be used now: {reason}")]
    Unavailable {
        /// The backend.
        backend: &'static str,
        /// What happened.
        reason: String,
    },
    /// The backend has no room.
    #[error("{backend} is full: {reason}; free some space")]
    Full {
        /// The backend.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The backend has something that the provider didn't write.
    #[error("{backend} has data that the provider can't read: {reason}")]
    Damaged {
        /// The backend.
        backend: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The backend didn't reply in time. The operation may have been done.
    #[error("no reply within {} ms; the operation may have been done", .0.as_millis())]
    Timeout(Duration),
    /// Those who watch the bucket are behind, so that nothing can be written.
    #[error("a watcher of the bucket is behind; nothing was written, try again later")]
    WatchersBehind,
    /// The provider has not started, or has stopped.
    #[error("the provider isn't running")]
    NotRunning,
    /// The config can't work.
    #[error("{0}")]
    Config(String),
}

impl Failure {
    /// Returns the name of the failure in traces: `error.type`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchBucket(_) => "no-such-bucket",
            Self::ReadOnly => "read-only",
            Self::InvalidKey(_) => "invalid-key",
            Self::TooLarge { .. } => "too-large",
            Self::TooMany { .. } => "too-many",
            Self::BatchTooLarge { .. } => "batch-too-large",
            Self::TooManySeen => "too-many-seen",
            Self::NotACounter => "not-a-counter",
            Self::CounterOverflow => "counter-overflow",
            Self::InvalidCursor => "invalid-cursor",
            Self::Refused { .. } => "refused",
            Self::Unavailable { .. } => "unavailable",
            Self::Full { .. } => "full",
            Self::Damaged { .. } => "damaged",
            Self::Timeout(_) => "timeout",
            Self::WatchersBehind => "watchers-behind",
            Self::NotRunning => "not-running",
            Self::Config(_) => "config",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_decimal_numbers_in_their_shortest_form() {
        let add = |value: Option<&str>, delta, least| {
            Addition { delta, least }.to(value.map(str::as_bytes))
        };
        assert_eq!(add(None, -3, i64::MIN), Ok(-3));
        assert_eq!(add(Some("-12"), 2, i64::MIN), Ok(-10));
        assert_eq!(add(Some("-12"), 2, 0), Err(Failure::CounterOverflow));
        let most = i64::MAX.to_string();
        assert_eq!(add(Some(&most), 0, 0), Ok(i64::MAX));
        assert_eq!(add(Some(&most), 1, 0), Err(Failure::CounterOverflow));
        for value in [
            "",
            " 1",
            "1 ",
            "+1",
            "007",
            "-0",
            "1.0",
            "9223372036854775808",
            "x",
        ] {
            let sum = add(Some(value), 1, i64::MIN);
            assert_eq!(sum, Err(Failure::NotACounter), "{value:?}");
        }
        let sum = Addition { delta: 1, least: 0 }.to(Some(&[0xff]));
        assert_eq!(sum, Err(Failure::NotACounter));
    }
}
