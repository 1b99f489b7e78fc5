//! Values of types known only at run time, as wire bytes.

use super::types::{Param, Shape, Type};
use bytes::Bytes;
use lattice_core::value::{ValueError, from_bytes_seed, to_bytes};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor},
    ser::{Error as _, SerializeMap as _, SerializeSeq as _, SerializeTuple as _},
};
use std::{fmt, marker::PhantomData};
use wasm_wave::{value::Value, wasm::WasmValue as _};

/// The arguments of a call.
pub(crate) fn encode(params: &[Param], values: &[Value]) -> Result<Bytes, ValueError> {
    to_bytes(&Arguments(params, values))
}

/// The result of a call.
pub(crate) fn decode(ty: &Type, bytes: &[u8]) -> Result<Value, ValueError> {
    from_bytes_seed(ty, bytes)
}

struct Arguments<'v>(&'v [Param], &'v [Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut tuple = to.serialize_tuple(self.0.len())?;
        for (param, value) in self.0.iter().zip(self.1) {
            tuple.serialize_element(&Typed(&param.ty, value))?;
        }
        tuple.end()
    }
}

/// A value of this type.
struct Typed<'v>(&'v Type, &'v Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(ty, value) = *self;
        match &ty.shape {
            Shape::Bool => to.serialize_bool(value.unwrap_bool()),
            Shape::S8 => to.serialize_i8(value.unwrap_s8()),
            Shape::U8 => to.serialize_u8(value.unwrap_u8()),
            Shape::S16 => to.serialize_i16(value.unwrap_s16()),
            Shape::U16 => to.serialize_u16(value.unwrap_u16()),
            Shape::S32 => to.serialize_i32(value.unwrap_s32()),
            Shape::U32 => to.serialize_u32(value.unwrap_u32()),
            Shape::S64 => to.serialize_i64(value.unwrap_s64()),
            Shape::U64 => to.serialize_u64(value.unwrap_u64()),
            Shape::F32 => to.serialize_f32(value.unwrap_f32()),
            Shape::F64 => to.serialize_f64(value.unwrap_f64()),
            Shape::Char => to.serialize_char(value.unwrap_char()),
            Shape::String => to.serialize_str(&value.unwrap_string()),
            Shape::List(element) => list(element, value, to),
            Shape::FixedList(element, length) => fixed_list(element, *length, value, to),
            Shape::Map(key, value_type) => map(key, value_type, value, to),
            Shape::Fields(types) => {
                let mut fields = to.serialize_tuple(types.len())?;
                for ((_, ty), value) in types.iter().zip(fields_of(ty, value)) {
                    fields.serialize_element(&Typed(ty, &value))?;
                }
                fields.end()
            }
            Shape::Variant(cases) => variant(cases, value, to),
            Shape::Enum(cases) => {
                let name = value.unwrap_enum();
                match cases.iter().zip(0..).find(|(case, _)| **case == name) {
                    Some((_, index)) => to.serialize_unit_variant("", index, ""),
                    None => Err(S::Error::custom(format!("there is no case `{name}`"))),
                }
            }
            Shape::Flags(labels) => flags(labels, value, to),
            Shape::Option(some) => match value.unwrap_option() {
                Some(value) => to.serialize_some(&Typed(some, &value)),
                None => to.serialize_none(),
            },
            Shape::Result(ok, err) => {
                let (index, ty, payload) = match value.unwrap_result() {
                    Ok(payload) => (0, ok, payload),
                    Err(payload) => (1, err, payload),
                };
                match ty.as_ref().zip(payload) {
                    Some((ty, payload)) => {
                        to.serialize_newtype_variant("", index, "", &Typed(ty, &payload))
                    }
                    None => to.serialize_unit_variant("", index, ""),
                }
            }
        }
    }
}

fn list<S: Serializer>(element: &Type, value: &Value, to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(value.unwrap_list().count()))?;
    for value in value.unwrap_list() {
        list.serialize_element(&Typed(element, &value))?;
    }
    list.end()
}

