//! Converts values of types known only at run time to and from wire bytes.

use super::types::{Param, Type};
use crate::{
    signature::{Case, Type as WitType},
    value::{ValueError, from_bytes_seed, to_bytes},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor},
    ser::{Error as _, SerializeMap as _, SerializeSeq as _, SerializeTuple as _},
};
use std::{fmt, marker::PhantomData};
use wasm_wave::{
    value::{Type as WaveType, Value},
    wasm::{WasmType as _, WasmValue as _},
};

/// Encodes the arguments of a call. The values are of the types of the parameters.
///
/// # Errors
/// Fails with a [`ValueError`] if a list doesn't have the length of its type, or a value can't be
/// sent.
///
/// # Panics
/// When a value is of another type than its parameter.
pub fn encode(params: &[Param], values: &[Value]) -> Result<Bytes, ValueError> {
    to_bytes(&Arguments(params, values))
}

/// Decodes the result of a call. The bytes may be untrusted.
///
/// # Errors
/// Fails with a [`ValueError`] if they are not a value of this type.
pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Value, ValueError> {
    let wave = ty.wave.clone();
    from_bytes_seed(&Read { wit: &ty.wit, wave }, bytes)
}

struct Arguments<'v>(&'v [Param], &'v [Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut tuple = to.serialize_tuple(self.0.len())?;
        for (param, value) in self.0.iter().zip(self.1) {
            tuple.serialize_element(&Typed(&param.ty.wit, value))?;
        }
        tuple.end()
    }
}

/// A value together with its type.
struct Typed<'v>(&'v WitType, &'v Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(ty, value) = *self;
        match ty {
            WitType::Bool => to.serialize_bool(value.unwrap_bool()),
            WitType::S8 => to.serialize_i8(value.unwrap_s8()),
            WitType::U8 => to.serialize_u8(value.unwrap_u8()),
            WitType::S16 => to.serialize_i16(value.unwrap_s16()),
            WitType::U16 => to.serialize_u16(value.unwrap_u16()),
            WitType::S32 => to.serialize_i32(value.unwrap_s32()),
            WitType::U32 => to.serialize_u32(value.unwrap_u32()),
            WitType::S64 => to.serialize_i64(value.unwrap_s64()),
            WitType::U64 => to.serialize_u64(value.unwrap_u64()),
            WitType::F32 => to.serialize_f32(value.unwrap_f32()),
            WitType::F64 => to.serialize_f64(value.unwrap_f64()),
            WitType::Char => to.serialize_char(value.unwrap_char()),
            WitType::String => to.serialize_str(&value.unwrap_string()),
            WitType::List(element) => list(element, value, to),
            WitType::FixedList(element, length) => fixed_list(element, *length, value, to),
            WitType::Map(key, value_type) => map(key, value_type, value, to),
            WitType::Record(types) => {
                let mut fields = to.serialize_tuple(types.len())?;
                for (field, value) in types.iter().zip(fields_of(ty, value)) {
                    fields.serialize_element(&Typed(&field.ty, &value))?;
                }
                fields.end()
            }
            WitType::Tuple(types) => {
                let mut fields = to.serialize_tuple(types.len())?;
                for (ty, value) in types.iter().zip(fields_of(ty, value)) {
                    fields.serialize_element(&Typed(ty, &value))?;
                }
                fields.end()
            }
            WitType::Variant(cases) => variant(cases, value, to),
            WitType::Enum(cases) => {
                let name = value.unwrap_enum();
                match cases.iter().zip(0..).find(|(case, _)| **case == name) {
                    Some((_, index)) => to.serialize_unit_variant("", index, ""),
                    None => Err(S::Error::custom(format!("there is no case `{name}`"))),
                }
            }
            WitType::Flags(labels) => flags(labels, value, to),
            WitType::Option(some) => match value.unwrap_option() {
                Some(value) => to.serialize_some(&Typed(some, &value)),
                None => to.serialize_none(),
            },
            WitType::Result { ok, err } => {
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
            WitType::Own(_)
            | WitType::Borrow(_)
            | WitType::Stream(_)
            | WitType::Future(_)
            | WitType::ErrorContext => Err(S::Error::custom(format!("a {ty} can't be sent"))),
        }
    }
}

