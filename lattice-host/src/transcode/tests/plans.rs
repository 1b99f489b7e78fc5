//! Signatures, and types that plans refuse.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use super::super::{Asyncness, FunctionPlan, PlanError, Resources, Unplannable};
use super::ENGINE;

/// Returns the function `f` of an instance type, written as in a component's text, and the
/// resources of the interface.
fn function(instance: &str) -> (ComponentFunc, Arc<Resources>) {
    let text = format!(r#"(component (import "a:b/c@1.2.3" (instance {instance})))"#);
    let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let component = Component::new(&ENGINE, bytes);
    let component = component.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let ty = component.component_type();
    let import = ty
        .get_import(&ENGINE, "a:b/c@1.2.3")
        .expect("the import is there");
    let ComponentItem::ComponentInstance(instance) = import.ty else {
        panic!("not an instance")
    };
    let mut resources = Resources::default();
    for (name, item) in instance.exports(&ENGINE) {
        if let ComponentItem::Resource(ty) = item.ty {
            resources.add(ty, "a:b/c@1.2.3", name, false);
        }
    }
    match instance.get_export(&ENGINE, "f").expect("f is there").ty {
        ComponentItem::ComponentFunc(function) => (function, Arc::new(resources)),
        other => panic!("f is {other:?}"),
    }
}

fn plan(instance: &str) -> Result<FunctionPlan, PlanError> {
    let (function, resources) = function(instance);
    FunctionPlan::new(("a:b/c@1.2.3", "f"), &function, &resources)
}

fn hex(bytes: [u8; 8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn signatures_are_canonical() {
    let named = r#"
        (type $row' (record (field "id" u64) (field "tags" (list string)))) (export "row" (type $row (eq $row')))
        (type $fault' (variant (case "not-found") (case "other" string)))
        (export "fault" (type $fault (eq $fault')))
        (type $can' (flags "read" "write")) (export "can" (type $can (eq $can')))
        (type $level' (enum "low" "high")) (export "level" (type $level (eq $level')))"#;
    for (ty, text, hash) in [
        ("(func)", "func()", "4b2e737e44fef2d6"),
        ("(func async)", "async func()", "4ebff82de9eacfe9"),
        (
            r#"(func (param "a" u32) (param "b" string) (result u64))"#,
            "func(a: u32, b: string) -> u64",
            "6a07789c5ac6af95",
        ),
        (
            r#"(func async (param "name" string) (param "n" u32) (result (result $row (error $fault))))"#,
            "async func(name: string, n: u32) -> result<record { id: u64, tags: list<string> }, \
             variant { not-found, other(string) }>",
            "e6e8b60d274a76ef",
        ),
        (
            r#"(func (param "p" $can) (param "l" $level) (param "t" (tuple u8 f32)) (param "o" (option char))
                (param "m" (map string (list u8))) (param "x" (list u16 4)) (result (result (error string))))"#,
            "func(p: flags { read, write }, l: enum { low, high }, t: tuple<u8, f32>, o: option<char>, \
             m: map<string, list<u8>>, x: list<u16, 4>) -> result<_, string>",
            "703d7bd537735f7a",
        ),
        (
            r#"(func (param "a" (result)) (param "b" (result bool)) (param "c" (tuple s8 s16 s32 s64 u16 f64)))"#,
            "func(a: result, b: result<bool>, c: tuple<s8, s16, s32, s64, u16, f64>)",
            "da408d2efe7eeaa9",
        ),
    ] {
        let plan = plan(&format!(r#"{named} (export "f" {ty})"#)).unwrap();
        assert_eq!(plan.signature(), text);
        assert_eq!(hex(plan.signature_hash()), hash, "{text}");
        let asyncness = if text.starts_with("async") {
            Asyncness::Async
        } else {
            Asyncness::Sync
        };
        assert_eq!(plan.asyncness(), asyncness);
        assert_eq!((plan.interface(), plan.name()), ("a:b/c@1.2.3", "f"));
    }
}

const RESOURCE: &str = r#"(export "r" (type $r (sub resource)))"#;

#[test]
fn handles_have_a_canonical_signature() {
    let record = r#"(type $row' (record (field "id" u64) (field "owner" (own $r))))
        (export "row" (type $row (eq $row')))"#;
    let channels = "(type $bytes (stream u8)) (type $units (stream)) (type $owned (stream (own $r)))
        (type $nested (stream $bytes)) (type $late (future (result (own $r)))) (type $signal (future))";
    for (ty, text) in [
        (r#"(func (param "a" (own $r)))"#, "func(a: own<a:b/c/r>)"),
        (
            r#"(func (param "self" (borrow $r)) (param "b" (list (option (borrow $r)))) (result (own $r)))"#,
            "func(self: borrow<a:b/c/r>, b: list<option<borrow<a:b/c/r>>>) -> own<a:b/c/r>",
        ),
        (
            r#"(func (param "row" $row))"#,
            "func(row: record { id: u64, owner: own<a:b/c/r> })",
        ),
        (
            r#"(func async (param "a" $bytes) (param "b" $units) (param "c" $owned) (result $nested))"#,
            "async func(a: stream<u8>, b: stream, c: stream<own<a:b/c/r>>) -> stream<stream<u8>>",
        ),
        (
            r#"(func async (param "a" $late) (result (tuple u8 $signal)))"#,
            "async func(a: future<result<own<a:b/c/r>>>) -> tuple<u8, future>",
        ),
    ] {
        let plan = plan(&format!(
            r#"{RESOURCE} {record} {channels} (export "f" {ty})"#
        ));
        let plan = plan.unwrap_or_else(|error| panic!("{ty}: {error}"));
        assert_eq!(plan.signature(), text);
        assert!(plan.passes_handles());
        let parsed: lattice_wit::signature::Function = text.parse().unwrap();
        assert_eq!(parsed.to_string(), text);
    }
    assert!(!plan(r#"(export "f" (func))"#).unwrap().passes_handles());
}

#[test]
fn types_without_a_wire_form_are_refused_by_name_and_place() {
    let borrows = "(type $lent (stream (borrow $r))) (type $later (future (option (borrow $r))))";
    let refused = |ty: &str| {
        let refused = plan(&format!(r#"{RESOURCE} {borrows} (export "f" {ty})"#));
        let error = refused.expect_err(ty);
        assert!(error.to_string().contains("`a:b/c@1.2.3`"), "{error}");
        error.reason
    };
    let path = "a.err".to_owned();
    let kind = "error-context";
    assert_eq!(
        refused(r#"(func (param "a" (result (error error-context))))"#),
        Unplannable::Unsupported { path, kind }
    );
    for (param, path) in [("$lent", "a[]"), ("$later", "a[].some")] {
        let path = path.to_owned();
        assert_eq!(
            refused(&format!(r#"(func (param "a" {param}))"#)),
            Unplannable::BorrowInChannel { path }
        );
    }
    // One of the host's, which isn't among those that can be passed.
    let (function, _) = function(&format!(
        r#"{RESOURCE} (export "f" (func (param "a" (list (own $r)))))"#
    ));
    let error = FunctionPlan::new(("a:b/c", "f"), &function, &Arc::default()).unwrap_err();
    let path = "a[]".to_owned();
    assert_eq!(error.reason, Unplannable::UnknownResource { path });
}

/// A few types can expand to more parts than fit in memory, when each is used twice by the next.
#[test]
fn types_that_expand_to_too_many_parts_are_refused() {
    let mut types = String::from("(type $t0 (tuple u8 u8))");
    for index in 1..16 {
        let before = index - 1;
        types = format!("{types} (type $t{index} (tuple $t{before} $t{before}))");
    }
    let error = plan(&format!(r#"{types} (export "f" (func (param "a" $t15)))"#)).unwrap_err();
    assert!(
        matches!(error.reason, Unplannable::TooComplex { limit: 10_000 }),
        "{error}"
    );
    plan(&format!(r#"{types} (export "f" (func (param "a" $t10)))"#)).unwrap();
}

#[test]
fn types_that_nest_too_deeply_are_refused() {
    let nested = |depth| (0..depth).fold("u8".to_owned(), |inner, _| format!("(list {inner})"));
    let plan = |depth| {
        plan(&format!(
            r#"(export "f" (func (param "a" {})))"#,
            nested(depth)
        ))
    };
    plan(63).unwrap();
    let error = plan(64).unwrap_err();
    assert!(
        matches!(error.reason, Unplannable::TooDeep { limit: 64, .. }),
        "{error}"
    );
}

#[test]
fn values_of_a_fixed_size_over_the_limit_are_refused() {
    let error = plan(
        r#"(type $a (list u64 10000000)) (type $b (list $a 4)) (export "f" (func (param "x" (tuple u8 $b))))"#,
    );
    let Unplannable::TooLarge { path, size, .. } = error.unwrap_err().reason else {
        panic!("another error")
    };
    assert_eq!((path.as_str(), size), ("x.1", 320_000_000));
}

#[test]
fn names_count_towards_the_size_of_a_type() {
    let cases: String = (0..500).map(|index| format!(r#""c{index}" "#)).collect();
    let with_enums = |count| {
        let enums = " $e".repeat(count);
        plan(&format!(
            r#"(type $e' (enum {cases})) (export "e" (type $e (eq $e')))
            (export "f" (func (param "x" (tuple {enums}))))"#
        ))
    };
    with_enums(19).unwrap();
    assert!(matches!(
        with_enums(21).unwrap_err().reason,
        Unplannable::TooComplex { .. }
    ));
}
