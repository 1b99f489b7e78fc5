use super::*;
use crate::dynamic::{Signature, decode, encode, json, text};
use serde_json::json;

fn ty(text: &str) -> Type {
    let signature = Signature::parse(&format!("func() -> {text}")).expect("a signature");
    signature.result.expect("a type")
}

#[test]
fn json_becomes_the_value_that_it_was_written_from() {
    for (type_text, given) in [
        ("bool", json!(true)),
        ("u64", json!(u64::MAX)),
        ("s64", json!(i64::MIN)),
        ("f64", json!(1.5)),
        ("f64", json!("nan")),
        ("f32", json!("-inf")),
        ("char", json!("ß")),
        ("string", json!("Ada")),
        ("list<u8>", json!([1, 2])),
        ("list<u8, 2>", json!([1, 2])),
        (
            "record { a: u8, b: list<bool> }",
            json!({"a": 1, "b": [true]}),
        ),
        ("tuple<u8, string>", json!([1, "x"])),
        ("variant { a, b(u8) }", json!({"b": 3})),
        ("variant { a, b(u8) }", json!("a")),
        ("enum { low, mid }", json!("mid")),
        ("flags { r, w }", json!(["w"])),
        ("option<u8>", json!(null)),
        ("option<u8>", json!(7)),
        ("option<option<u8>>", json!(null)),
        ("option<option<u8>>", json!({"some": null})),
        ("option<option<u8>>", json!({"some": 7})),
        ("result<option<u8>>", json!({"ok": null})),
        ("result<option<u8>>", json!({"ok": 7})),
        ("result<_, string>", json!({"ok": null})),
        ("result<_, string>", json!({"err": "x"})),
        ("result", json!({"err": null})),
        ("map<u8, string>", json!([[1, "a"]])),
    ] {
        let ty = ty(type_text);
        let value = value_of(&ty, &given).unwrap_or_else(|error| panic!("{type_text}: {error}"));
        assert_eq!(json(&ty.wit, &value), given, "{type_text}");
    }
}

#[test]
fn json_may_be_written_in_other_ways_too() {
    for (type_text, given, expected) in [
        ("u64", json!("18446744073709551615"), "18446744073709551615"),
        ("s8", json!("-128"), "-128"),
        ("f64", json!("inf"), "inf"),
        (
            "record { a: u8, b: option<u8> }",
            json!({"a": 1}),
            "{a: 1, b: none}",
        ),
        ("result", json!("ok"), "ok"),
        ("variant { a(option<u8>) }", json!("a"), "a(none)"),
    ] {
        let value = value_of(&ty(type_text), &given);
        let value = value.unwrap_or_else(|error| panic!("{type_text}: {error}"));
        let written = text(&value).expect("text");
        // The text form leaves out fields that are `none`.
        let written = written.replace("{a: 1}", "{a: 1, b: none}");
        assert_eq!(written, expected, "{type_text}");
    }
}

