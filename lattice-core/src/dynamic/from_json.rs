//! Values from JSON, in the form in which [`json`](super::json) writes them.

use super::{
    json_error::{JsonError, Step, Wrong, short},
    types::{Param, Type},
};
use crate::signature::{Case, Field, Type as WitType};
use serde_json::{Map, Value as Json};
use wasm_wave::{
    value::{Type as WaveType, Value},
    wasm::{WasmType as _, WasmValue as _, WasmValueError},
};

/// Returns the arguments of a function: from an object, by the names of the parameters, or from a
/// list, by their order. An option that is left out is `none`.
///
/// # Errors
/// Fails with a [`JsonError`] for the first argument that doesn't fit, is missing or unknown.
pub fn arguments(params: &[Param], json: &Json) -> Result<Vec<Value>, JsonError> {
    let all = named(params, json).map_err(|wrong| wrong.under("arguments"))?;
    let values = params.iter().zip(all).map(|(param, (step, json))| {
        let value = part(&param.ty.wit, Some(param.ty.wave.clone()), json, step);
        value.map_err(|wrong| wrong.under("arguments"))
    });
    values.collect()
}

/// Returns the value of a type that JSON describes. Records are objects, variants with a payload
/// and results are objects with one field, a case without a payload is its name, flags are lists of
/// names, maps are lists of pairs, and an option is its value or `null`. Integers may be given as
/// decimal strings, because not every program has numbers of 64 bits.
///
/// # Errors
/// Fails with a [`JsonError`] that names the part of the value that doesn't fit.
pub fn value_of(ty: &Type, json: &Json) -> Result<Value, JsonError> {
    value(&ty.wit, &ty.wave, json).map_err(|wrong| wrong.under("value"))
}

type Made = Result<Value, Wrong>;

fn value(ty: &WitType, wave: &WaveType, json: &Json) -> Made {
    match ty {
        WitType::Bool => match json {
            Json::Bool(value) => Ok(Value::make_bool(*value)),
            other => Err(Wrong::expected("true or false", other)),
        },
        WitType::S8 => integer::<i8>(json).map(Value::make_s8),
        WitType::U8 => integer::<u8>(json).map(Value::make_u8),
        WitType::S16 => integer::<i16>(json).map(Value::make_s16),
        WitType::U16 => integer::<u16>(json).map(Value::make_u16),
        WitType::S32 => integer::<i32>(json).map(Value::make_s32),
        WitType::U32 => integer::<u32>(json).map(Value::make_u32),
        WitType::S64 => integer::<i64>(json).map(Value::make_s64),
        WitType::U64 => integer::<u64>(json).map(Value::make_u64),
        WitType::F32 => float(json).map(|value| Value::make_f32(value as f32)),
        WitType::F64 => float(json).map(Value::make_f64),
        WitType::Char => character(json).map(Value::make_char),
        WitType::String => match json {
            Json::String(text) => Ok(Value::make_string(text.into())),
            other => Err(Wrong::expected("a text", other)),
        },
        WitType::List(element) => list(element, wave, json),
        WitType::FixedList(element, length) => match json {
            Json::Array(items) if items.len() as u64 != u64::from(*length) => Err(Wrong::new(
                format!("has {} elements, but it must have {length}", items.len()),
            )),
            json => list(element, wave, json),
        },
        WitType::Map(key, of) => map(key, of, wave, json),
        WitType::Record(fields) => record(fields, wave, json),
        WitType::Tuple(types) => tuple(types, wave, json),
        WitType::Variant(cases) => variant(cases, wave, json),
        WitType::Enum(names) => match json {
            Json::String(name) if names.contains(name) => made(Value::make_enum(wave, name)),
            Json::String(name) => Err(unknown("case", name, names.iter())),
            other => Err(Wrong::expected("the name of a case", other)),
        },
        WitType::Flags(names) => flags(names, wave, json),
        WitType::Option(some) => option(some, wave, json),
        WitType::Result { ok, err } => result(ok.as_deref(), err.as_deref(), wave, json),
        WitType::Own(_)
        | WitType::Borrow(_)
        | WitType::Stream(_)
        | WitType::Future(_)
        | WitType::ErrorContext => Err(Wrong::new(format!(
            "is of type {ty}, which can't be given; call the function from a program"
        ))),
    }
}