fn fixed_list<S: Serializer>(
    element: &Type,
    length: u32,
    value: &Value,
    to: S,
) -> Result<S::Ok, S::Error> {
    let found = value.unwrap_list().count();
    if found as u64 != u64::from(length) {
        let wrong = format!("a list has {found} elements, and its type {length}");
        return Err(S::Error::custom(wrong));
    }
    let mut list = to.serialize_tuple(found)?;
    for value in value.unwrap_list() {
        list.serialize_element(&Typed(element, &value))?;
    }
    list.end()
}

fn map<S: Serializer>(
    key_type: &Type,
    value_type: &Type,
    value: &Value,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(value.unwrap_map().count()))?;
    for (key, value) in value.unwrap_map() {
        map.serialize_entry(&Typed(key_type, &key), &Typed(value_type, &value))?;
    }
    map.end()
}

fn variant<S: Serializer>(
    cases: &[(String, Option<Type>)],
    value: &Value,
    to: S,
) -> Result<S::Ok, S::Error> {
    let (name, payload) = value.unwrap_variant();
    let known = cases.iter().zip(0..).find(|((case, _), _)| *case == name);
    match (known, payload) {
        (Some(((_, Some(ty)), index)), Some(payload)) => {
            to.serialize_newtype_variant("", index, "", &Typed(ty, &payload))
        }
        (Some((_, index)), _) => to.serialize_unit_variant("", index, ""),
        (None, _) => Err(S::Error::custom(format!("there is no case `{name}`"))),
    }
}

fn flags<S: Serializer>(labels: &[String], value: &Value, to: S) -> Result<S::Ok, S::Error> {
    let set: Vec<_> = value.unwrap_flags().collect();
    let is_set = |label: &String| set.iter().any(|name| name == label);
    let bits = labels.iter().zip(0..).filter(|(label, _)| is_set(label));
    let bits = bits.fold(0_u32, |bits, (_, place)| bits | 1 << place);
    match labels.len() {
        0..=8 => to.serialize_u8(bits as u8),
        9..=16 => to.serialize_u16(bits as u16),
        _ => to.serialize_u32(bits),
    }
}

/// The fields of a record, or of a tuple.
pub(crate) fn fields_of<'v>(
    ty: &Type,
    value: &'v Value,
) -> impl Iterator<Item = std::borrow::Cow<'v, Value>> {
    let (record, tuple) = match &ty.shape {
        Shape::Fields(fields) if fields.iter().all(|(name, _)| name.is_some()) => {
            (Some(value.unwrap_record()), None)
        }
        _ => (None, Some(value.unwrap_tuple())),
    };
    let record = record.into_iter().flatten().map(|(_, value)| value);
    record.chain(tuple.into_iter().flatten())
}

macro_rules! simple {
    ($from:ident, $rust:ty, $make:ident) => {
        <$rust>::deserialize($from).map(Value::$make)
    };
}

