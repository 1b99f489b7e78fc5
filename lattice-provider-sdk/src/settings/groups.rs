//! Settings that several structs take together: each has those that are its fields.
//!
//! A tuple asks for its elements one after the other, and a struct for its fields. So it is known
//! after the last element which settings belong to none of them.

use super::{Entries, Setting, SettingError};
use serde::{
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor, value::MapAccessDeserializer},
    forward_to_deserialize_any,
};
use std::{cell::RefCell, collections::BTreeMap};

/// All settings, from which a struct or a tuple of structs is made.
pub(super) struct All<'a> {
    settings: &'a BTreeMap<String, String>,
    /// The names of the fields that structs of a tuple have asked for.
    names: RefCell<Vec<&'static str>>,
}

impl<'a> All<'a> {
    pub(super) fn new(settings: &'a BTreeMap<String, String>) -> Self {
        Self {
            settings,
            names: RefCell::default(),
        }
    }

    /// Returns the settings whose names are accepted.
    fn those(
        &self,
        is_one: impl Fn(&str) -> bool,
    ) -> MapAccessDeserializer<Entries<'a, impl Iterator<Item = Setting<'a>>>> {
        let settings = self.settings.iter();
        let entries = settings
            .map(|(key, value)| Setting { key, value })
            .filter(move |setting| is_one(setting.key));
        MapAccessDeserializer::new(Entries {
            entries,
            value: None,
        })
    }

    /// Makes a tuple of structs, which take all settings.
    fn tuple<V: Visitor<'a>>(&self, count: usize, visitor: V) -> Result<V::Value, SettingError> {
        let made = visitor.visit_seq(Structs { all: self, count })?;
        let names = self.names.borrow();
        let mut keys = self.settings.keys();
        match keys.find(|key| !names.contains(&key.as_str())) {
            Some(unknown) => Err(SettingError::unknown(unknown, &names)),
            None => Ok(made),
        }
    }
}

impl<'de> Deserializer<'de> for &All<'de> {
    type Error = SettingError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.those(|_| true).deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.those(|_| true)
            .deserialize_enum(name, variants, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.tuple(count, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.tuple(count, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq map struct identifier ignored_any
    }
}

/// The structs of a tuple that are still to be made.
struct Structs<'g, 'a> {
    all: &'g All<'a>,
    count: usize,
}

impl<'de> SeqAccess<'de> for Structs<'_, 'de> {
    type Error = SettingError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SettingError> {
        let Some(rest) = self.count.checked_sub(1) else {
            return Ok(None);
        };
        self.count = rest;
        seed.deserialize(Struct(self.all)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}

/// A struct of a tuple, or another tuple.
struct Struct<'g, 'a>(&'g All<'a>);

impl<'de> Deserializer<'de> for Struct<'_, 'de> {
    type Error = SettingError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, SettingError> {
        let message = "the settings of a provider are structs, or tuples of them";
        Err(SettingError::complete(message.to_owned()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.0.names.borrow_mut().extend(fields);
        let own = self.0.those(|name| fields.contains(&name));
        own.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        visitor.visit_seq(Structs { all: self.0, count })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        visitor.visit_seq(Structs { all: self.0, count })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq map enum identifier ignored_any
    }
}
