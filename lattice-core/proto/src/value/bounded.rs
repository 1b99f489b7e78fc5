//! Lists, sets and maps of bounded length, for `#[serde(deserialize_with)]`.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
};

/// Reads a list of at most `MAX` elements. Fails if there are more.
pub fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(AtMost::<Vec<T>, MAX>(PhantomData))
}

/// Reads a set of at most `MAX` elements. Fails if there are more; duplicates count.
pub fn set<'de, D, T, const MAX: usize>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Ord,
{
    deserializer.deserialize_seq(AtMost::<BTreeSet<T>, MAX>(PhantomData))
}

/// Reads a map of at most `MAX` entries. Fails if there are more.
pub fn map<'de, D, const MAX: usize>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(AtMost::<BTreeMap<String, String>, MAX>(PhantomData))
}

struct AtMost<C, const MAX: usize>(PhantomData<C>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMost<Vec<T>, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(MAX));
        while let Some(item) = seq.next_element()? {
            room::<A::Error>(list.len(), MAX, &self)?;
            list.push(item);
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de> + Ord, const MAX: usize> Visitor<'de> for AtMost<BTreeSet<T>, MAX> {
    type Value = BTreeSet<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a set of at most {MAX}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<BTreeSet<T>, A::Error> {
        let mut set = BTreeSet::new();
        let mut read = 0;
        while let Some(item) = seq.next_element()? {
            room::<A::Error>(read, MAX, &self)?;
            set.insert(item);
            read += 1;
        }
        Ok(set)
    }
}

impl<'de, const MAX: usize> Visitor<'de> for AtMost<BTreeMap<String, String>, MAX> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MAX}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            room::<A::Error>(map.len(), MAX, &self)?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// Fails if there is no room for one more than `count`.
fn room<E: Error>(count: usize, max: usize, expected: &dyn serde::de::Expected) -> Result<(), E> {
    if count == max {
        return Err(E::invalid_length(max + 1, expected));
    }
    Ok(())
}
