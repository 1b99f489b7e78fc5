//! Values as JSON, for programs.

use super::wire::fields_of;
use crate::signature::Type;
use serde_json::{Number, Value as Json, json};
use wasm_wave::{value::Value, wasm::WasmValue as _};

/// Returns a value as JSON: records are objects, variants with a payload and results are objects
/// with one field, flags are lists of names, and maps are lists of pairs. Floats that JSON has no
/// number for are strings: `"nan"`, `"inf"`, `"-inf"`.
///
/// An option is its value or `null`. An option of an option would have two values that are `null`,
/// so its outer `some` is an object: `none` is `null`, `some(none)` is `{"some": null}`, and
/// `some(some(7))` is `{"some": 7}`. So different values of one type always have different JSON.
///
/// # Panics
/// When the value is of another type.
pub fn json(ty: &Type, value: &Value) -> Json {
    match ty {
        Type::Bool => value.unwrap_bool().into(),
        Type::S8 => value.unwrap_s8().into(),
        Type::U8 => value.unwrap_u8().into(),
        Type::S16 => value.unwrap_s16().into(),
        Type::U16 => value.unwrap_u16().into(),
        Type::S32 => value.unwrap_s32().into(),
        Type::U32 => value.unwrap_u32().into(),
        Type::S64 => value.unwrap_s64().into(),
        Type::U64 => value.unwrap_u64().into(),
        Type::F32 => float(value.unwrap_f32().into()),
        Type::F64 => float(value.unwrap_f64()),
        Type::Char => value.unwrap_char().to_string().into(),
        Type::String => value.unwrap_string().into(),
        Type::List(element) | Type::FixedList(element, _) => value
            .unwrap_list()
            .map(|value| json(element, &value))
            .collect(),
        Type::Map(key_type, value_type) => value
            .unwrap_map()
            .map(|(key, value)| json!([json(key_type, &key), json(value_type, &value)]))
            .collect(),
        Type::Record(fields) => {
            let values = fields.iter().zip(fields_of(ty, value));
            let named = values.map(|(field, value)| (field.name.clone(), json(&field.ty, &value)));
            Json::Object(named.collect())
        }
        Type::Tuple(types) => {
            let values = types.iter().zip(fields_of(ty, value));
            values.map(|(ty, value)| json(ty, &value)).collect()
        }
        Type::Variant(cases) => {
            let (name, payload) = value.unwrap_variant();
            let case = cases.iter().find(|case| case.name == name);
            let ty = case.and_then(|case| case.ty.as_ref());
            match ty.zip(payload) {
                Some((ty, payload)) => json!({ name: json(ty, &payload) }),
                None => name.into(),
            }
        }
        Type::Enum(_) => value.unwrap_enum().into(),
        Type::Flags(_) => value.unwrap_flags().collect(),
        Type::Option(some) => match value.unwrap_option() {
            Some(value) if matches!(**some, Type::Option(_)) => {
                json!({ "some": json(some, &value) })
            }
            Some(value) => json(some, &value),
            None => Json::Null,
        },
        Type::Result { ok, err } => {
            let (name, ty, payload) = match value.unwrap_result() {
                Ok(payload) => ("ok", ok, payload),
                Err(payload) => ("err", err, payload),
            };
            let payload = ty.as_ref().zip(payload);
            json!({ name: payload.map(|(ty, payload)| json(ty, &payload)) })
        }
        // These types have no values.
        Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_) | Type::ErrorContext => {
            Json::Null
        }
    }
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "nan".into(),
        None if value > 0.0 => "inf".into(),
        None => "-inf".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamic::Signature;
    use wasm_wave::from_str;

    #[test]
    fn values_become_conventional_json() {
        for (ty, text, expected) in [
            ("u64", "18446744073709551615", json!(u64::MAX)),
            ("f64", "nan", json!("nan")),
            ("f64", "-inf", json!("-inf")),
            ("char", "'x'", json!("x")),
            (
                "record { a: u8, b: list<bool> }",
                "{a: 1, b: [true]}",
                json!({"a": 1, "b": [true]}),
            ),
            ("tuple<u8, string>", "(1, \"x\")", json!([1, "x"])),
            ("variant { a, b(u8) }", "b(3)", json!({"b": 3})),
            ("variant { a, b(u8) }", "a", json!("a")),
            ("option<u8>", "none", json!(null)),
            ("option<option<u8>>", "none", json!(null)),
            ("option<option<u8>>", "some(none)", json!({"some": null})),
            ("option<option<u8>>", "some(some(7))", json!({"some": 7})),
            (
                "option<option<option<u8>>>",
                "some(some(none))",
                json!({"some": {"some": null}}),
            ),
            ("result<option<u8>>", "ok(none)", json!({"ok": null})),
            ("result<option<u8>>", "ok(some(7))", json!({"ok": 7})),
            ("result<option<u8>>", "err", json!({"err": null})),
            (
                "list<option<option<u8>>>",
                "[none, some(none), some(some(1))]",
                json!([null, {"some": null}, {"some": 1}]),
            ),
            (
                "result<option<option<u8>>>",
                "ok(some(none))",
                json!({"ok": {"some": null}}),
            ),
            ("result<_, string>", "ok", json!({"ok": null})),
            ("result<_, string>", "err(\"x\")", json!({"err": "x"})),
            ("flags { r, w }", "{w}", json!(["w"])),
            ("map<u8, string>", "{1: \"a\"}", json!([[1, "a"]])),
        ] {
            let signature = Signature::parse(&format!("func() -> {ty}")).expect("a signature");
            let ty = signature.result.expect("a type");
            let value: Value = from_str(&ty.wave, text).expect("a value");
            assert_eq!(json(&ty.wit, &value), expected, "{text}");
        }
    }
}
