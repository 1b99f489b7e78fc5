//! The form of a call: the functions of a component, and the types of what they take and return.

use super::{
    Actions,
    interfaces::{self, One},
    parse,
};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use lattice_core::{
    dynamic::{Signature, TypesError},
    name::FunctionName,
    signature::{Case, Field, Type},
    types::InterfaceTypes,
};
use serde_json::{Value, json};

/// Longest signature in bytes that has a form. A longer one has more fields than a person fills in.
const MAX_SIGNATURE: usize = 16 * 1024;

pub(super) async fn form(
    State(actions): State<Actions>,
    Query(One { component }): Query<One>,
) -> Result<Json<Value>, Problem> {
    let id = parse::component(&component)?;
    let types = interfaces::published(&actions, &id).await?;
    let all = types.exports.iter().map(|(interface, types)| {
        let functions = types.functions.keys().map(|name| function(types, name));
        json!({ "interface": interface, "functions": functions.collect::<Vec<_>>() })
    });
    Ok(Json(
        json!({ "component": id, "interfaces": all.collect::<Vec<_>>() }),
    ))
}

fn function(types: &InterfaceTypes, name: &FunctionName) -> Value {
    let signature = types.signatures(name).next().unwrap_or_default();
    match callable(signature) {
        Ok(parsed) => {
            let params = parsed
                .params
                .iter()
                .map(|param| json!({ "name": param.name, "type": shown(&param.ty.wit) }));
            json!({
                "name": name,
                "signature": signature,
                "callable": true,
                "why": null,
                "params": params.collect::<Vec<_>>(),
                "result": parsed.result.as_ref().map(|ty| shown(&ty.wit)),
            })
        }
        Err(why) => json!({
            "name": name,
            "signature": signature,
            "callable": false,
            "why": why,
            "params": [],
            "result": null,
        }),
    }
}

/// Returns the type of a function that a person can call, or why nobody can.
pub(super) fn callable(signature: &str) -> Result<Signature, String> {
    if signature.len() > MAX_SIGNATURE {
        return Err(format!(
            "its type has {} bytes, and the limit is {MAX_SIGNATURE}; call it from a program",
            signature.len()
        ));
    }
    Signature::parse(signature).map_err(|error| match error {
        TypesError::Unsupported(what) => {
            format!(
                "its type has `{what}` in it, which can't be written down; call it from a program"
            )
        }
        error => error.to_string(),
    })
}

/// Describes a type for a form.
pub(super) fn shown(ty: &Type) -> Value {
    match ty {
        Type::Bool => json!({ "kind": "bool" }),
        Type::S8 => integer("s8", i8::MIN.into(), i8::MAX.into()),
        Type::U8 => integer("u8", u8::MIN.into(), u8::MAX.into()),
        Type::S16 => integer("s16", i16::MIN.into(), i16::MAX.into()),
        Type::U16 => integer("u16", u16::MIN.into(), u16::MAX.into()),
        Type::S32 => integer("s32", i32::MIN.into(), i32::MAX.into()),
        Type::U32 => integer("u32", u32::MIN.into(), u32::MAX.into()),
        Type::S64 => integer("s64", i64::MIN.into(), i64::MAX.into()),
        Type::U64 => integer("u64", u64::MIN.into(), u64::MAX.into()),
        Type::F32 => json!({ "kind": "f32" }),
        Type::F64 => json!({ "kind": "f64" }),
        Type::Char => json!({ "kind": "char" }),
        Type::String => json!({ "kind": "string" }),
        Type::Record(fields) => json!({ "kind": "record", "fields": fields_of(fields) }),
        Type::Variant(cases) => json!({ "kind": "variant", "cases": cases_of(cases) }),
        Type::Enum(names) => json!({ "kind": "enum", "names": names }),
        Type::Flags(names) => json!({ "kind": "flags", "names": names }),
        Type::Tuple(types) => {
            let items: Vec<Value> = types.iter().map(shown).collect();
            json!({ "kind": "tuple", "items": items })
        }
        Type::List(item) => json!({ "kind": "list", "item": shown(item), "length": null }),
        Type::FixedList(item, length) => {
            json!({ "kind": "list", "item": shown(item), "length": length })
        }
        Type::Option(some) => json!({ "kind": "option", "some": shown(some) }),
        Type::Result { ok, err } => json!({
            "kind": "result",
            "ok": ok.as_deref().map(shown),
            "err": err.as_deref().map(shown),
        }),
        Type::Map(key, value) => {
            json!({ "kind": "map", "key": shown(key), "value": shown(value) })
        }
        Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_) | Type::ErrorContext => {
            json!({ "kind": "refused", "type": ty.to_string() })
        }
    }
}

/// The bounds are texts: JavaScript has no integers of 64 bits.
fn integer(kind: &str, min: i128, max: i128) -> Value {
    json!({ "kind": kind, "min": min.to_string(), "max": max.to_string() })
}

fn fields_of(fields: &[Field]) -> Vec<Value> {
    let fields = fields.iter();
    let fields = fields.map(|field| json!({ "name": field.name, "type": shown(&field.ty) }));
    fields.collect()
}

fn cases_of(cases: &[Case]) -> Vec<Value> {
    let cases = cases.iter();
    let cases = cases.map(|case| json!({ "name": case.name, "type": case.ty.as_ref().map(shown) }));
    cases.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_can_be_written_has_a_form() {
        let text = "func(a: record { id: u64, tags: list<string> }, b: variant { x, y(u8) }, \
                    c: enum { low }, d: flags { r }, e: tuple<bool, char>, f: option<s8>, \
                    g: result<_, string>, h: list<f32, 2>, i: map<string, f64>) -> result<u32>";
        let signature = callable(text).expect("callable");
        let forms: Vec<Value> = signature.params.iter().map(|p| shown(&p.ty.wit)).collect();
        let expected = json!([
            { "kind": "record", "fields": [
                { "name": "id", "type": { "kind": "u64", "min": "0", "max": "18446744073709551615" } },
                { "name": "tags", "type": { "kind": "list", "item": { "kind": "string" }, "length": null } },
            ] },
            { "kind": "variant", "cases": [
                { "name": "x", "type": null },
                { "name": "y", "type": { "kind": "u8", "min": "0", "max": "255" } },
            ] },
            { "kind": "enum", "names": ["low"] },
            { "kind": "flags", "names": ["r"] },
            { "kind": "tuple", "items": [{ "kind": "bool" }, { "kind": "char" }] },
            { "kind": "option", "some": { "kind": "s8", "min": "-128", "max": "127" } },
            { "kind": "result", "ok": null, "err": { "kind": "string" } },
            { "kind": "list", "item": { "kind": "f32" }, "length": 2 },
            { "kind": "map", "key": { "kind": "string" }, "value": { "kind": "f64" } },
        ]);
        assert_eq!(json!(forms), expected);
        let result = signature.result.expect("a result");
        assert_eq!(shown(&result.wit)["ok"]["kind"], "u32");
    }

    #[test]
    fn what_cannot_be_called_is_named() {
        for (text, why) in [
            ("func(a: own<a:b/c/d>)", "`own<a:b/c/d>`"),
            ("func() -> stream<u8>", "`stream`"),
            ("func(a: u9)", "can't be read"),
        ] {
            let error = callable(text).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
        let cases: Vec<String> = (0..9_000).map(|at| format!("case-{at}")).collect();
        let error = callable(&format!("func(a: enum {{ {} }})", cases.join(", ")));
        assert!(error.expect_err("too large").contains("the limit is"));
    }
}
