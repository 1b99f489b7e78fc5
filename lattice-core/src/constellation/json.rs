//! How views are written as JSON: keys of the store as text, durations as whole numbers, items as
//! lists. Each module is for `#[serde(with = …)]`.

use super::items::Item;
use crate::{
    store::{Incarnation, StoreKey},
    types::Digest,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A key of the store. A key that this version doesn't know stays as it is.
pub(super) mod key {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(key: &StoreKey, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(key)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StoreKey, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        Ok(StoreKey::from_store(&text))
    }
}

/// Keys of the store.
pub(super) mod keys {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(keys: &[StoreKey], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(keys.iter().map(StoreKey::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<StoreKey>, D::Error> {
        let texts = <Vec<Cow<'de, str>>>::deserialize(from)?;
        Ok(texts
            .iter()
            .map(|text| StoreKey::from_store(text))
            .collect())
    }
}

/// The digest of types, as 64 hexadecimal digits.
pub(super) mod digest {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it like that")]
    pub(crate) fn serialize<S: Serializer>(
        digest: &Option<Digest>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        digest.map(|digest| digest.to_hex()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Digest>, D::Error> {
        let Some(text) = <Option<Cow<'de, str>>>::deserialize(from)? else {
            return Ok(None);
        };
        let mut bytes = [0; 32];
        hex::decode_to_slice(&*text, &mut bytes)
            .map_err(|_| D::Error::custom("a digest of types has 64 hexadecimal digits"))?;
        Ok(Some(Digest(bytes)))
    }
}

/// The store that a host follows: its incarnation, or zero for none.
pub(super) mod store {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it like that")]
    pub(crate) fn serialize<S: Serializer>(
        store: &Option<Incarnation>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        store.unwrap_or_default().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Incarnation>, D::Error> {
        let store = Incarnation::deserialize(from)?;
        Ok(Some(store).filter(|store| *store != Incarnation::default()))
    }
}

/// A duration in whole seconds.
pub(super) mod seconds {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// An optional duration in whole seconds.
pub(super) mod whole_seconds {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it like that")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(<Option<u64>>::deserialize(from)?.map(Duration::from_secs))
    }
}

/// An optional duration in whole milliseconds.
pub(super) mod millis {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it like that")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_millis() as u64).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(<Option<u64>>::deserialize(from)?.map(Duration::from_millis))
    }
}

/// A time of day in whole milliseconds since 1970.
pub(super) mod unix_millis {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        to.serialize_u64(since.unwrap_or_default().as_millis() as u64)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let since = Duration::from_millis(u64::deserialize(from)?);
        let time = SystemTime::UNIX_EPOCH.checked_add(since);
        time.ok_or_else(|| D::Error::custom("a time is too far in the future"))
    }
}

/// An optional duration in whole microseconds.
pub(super) mod micros {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it like that")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_micros() as u64).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(<Option<u64>>::deserialize(from)?.map(Duration::from_micros))
    }
}

/// Items of one kind, as the list of them. Of two with one key, the later one counts.
pub(super) mod list {
    use super::*;

    pub(crate) fn serialize<K, V: Serialize, S: Serializer>(
        items: &BTreeMap<K, Arc<V>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(items.values())
    }

    pub(crate) fn deserialize<'de, V, D>(from: D) -> Result<BTreeMap<V::Key, Arc<V>>, D::Error>
    where
        V: Item + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let items = <Vec<V>>::deserialize(from)?;
        let by_key = |item: V| (item.key(), Arc::new(item));
        Ok(items.into_iter().map(by_key).collect())
    }
}

#[cfg(test)]
mod tests;