/// Returns the value of a part, at this step.
fn part(ty: &WitType, wave: Option<WaveType>, json: &Json, step: Step) -> Made {
    let wave = wave.ok_or_else(|| Wrong::new(format!("is of type {ty}, which has no text form")));
    wave.and_then(|wave| value(ty, &wave, json))
        .map_err(|wrong| wrong.within(step))
}

fn made(value: Result<Value, WasmValueError>) -> Made {
    value.map_err(|error| Wrong::new(format!("doesn't fit: {error}")))
}

/// A whole number, as a number or as a text with its digits.
fn integer<T>(json: &Json) -> Result<T, Wrong>
where
    T: TryFrom<i128> + Bounded,
{
    let number = match json {
        Json::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from)),
        Json::String(text) => text.parse::<i128>().ok(),
        other => return Err(Wrong::expected(whole::<T>(), other)),
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Wrong::new(format!("must be {}", whole::<T>())))
}

fn whole<T: Bounded>() -> String {
    let (least, most) = T::BOUNDS;
    format!("a whole number from {least} to {most}")
}

/// An integer with a least and a largest value.
trait Bounded {
    const BOUNDS: (i128, i128);
}

macro_rules! bounded {
    ($($integer:ty)+) => {
        $(impl Bounded for $integer {
            const BOUNDS: (i128, i128) = (<$integer>::MIN as i128, <$integer>::MAX as i128);
        })+
    };
}

bounded! { i8 u8 i16 u16 i32 u32 i64 u64 }

fn float(json: &Json) -> Result<f64, Wrong> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "nan" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    let what = "a number, or one of the texts \"nan\", \"inf\" and \"-inf\"";
    number.ok_or_else(|| Wrong::expected(what, json))
}

fn character(json: &Json) -> Result<char, Wrong> {
    let Json::String(text) = json else {
        return Err(Wrong::expected("a text with one character", json));
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(character),
        _ => Err(Wrong::new("must be a text with one character")),
    }
}

fn list(element: &WitType, wave: &WaveType, json: &Json) -> Made {
    let Json::Array(items) = json else {
        return Err(Wrong::expected("a list", json));
    };
    let of = wave.list_element_type();
    let values = items
        .iter()
        .enumerate()
        .map(|(at, item)| part(element, of.clone(), item, Step::Item(at)));
    made(Value::make_list(
        wave,
        values.collect::<Result<Vec<_>, _>>()?,
    ))
}

fn map(key: &WitType, of: &WitType, wave: &WaveType, json: &Json) -> Made {
    let Json::Array(items) = json else {
        return Err(Wrong::expected("a list of pairs", json));
    };
    let (key_wave, value_wave) = wave.map_key_value_types().unzip();
    let entries = items.iter().enumerate().map(|(at, item)| {
        let pair = match item.as_array().map(Vec::as_slice) {
            Some([key, value]) => Ok((key, value)),
            _ => Err(Wrong::expected("a list of a key and a value", item)),
        };
        let entry = pair.and_then(|(key_json, value_json)| {
            Ok((
                part(key, key_wave.clone(), key_json, Step::Item(0))?,
                part(of, value_wave.clone(), value_json, Step::Item(1))?,
            ))
        });
        entry.map_err(|wrong| wrong.within(Step::Item(at)))
    });
    made(Value::make_map(
        wave,
        entries.collect::<Result<Vec<_>, _>>()?,
    ))
}

fn record(fields: &[Field], wave: &WaveType, json: &Json) -> Made {
    let Json::Object(given) = json else {
        return Err(Wrong::expected("an object", json));
    };
    known(given, fields.iter().map(|field| &field.name), "field")?;
    let mut values = Vec::with_capacity(fields.len());
    for (field, (_, of)) in fields.iter().zip(wave.record_fields()) {
        let json = present(given, &field.name, &field.ty)?;
        let step = Step::Field(field.name.clone());
        values.push((field.name.as_str(), part(&field.ty, Some(of), json, step)?));
    }
    made(Value::make_record(wave, values))
}