/// A type, a value that isn't one of it, where it isn't, and why.
type Misfit = (&'static str, serde_json::Value, &'static str, &'static str);

fn is_named((type_text, given, at, reason): Misfit) {
    let error = value_of(&ty(type_text), &given).expect_err(type_text);
    assert_eq!(error.at, at, "{type_text}: {error}");
    assert!(error.reason.contains(reason), "{type_text}: {error}");
}

#[test]
fn what_does_not_fit_is_named() {
    for misfit in [
        ("bool", json!(1), "value", "true or false"),
        ("u8", json!(256), "value", "from 0 to 255"),
        ("u8", json!(1.5), "value", "a whole number"),
        ("u8", json!("x"), "value", "a whole number"),
        ("u8", json!(null), "value", "is null"),
        (
            "u64",
            json!("18446744073709551616"),
            "value",
            "from 0 to 18446744073709551615",
        ),
        ("f32", json!("one"), "value", "a number"),
        ("char", json!("ab"), "value", "one character"),
        ("char", json!(""), "value", "one character"),
        ("string", json!(["a"]), "value", "is a list"),
        ("list<u8>", json!([1, -1]), "value[1]", "from 0 to 255"),
        ("list<u8, 2>", json!([1]), "value", "has 1 elements"),
        ("tuple<u8, u8>", json!([1]), "value", "must have 2"),
        ("enum { low }", json!("high"), "value", "there are `low`"),
        (
            "flags { r }",
            json!(["r", "x"]),
            "value[1]",
            "there are `r`",
        ),
        (
            "variant { a, b(u8) }",
            json!("c"),
            "value",
            "there are `a`, `b`",
        ),
        (
            "variant { a, b(u8) }",
            json!("b"),
            "value.b",
            "has no value",
        ),
        (
            "variant { a, b(u8) }",
            json!({"a": 1}),
            "value",
            "write its name alone",
        ),
        (
            "variant { a, b(u8) }",
            json!({"a": 1, "b": 2}),
            "value",
            "has 2 fields",
        ),
        (
            "result<u8>",
            json!({"maybe": 1}),
            "value",
            "there are `ok`, `err`",
        ),
    ] {
        is_named(misfit);
    }
}

#[test]
fn what_does_not_fit_is_named_within_other_values() {
    let deep = "record { people: list<record { name: string, age: u8 }> }";
    for misfit in [
        ("option<u8>", json!("x"), "value", "a whole number"),
        ("option<option<u8>>", json!(7), "value", "the field `some`"),
        ("map<u8, u8>", json!([[1]]), "value[0]", "a key and a value"),
        (
            "map<u8, u8>",
            json!([[1, "x"]]),
            "value[0][1]",
            "a whole number",
        ),
        (
            deep,
            json!({"people": [{"name": "Ada", "age": "x"}]}),
            "value.people[0].age",
            "whole",
        ),
        (
            deep,
            json!({"people": [{"name": "Ada"}]}),
            "value.people[0]",
            "lacks the field `age`",
        ),
        (
            deep,
            json!({"people": [], "x": 1}),
            "value",
            "unknown field `x`",
        ),
    ] {
        is_named(misfit);
    }
}

#[test]
fn arguments_are_given_by_name_or_in_order() {
    let signature = Signature::parse("func(name: string, age: u8, title: option<string>)");
    let params = signature.expect("a signature").params;
    for given in [
        json!({"name": "Ada", "age": 36}),
        json!({"age": 36, "name": "Ada", "title": null}),
        json!(["Ada", 36]),
        json!(["Ada", "36", null]),
    ] {
        let values = arguments(&params, &given).unwrap_or_else(|error| panic!("{given}: {error}"));
        let bytes = encode(&params, &values).expect("encodes");
        assert_eq!(&bytes[..], b"\x03Ada\x24\x00", "{given}");
    }
    for (given, at, reason) in [
        (json!(null), "arguments", "by name"),
        (json!("Ada"), "arguments", "by name"),
        (json!({}), "arguments", "lacks the argument `name`"),
        (json!(["Ada"]), "arguments", "lacks the argument `age`"),
        (json!(["Ada", 36, null, 1]), "arguments", "takes 3"),
        (
            json!({"name": "Ada", "age": 300}),
            "arguments.age",
            "from 0 to 255",
        ),
        (json!(["Ada", 300]), "arguments[1]", "from 0 to 255"),
        (
            json!({"name": "Ada", "age": 1, "x": 1}),
            "arguments",
            "unknown argument `x`",
        ),
    ] {
        let error = arguments(&params, &given).expect_err("wrong");
        assert_eq!(error.at, at, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }
    let none = Signature::parse("func()").expect("a signature");
    assert_eq!(arguments(&none.params, &json!({})), Ok(Vec::new()));
    assert_eq!(arguments(&none.params, &json!([])), Ok(Vec::new()));
}

#[test]
fn values_from_json_pass_through_the_wire() {
    let type_text =
        "record { id: u64, tags: list<string>, state: variant { open, closed(option<u8>) } }";
    let given = json!({"id": u64::MAX, "tags": ["a", "b"], "state": {"closed": 3}});
    let signature = Signature::parse(&format!("func(order: {type_text}) -> {type_text}"));
    let signature = signature.expect("a signature");
    let values = arguments(&signature.params, &json!([given.clone()])).expect("fits");
    let bytes = encode(&signature.params, &values).expect("encodes");
    let ty = signature.result.expect("a result");
    let back = decode(&ty, &bytes).expect("decodes");
    assert_eq!(json(&ty.wit, &back), given);
}

#[test]
fn messages_are_short() {
    let name = "x".repeat(100_000);
    let error =
        value_of(&ty("record { a: u8 }"), &json!({ name.clone(): 1 })).expect_err("unknown");
    assert!(error.to_string().len() < 1_000);
    let error = value_of(&ty("enum { a }"), &json!(name)).expect_err("unknown");
    assert!(error.to_string().len() < 1_000);
}