impl<'de> DeserializeSeed<'de> for &Type {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match &self.shape {
            Shape::Bool => simple!(from, bool, make_bool),
            Shape::S8 => simple!(from, i8, make_s8),
            Shape::U8 => simple!(from, u8, make_u8),
            Shape::S16 => simple!(from, i16, make_s16),
            Shape::U16 => simple!(from, u16, make_u16),
            Shape::S32 => simple!(from, i32, make_s32),
            Shape::U32 => simple!(from, u32, make_u32),
            Shape::S64 => simple!(from, i64, make_s64),
            Shape::U64 => simple!(from, u64, make_u64),
            Shape::F32 => simple!(from, f32, make_f32),
            Shape::F64 => simple!(from, f64, make_f64),
            Shape::Char => simple!(from, char, make_char),
            Shape::String => String::deserialize(from).map(|text| Value::make_string(text.into())),
            Shape::List(_) => from.deserialize_seq(TypedVisitor(self)),
            Shape::FixedList(_, length) => {
                from.deserialize_tuple(*length as usize, TypedVisitor(self))
            }
            Shape::Map(..) => from.deserialize_map(TypedVisitor(self)),
            Shape::Fields(fields) => from.deserialize_tuple(fields.len(), TypedVisitor(self)),
            Shape::Variant(_) | Shape::Enum(_) | Shape::Result(..) => {
                from.deserialize_enum("", &[], TypedVisitor(self))
            }
            Shape::Option(_) => from.deserialize_option(TypedVisitor(self)),
            Shape::Flags(labels) => {
                let bits = match labels.len() {
                    0..=8 => u8::deserialize(from)?.into(),
                    9..=16 => u16::deserialize(from)?.into(),
                    _ => u32::deserialize(from)?,
                };
                let labels = labels.iter().map(String::as_str).zip(0..);
                let unknown = labels
                    .clone()
                    .fold(bits, |left, (_, place)| left & !(1 << place));
                if unknown != 0 {
                    return Err(D::Error::custom("flags have bits beyond their labels"));
                }
                let set = labels.filter(|(_, place)| bits >> place & 1 == 1);
                Value::make_flags(&self.wave, set.map(|(label, _)| label)).map_err(D::Error::custom)
            }
        }
    }
}

/// Reads a value that is made of others.
struct TypedVisitor<'t>(&'t Type);