fn tuple(types: &[WitType], wave: &WaveType, json: &Json) -> Made {
    let Json::Array(items) = json else {
        return Err(Wrong::expected("a list", json));
    };
    if items.len() != types.len() {
        let (found, wanted) = (items.len(), types.len());
        return Err(Wrong::new(format!(
            "has {found} elements, but it must have {wanted}"
        )));
    }
    let parts = types.iter().zip(wave.tuple_element_types()).zip(items);
    let values = parts
        .enumerate()
        .map(|(at, ((ty, of), item))| part(ty, Some(of), item, Step::Item(at)));
    made(Value::make_tuple(
        wave,
        values.collect::<Result<Vec<_>, _>>()?,
    ))
}

fn variant(cases: &[Case], wave: &WaveType, json: &Json) -> Made {
    let (name, payload) = case(json, "the name of a case, or an object with one case")?;
    let mut known = cases.iter().zip(wave.variant_cases());
    let found = known.find(|(case, _)| case.name == name);
    let Some((case, (_, of))) = found else {
        return Err(unknown("case", name, cases.iter().map(|case| &case.name)));
    };
    let payload = payload_of(name, case.ty.as_ref(), of, payload)?;
    made(Value::make_variant(wave, name, payload))
}

fn result(ok: Option<&WitType>, err: Option<&WitType>, wave: &WaveType, json: &Json) -> Made {
    let (name, payload) = case(json, "an object with the field `ok` or `err`")?;
    let (ok_wave, err_wave) = wave.result_types().unwrap_or_default();
    // `{"ok": null}` is how a result without a payload is written.
    let is_without = |ty: Option<&WitType>| ty.is_none() && payload == Some(&Json::Null);
    let value = match name {
        "ok" if is_without(ok) => Ok(None),
        "err" if is_without(err) => Err(None),
        "ok" => Ok(payload_of(name, ok, ok_wave, payload)?),
        "err" => Err(payload_of(name, err, err_wave, payload)?),
        other => {
            let names = ["ok".to_owned(), "err".to_owned()];
            return Err(unknown("case", other, names.iter()));
        }
    };
    made(Value::make_result(wave, value))
}

/// Returns the name of a case, and its payload if there is one.
fn case<'j>(json: &'j Json, what: &str) -> Result<(&'j str, Option<&'j Json>), Wrong> {
    match json {
        Json::String(name) => Ok((name, None)),
        Json::Object(given) if given.len() == 1 => {
            let only = given.iter().next();
            let only = only.map(|(name, payload)| (name.as_str(), Some(payload)));
            only.ok_or_else(|| Wrong::expected(what, json))
        }
        Json::Object(given) => Err(Wrong::new(format!(
            "has {} fields, but it must be {what}",
            given.len()
        ))),
        other => Err(Wrong::expected(what, other)),
    }
}

fn payload_of(
    name: &str,
    ty: Option<&WitType>,
    wave: Option<WaveType>,
    payload: Option<&Json>,
) -> Result<Option<Value>, Wrong> {
    let step = || Step::Field(name.to_owned());
    match (ty, payload) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let name = short(name);
            Err(Wrong::new(format!(
                "has a value in `{name}`, which has none; write its name alone"
            )))
        }
        (Some(ty), payload) => {
            let payload = match (ty, payload) {
                (_, Some(payload)) => payload,
                (WitType::Option(_), None) => &Json::Null,
                (_, None) => {
                    let reason = format!("has no value; write an object with one, of type {ty}");
                    return Err(Wrong::new(short(&reason)).within(step()));
                }
            };
            part(ty, wave, payload, step()).map(Some)
        }
    }
}

