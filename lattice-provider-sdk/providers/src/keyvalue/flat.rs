//! `lattice:keyvalue/store`: one bucket, which the config of the link names.

use super::{
    backend::{Addition, Backend, Failure},
    provider::KeyValue,
    worlds::lattice::keyvalue::store::{Error, KeyPage, Store},
};
use bytes::Bytes;
use lattice_provider_sdk::Call;

/// What separates the prefix from the last key in a cursor. The length of the prefix comes first.
const CURSOR: char = ':';

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InvalidKey(rule) => Self::InvalidKey(rule),
            Failure::TooLarge { limit, .. } => Self::TooLarge(limit),
            Failure::NotACounter => Self::NotACounter,
            Failure::CounterOverflow => Self::CounterOverflow,
            Failure::InvalidCursor => Self::InvalidCursor,
            failure => Self::Other(failure.to_string()),
        }
    }
}

impl<B: Backend> Store for KeyValue<B> {
    async fn get(&self, call: &Call<Self>, key: String) -> Result<Option<Bytes>, Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        Ok(bucket.value(call, &key).await?)
    }

    async fn set(&self, call: &Call<Self>, key: String, value: Bytes) -> Result<(), Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        bucket.put(call, key, value).await?;
        Ok(())
    }

    async fn delete(&self, call: &Call<Self>, key: String) -> Result<(), Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        bucket.remove(call, key).await?;
        Ok(())
    }

    async fn exists(&self, call: &Call<Self>, key: String) -> Result<bool, Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        Ok(bucket.has(call, &key).await?)
    }

    async fn increment(&self, call: &Call<Self>, key: String, delta: i64) -> Result<i64, Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        let addition = Addition {
            delta,
            least: i64::MIN,
        };
        Ok(bucket.add(call, key, addition).await?)
    }

    async fn list_keys(
        &self,
        call: &Call<Self>,
        prefix: String,
        cursor: Option<String>,
    ) -> Result<KeyPage, Error> {
        let bucket = self.named(call.binding().flat_bucket()?);
        let after = match &cursor {
            None => None,
            Some(cursor) => Some(behind(cursor, &prefix).ok_or(Failure::InvalidCursor)?),
        };
        let (keys, has_more) = bucket.page(call, &prefix, after).await?;
        let last = keys.last().filter(|_| has_more);
        let cursor = last.map(|key| format!("{}{CURSOR}{key}", prefix.len()));
        Ok(KeyPage { keys, cursor })
    }
}

/// Returns the key before a cursor, if the cursor is one of a list with this prefix.
fn behind<'c>(cursor: &'c str, prefix: &str) -> Option<&'c str> {
    let (length, key) = cursor.split_once(CURSOR)?;
    let is_same = length == prefix.len().to_string() && key.starts_with(prefix);
    is_same.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_prefix() {
        assert_eq!(behind("2:ab:c", "ab"), Some("ab:c"));
        assert_eq!(behind("0:", ""), Some(""));
        for (cursor, prefix) in [
            ("2:ab", "a"),
            ("2:ab", "ac"),
            ("ab", ""),
            ("", ""),
            ("02:ab", "ab"),
        ] {
            assert_eq!(behind(cursor, prefix), None, "{cursor} {prefix}");
        }
    }
}