fn list<S: Serializer>(element: &WitType, value: &Value, to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(value.unwrap_list().count()))?;
    for value in value.unwrap_list() {
        list.serialize_element(&Typed(element, &value))?;
    }
    list.end()
}

fn fixed_list<S: Serializer>(
    element: &WitType,
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
    key_type: &WitType,
    value_type: &WitType,
    value: &Value,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(value.unwrap_map().count()))?;
    for (key, value) in value.unwrap_map() {
        map.serialize_entry(&Typed(key_type, &key), &Typed(value_type, &value))?;
    }
    map.end()
}

fn variant<S: Serializer>(cases: &[Case], value: &Value, to: S) -> Result<S::Ok, S::Error> {
    let (name, payload) = value.unwrap_variant();
    let known = cases.iter().zip(0..).find(|(case, _)| case.name == name);
    let known = known.map(|(case, index)| (case.ty.as_ref(), index));
    match (known, payload) {
        (Some((Some(ty), index)), Some(payload)) => {
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

/// Returns the fields of a record or of a tuple.
pub(super) fn fields_of<'v>(
    ty: &WitType,
    value: &'v Value,
) -> impl Iterator<Item = std::borrow::Cow<'v, Value>> {
    let (record, tuple) = match ty {
        WitType::Record(_) => (Some(value.unwrap_record()), None),
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

/// Reads a value of this type. The text form has a type of its own.
struct Read<'t> {
    wit: &'t WitType,
    wave: WaveType,
}

impl<'t> Read<'t> {
    /// Returns the reader of a part. The text form always has the same part.
    fn part<E: serde::de::Error>(wit: &'t WitType, wave: Option<WaveType>) -> Result<Self, E> {
        let wave = wave.ok_or_else(|| E::custom(format!("{wit} has no text form")))?;
        Ok(Self { wit, wave })
    }
}

impl<'de> DeserializeSeed<'de> for &Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.wit {
            WitType::Bool => simple!(from, bool, make_bool),
            WitType::S8 => simple!(from, i8, make_s8),
            WitType::U8 => simple!(from, u8, make_u8),
            WitType::S16 => simple!(from, i16, make_s16),
            WitType::U16 => simple!(from, u16, make_u16),
            WitType::S32 => simple!(from, i32, make_s32),
            WitType::U32 => simple!(from, u32, make_u32),
            WitType::S64 => simple!(from, i64, make_s64),
            WitType::U64 => simple!(from, u64, make_u64),
            WitType::F32 => simple!(from, f32, make_f32),
            WitType::F64 => simple!(from, f64, make_f64),
            WitType::Char => simple!(from, char, make_char),
            WitType::String => {
                String::deserialize(from).map(|text| Value::make_string(text.into()))
            }
            WitType::List(_) => from.deserialize_seq(self),
            WitType::FixedList(_, length) => from.deserialize_tuple(*length as usize, self),
            WitType::Map(..) => from.deserialize_map(self),
            WitType::Record(fields) => from.deserialize_tuple(fields.len(), self),
            WitType::Tuple(types) => from.deserialize_tuple(types.len(), self),
            WitType::Variant(_) | WitType::Enum(_) | WitType::Result { .. } => {
                from.deserialize_enum("", &[], self)
            }
            WitType::Option(_) => from.deserialize_option(self),
            WitType::Flags(labels) => {
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
            WitType::Own(_)
            | WitType::Borrow(_)
            | WitType::Stream(_)
            | WitType::Future(_)
            | WitType::ErrorContext => {
                Err(D::Error::custom(format!("a {} can't be read", self.wit)))
            }
        }
    }
}

impl<'de> Visitor<'de> for &Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {}", self.wave)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let missing = || A::Error::custom("a field is missing");
        let mut values = Vec::new();
        let made = match self.wit {
            WitType::Record(fields) => {
                for (field, (_, wave)) in fields.iter().zip(self.wave.record_fields()) {
                    let part = Read {
                        wit: &field.ty,
                        wave,
                    };
                    values.push(elements.next_element_seed(&part)?.ok_or_else(missing)?);
                }
                let names = fields.iter().map(|field| field.name.as_str());
                Value::make_record(&self.wave, names.zip(values))
            }
            WitType::Tuple(types) => {
                for (wit, wave) in types.iter().zip(self.wave.tuple_element_types()) {
                    let part = Read { wit, wave };
                    values.push(elements.next_element_seed(&part)?.ok_or_else(missing)?);
                }
                Value::make_tuple(&self.wave, values)
            }
            WitType::List(element) | WitType::FixedList(element, _) => {
                let part = Read::part(element, self.wave.list_element_type())?;
                while let Some(value) = elements.next_element_seed(&part)? {
                    values.push(value);
                }
                Value::make_list(&self.wave, values)
            }
            _ => return Err(A::Error::custom("this isn't a list")),
        };
        made.map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let WitType::Map(key, value) = self.wit else {
            return Err(A::Error::custom("this isn't a map"));
        };
        let (key_wave, value_wave) = self.wave.map_key_value_types().unzip();
        let key = Read::part(key, key_wave)?;
        let value = Read::part(value, value_wave)?;
        let mut read = Vec::new();
        while let Some(entry) = entries.next_entry_seed(&key, &value)? {
            read.push(entry);
        }
        Value::make_map(&self.wave, read).map_err(A::Error::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Value::make_option(&self.wave, None).map_err(E::custom)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let WitType::Option(some) = self.wit else {
            return Err(D::Error::custom("this isn't an option"));
        };
        let some = Read::part(some, self.wave.option_some_type())?;
        let value = some.deserialize(from)?;
        Value::make_option(&self.wave, Some(value)).map_err(D::Error::custom)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<Value, A::Error> {
        let (index, from) = from.variant_seed(PhantomData::<u32>)?;
        let wave = &self.wave;
        let unknown = || A::Error::custom(format!("case {index} is out of range"));
        let made = match self.wit {
            WitType::Enum(cases) => {
                let case = cases.get(index as usize).ok_or_else(unknown)?;
                from.unit_variant()?;
                Value::make_enum(wave, case)
            }
            WitType::Variant(cases) => {
                let case = cases.get(index as usize).ok_or_else(unknown)?;
                let of = wave.variant_cases().nth(index as usize);
                let of = of.and_then(|(_, wave)| wave);
                Value::make_variant(wave, &case.name, payload(case.ty.as_ref(), of, from)?)
            }
            WitType::Result { ok, err } => {
                let (ok_wave, err_wave) = wave.result_types().unwrap_or_default();
                match index {
                    0 => Value::make_result(wave, Ok(payload(ok.as_deref(), ok_wave, from)?)),
                    1 => Value::make_result(wave, Err(payload(err.as_deref(), err_wave, from)?)),
                    _ => return Err(unknown()),
                }
            }
            _ => return Err(A::Error::custom("this has no cases")),
        };
        made.map_err(A::Error::custom)
    }
}

fn payload<'de, A: VariantAccess<'de>>(
    ty: Option<&WitType>,
    wave: Option<WaveType>,
    from: A,
) -> Result<Option<Value>, A::Error> {
    match ty {
        Some(ty) => from.newtype_variant_seed(&Read::part(ty, wave)?).map(Some),
        None => from.unit_variant().map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamic::Signature;
    use wasm_wave::{from_str, to_string};

    fn ty(text: &str) -> Type {
        let signature = Signature::parse(&format!("func() -> {text}")).expect("a signature");
        signature.result.expect("a type")
    }

    fn through(ty: &Type, text: &str) -> (Vec<u8>, String) {
        let value: Value =
            from_str(&ty.wave, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let bytes = to_bytes(&Typed(&ty.wit, &value)).expect("encodes");
        let back = decode(ty, &bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(back, value);
        (bytes.to_vec(), to_string(&back).expect("text"))
    }

    #[test]
    fn values_have_the_bytes_of_the_wire() {
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
            ("option<option<u8>>", "none", b"\x00"),
            ("option<option<u8>>", "some(none)", b"\x01\x00"),
            ("option<option<u8>>", "some(some(7))", b"\x01\x01\x07"),
            ("result<option<u8>>", "ok(none)", b"\x00\x00"),
            ("result<u8, string>", "err(\"x\")", b"\x01\x01x"),
            ("result", "ok", b"\x00"),
        ] {
            let (encoded, back) = through(&ty(type_text), text);
            assert_eq!(encoded, bytes, "{type_text}");
            assert_eq!(back, text, "{type_text}");
        }
    }

    #[test]
    fn flags_have_the_size_that_their_labels_need() {
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
        assert!(to_bytes(&Typed(&ty.wit, &value)).is_err());
    }
}
