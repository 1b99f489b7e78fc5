//! Reading values: postcard's encoding, strictly.
//!
//! `postcard`'s own deserializer takes over-long varints, lists of any length of values without bytes, chars followed by
//! more, keys that come twice, and nests until the stack ends. The tests hold the two against each other.

use super::ValueError;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use std::collections::HashSet;

/// Deepest nesting. Real types stay under 20; a recursive one is given out by the input, a byte a level, and each level
/// takes some hundred bytes of stack.
const MAX_DEPTH: usize = 128;

type Result<T, E = ValueError> = std::result::Result<T, E>;

/// The value at the front of `bytes`, and how many bytes follow it.
pub(super) fn prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize)> {
    let mut reader = Reader {
        rest: bytes,
        depth: 0,
    };
    let value = T::deserialize(&mut reader)?;
    Ok((value, reader.rest.len()))
}

struct Reader<'de> {
    rest: &'de [u8],
    depth: usize,
}

impl<'de> Reader<'de> {
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A varint in its only form: no zero byte at its end, no bits beyond `bits`.
    fn varint(&mut self, bits: u32) -> Result<u128> {
        let mut value = 0_u128;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let group = u128::from(byte & 0x7f);
            if bits - shift < 7 && group >> (bits - shift) != 0 {
                return Err(ValueError::BadInteger);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return if overlong {
                    Err(ValueError::BadInteger)
                } else {
                    Ok(value)
                };
            }
        }
        Err(ValueError::BadInteger)
    }

    fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(ValueError::BadBool { found }),
        }
    }

    fn bytes(&mut self) -> Result<&'de [u8]> {
        let length = self.varint(64)?;
        self.take(usize::try_from(length).map_err(|_| ValueError::Truncated)?)
    }

    fn text(&mut self) -> Result<&'de str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ValueError::BadText)
    }

    fn char(&mut self) -> Result<char> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| ValueError::BadChar)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(ValueError::BadChar),
        }
    }

    /// How many elements a list has. Each takes a byte at least, so that a count is bounded by what is left.
    fn count(&mut self) -> Result<usize> {
        let count = self.varint(64)? as u64;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(ValueError::BadCount { count }),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(ValueError::TooDeep { limit: MAX_DEPTH });
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

fn zigzag(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

macro_rules! varints {
    ($($method:ident $visit:ident $type:ty, $bits:literal, $from:expr;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit($from(self.varint($bits)?) as $type)
        })+
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = ValueError;

    fn is_human_readable(&self) -> bool {
        false
    }

    varints! {
        deserialize_u16 visit_u16 u16, 16, std::convert::identity;
        deserialize_u32 visit_u32 u32, 32, std::convert::identity;
        deserialize_u64 visit_u64 u64, 64, std::convert::identity;
        deserialize_u128 visit_u128 u128, 128, std::convert::identity;
        deserialize_i16 visit_i16 i16, 16, zigzag;
        deserialize_i32 visit_i32 i32, 32, zigzag;
        deserialize_i64 visit_i64 i64, 64, zigzag;
        deserialize_i128 visit_i128 i128, 128, zigzag;
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.byte()?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bool(self.bool()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_char(self.char()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.bool()? {
            self.nested(|reader| visitor.visit_some(reader))
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let count = self.count()?;
        self.nested(|reader| visitor.visit_seq(List::new(reader, count)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.nested(|reader| {
            visitor.visit_seq(Fields {
                reader,
                left: length,
            })
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let count = self.count()?;
        self.nested(|reader| visitor.visit_map(Entries::new(reader, count)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(|reader| visitor.visit_enum(reader))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(ValueError::NeedsTypes)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(ValueError::NeedsTypes)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(ValueError::NeedsTypes)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'de> {
    type Error = ValueError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let index = self.varint(32)? as u32;
        let variant = seed.deserialize(IntoDeserializer::<ValueError>::into_deserializer(index))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de> {
    type Error = ValueError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_tuple(self, length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}

/// Fields of a struct or tuple: as many as the type has.
struct Fields<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Fields<'_, 'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Elements of a list: as many as the bytes say.
struct List<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
}

impl<'r, 'de> List<'r, 'de> {
    fn new(reader: &'r mut Reader<'de>, left: usize) -> Self {
        Self { reader, left }
    }
}

impl<'de> de::SeqAccess<'de> for List<'_, 'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.reader.rest.len();
        let element = seed.deserialize(&mut *self.reader)?;
        if self.reader.rest.len() == before {
            return Err(ValueError::Weightless);
        }
        Ok(Some(element))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Entries of a map. A key has one encoding, so equal keys are equal bytes.
struct Entries<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
    keys: HashSet<&'de [u8]>,
}

impl<'r, 'de> Entries<'r, 'de> {
    fn new(reader: &'r mut Reader<'de>, left: usize) -> Self {
        Self {
            reader,
            left,
            keys: HashSet::new(),
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.reader.rest;
        let key = seed.deserialize(&mut *self.reader)?;
        let taken = &before[..before.len() - self.reader.rest.len()];
        if !self.keys.insert(taken) {
            return Err(ValueError::DuplicateKey);
        }
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}