fn flags(names: &[String], wave: &WaveType, json: &Json) -> Made {
    let Json::Array(items) = json else {
        return Err(Wrong::expected("a list of names", json));
    };
    let mut set = Vec::with_capacity(items.len().min(names.len()));
    for (at, item) in items.iter().enumerate() {
        let wrong = match item {
            Json::String(name) if names.contains(name) => {
                set.push(name.as_str());
                continue;
            }
            Json::String(name) => unknown("flag", name, names.iter()),
            other => Wrong::expected("a name", other),
        };
        return Err(wrong.within(Step::Item(at)));
    }
    made(Value::make_flags(wave, set))
}

fn option(some: &WitType, wave: &WaveType, json: &Json) -> Made {
    let of = wave.option_some_type();
    let inner = match (some, json) {
        (_, Json::Null) => return made(Value::make_option(wave, None)),
        (WitType::Option(_), Json::Object(given)) if given.len() == 1 => given.get("some"),
        (WitType::Option(_), _) => None,
        (_, json) => {
            let value =
                part(some, of, json, Step::Field("some".to_owned())).map_err(without_last_step)?;
            return made(Value::make_option(wave, Some(value)));
        }
    };
    let inner =
        inner.ok_or_else(|| Wrong::expected("null, or an object with the field `some`", json))?;
    let value = part(some, of, inner, Step::Field("some".to_owned()))?;
    made(Value::make_option(wave, Some(value)))
}

/// An option is written as its value, so its `some` is no step.
fn without_last_step(mut wrong: Wrong) -> Wrong {
    wrong.steps.pop();
    wrong
}

/// Returns the arguments in the order of the parameters.
fn named<'j>(params: &[Param], json: &'j Json) -> Result<Vec<(Step, &'j Json)>, Wrong> {
    let given = match json {
        Json::Object(given) => given,
        Json::Array(items) if items.len() > params.len() => {
            let (found, most) = (items.len(), params.len());
            return Err(Wrong::new(format!(
                "has {found} elements, but the function takes {most}"
            )));
        }
        Json::Array(items) => {
            let all = params.iter().enumerate().map(|(at, param)| {
                let json = items.get(at);
                let json = json.or_else(|| left_out(&param.ty.wit));
                let json = json.ok_or_else(|| missing("argument", &param.name));
                Ok((Step::Item(at), json?))
            });
            return all.collect();
        }
        other => {
            let what = "an object with the arguments by name, or a list of them";
            return Err(Wrong::expected(what, other));
        }
    };
    known(given, params.iter().map(|param| &param.name), "argument")?;
    let all = params.iter().map(|param| {
        let json = given.get(&param.name).or_else(|| left_out(&param.ty.wit));
        let json = json.ok_or_else(|| missing("argument", &param.name));
        Ok((Step::Field(param.name.clone()), json?))
    });
    all.collect()
}

/// Returns the value of a part that may be left out.
fn left_out(ty: &WitType) -> Option<&'static Json> {
    static NULL: Json = Json::Null;
    matches!(ty, WitType::Option(_)).then_some(&NULL)
}

fn present<'j>(given: &'j Map<String, Json>, name: &str, ty: &WitType) -> Result<&'j Json, Wrong> {
    let found = given.get(name).or_else(|| left_out(ty));
    found.ok_or_else(|| missing("field", name))
}

fn missing(what: &str, name: &str) -> Wrong {
    Wrong::new(format!("lacks the {what} `{}`; add it", short(name)))
}

/// Fails if there is a field that isn't one of these.
fn known<'n>(
    given: &Map<String, Json>,
    names: impl Iterator<Item = &'n String> + Clone,
    what: &str,
) -> Result<(), Wrong> {
    let is_unknown = |name: &&String| !names.clone().any(|known| known == *name);
    match given.keys().find(is_unknown) {
        Some(name) => Err(unknown(what, name, names)),
        None => Ok(()),
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n String>) -> Wrong {
    const SHOWN: usize = 8;
    let known: Vec<&str> = known.take(SHOWN).map(String::as_str).collect();
    let known = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are `{}`", known.join("`, `"))
    };
    Wrong::new(format!(
        "has the unknown {what} `{}`; {}",
        short(name),
        short(&known)
    ))
}

#[cfg(test)]
#[path = "from_json_tests.rs"]
mod tests;