impl<'de> Visitor<'de> for TypedVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {}", self.0.wave)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        match &self.0.shape {
            Shape::Fields(fields) => {
                for (_, ty) in fields {
                    let value = elements.next_element_seed(ty)?;
                    values.push(value.ok_or_else(|| A::Error::custom("a field is missing"))?);
                }
                let names = fields.iter().filter_map(|(name, _)| name.as_deref());
                let names: Vec<&str> = names.collect();
                let made = if names.is_empty() {
                    Value::make_tuple(&self.0.wave, values)
                } else {
                    Value::make_record(&self.0.wave, names.into_iter().zip(values))
                };
                made.map_err(A::Error::custom)
            }
            Shape::List(element) | Shape::FixedList(element, _) => {
                while let Some(value) = elements.next_element_seed(&**element)? {
                    values.push(value);
                }
                Value::make_list(&self.0.wave, values).map_err(A::Error::custom)
            }
            _ => Err(A::Error::custom("this is no list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Shape::Map(key, value) = &self.0.shape else {
            return Err(A::Error::custom("this is no map"));
        };
        let mut read = Vec::new();
        while let Some(entry) = entries.next_entry_seed(&**key, &**value)? {
            read.push(entry);
        }
        Value::make_map(&self.0.wave, read).map_err(A::Error::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Value::make_option(&self.0.wave, None).map_err(E::custom)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let Shape::Option(some) = &self.0.shape else {
            return Err(D::Error::custom("this is no option"));
        };
        let value = some.deserialize(from)?;
        Value::make_option(&self.0.wave, Some(value)).map_err(D::Error::custom)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<Value, A::Error> {
        let (index, from) = from.variant_seed(PhantomData::<u32>)?;
        let wave = &self.0.wave;
        let unknown = || A::Error::custom(format!("case {index} is out of range"));
        let made = match &self.0.shape {
            Shape::Enum(cases) => {
                let case = cases.get(index as usize).ok_or_else(unknown)?;
                from.unit_variant()?;
                Value::make_enum(wave, case)
            }
            Shape::Variant(cases) => {
                let (case, ty) = cases.get(index as usize).ok_or_else(unknown)?;
                Value::make_variant(wave, case, payload(ty.as_ref(), from)?)
            }
            Shape::Result(ok, err) => match index {
                0 => Value::make_result(wave, Ok(payload(ok.as_deref(), from)?)),
                1 => Value::make_result(wave, Err(payload(err.as_deref(), from)?)),
                _ => return Err(unknown()),
            },
            _ => return Err(A::Error::custom("this has no cases")),
        };
        made.map_err(A::Error::custom)
    }
}

fn payload<'de, A: VariantAccess<'de>>(
    ty: Option<&Type>,
    from: A,
) -> Result<Option<Value>, A::Error> {
    match ty {
        Some(ty) => from.newtype_variant_seed(ty).map(Some),
        None => from.unit_variant().map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::types::Signature;
    use wasm_wave::{from_str, to_string};

    fn ty(text: &str) -> Type {
        let signature = Signature::parse(&format!("func() -> {text}")).expect("a signature");
        signature.result.expect("a type")
    }

    fn through(ty: &Type, text: &str) -> (Vec<u8>, String) {
        let value: Value =
            from_str(&ty.wave, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let bytes = to_bytes(&Typed(ty, &value)).expect("encodes");
        let back = decode(ty, &bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(back, value);
        (bytes.to_vec(), to_string(&back).expect("text"))
    }

    #[test]
    fn bytes_are_those_of_the_wire() {
        for (type_text, text, bytes) in [
            ("bool", "true", &b"\x01"[..]),
            ("u8", "200", b"\xc8"),
            ("s8", "-1", b"\xff"),
            ("u32", "300", b"\xac\x02"),
            ("s64", "-2", b"\x03"),
            ("f32", "1.5", b"\x00\x00\xc0\x3f"),
            ("char", "'ß'", "\u{2}ß".as_bytes()),
            ("string", "\"Ada\"", b"\x03Ada"),
            ("list<u8>", "[1, 2]", b"\x02\x01\x02"),
            ("list<u16, 2>", "[1, 300]", b"\x01\xac\x02"),
            ("map<string, u8>", "{\"a\": 1}", b"\x01\x01a\x01"),
            (
                "record { id: u8, name: string }",
                "{id: 7, name: \"x\"}",
                b"\x07\x01x",
            ),
            ("tuple<u8, bool>", "(7, false)", b"\x07\x00"),
            ("variant { a, b(u8) }", "b(3)", b"\x01\x03"),
            ("variant { a, b(u8) }", "a", b"\x00"),
            ("enum { low, mid }", "mid", b"\x01"),
            ("flags { r, w, x }", "{r, x}", b"\x05"),
            ("option<u8>", "some(3)", b"\x01\x03"),
            ("option<u8>", "none", b"\x00"),
            ("result<u8, string>", "err(\"x\")", b"\x01\x01x"),
            ("result", "ok", b"\x00"),
        ] {
            let (encoded, back) = through(&ty(type_text), text);
            assert_eq!(encoded, bytes, "{type_text}");
            assert_eq!(back, text, "{type_text}");
        }
    }

    #[test]
    fn flags_take_what_their_labels_need() {
        for (labels, bytes) in [
            (8, &b"\x80"[..]),
            (9, b"\x80\x02"),
            (16, b"\x80\x80\x02"),
            (32, b"\x80\x80\x80\x80\x08"),
        ] {
            let names: Vec<String> = (0..labels).map(|at| format!("f{at}")).collect();
            let ty = ty(&format!("flags {{ {} }}", names.join(", ")));
            let last = format!("{{f{}}}", labels - 1);
            assert_eq!(through(&ty, &last), (bytes.to_vec(), last));
        }
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        for (type_text, bytes) in [
            ("bool", &b"\x02"[..]),
            ("u8", b""),
            ("u8", b"\x01\x02"),
            ("enum { a }", b"\x01"),
            ("variant { a }", b"\x05"),
            ("result", b"\x02"),
            ("flags { r }", b"\x02"),
            ("list<u8, 3>", b"\x01\x02"),
            ("list<list<u8, 3>, 4000000000>", b"\x01\x02"),
            ("map<u8, u8>", b"\x02\x01\x01\x01\x01"),
            ("list<string>", b"\xff\xff\xff\xff\x0f"),
        ] {
            assert!(decode(&ty(type_text), bytes).is_err(), "{type_text}");
        }
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        let ty = ty("list<u8, 2>");
        let value: Value = from_str(&ty.wave, "[1, 2, 3]").expect("parses");
        assert!(to_bytes(&Typed(&ty, &value)).is_err());
    }
}
