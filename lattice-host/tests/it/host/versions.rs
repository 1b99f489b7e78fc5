//! Several versions of one interface in one component.

use super::{
    served::{SEVEN, binary, serve_number, start},
    support::*,
};
use lattice_core::{
    link::{Link, LinkMismatch},
    links::LinkError,
};
use lattice_host::{ActorError, ComponentCheck, Side};

/// A component that exports two interfaces with the function `get`, which returns 7 and 8. The
/// second one also has `more`.
fn exports_two(one: &str, other: &str) -> Vec<u8> {
    binary(&format!(
        r#"(component {SEVEN}
            (core module $m (func (export "f") (result i32) (i32.const 8)))
            (core instance $m (instantiate $m))
            (func $eight (result u32) (canon lift (core func $m "f")))
            (instance (export "{one}") (export "get" (func $seven)))
            (instance (export "{other}") (export "get" (func $eight)) (export "more" (func $eight))))"#
    ))
}

fn store(version: &str) -> String {
    format!("field:kv/store@{version}")
}

#[tokio::test]
async fn the_newer_of_two_versions_that_can_replace_each_other_serves_both() {
    for (older, newer) in [
        ("0.2.0", "0.2.1"),
        ("0.2.9", "0.2.10"),
        ("0.2.0+a", "0.2.0+b"),
        ("1.0.0", "1.9.0"),
    ] {
        // Of the newer one, `get` returns 8, and of the older one 7, or the other way round.
        for (one, other, expected) in [(older, newer, 8), (newer, older, 7)] {
            let bytes = exports_two(&store(one), &store(other));
            let check = ComponentCheck::of(&bytes).expect("it is served");
            assert_eq!(
                check.callable,
                [store(newer), "field:ok/probe@1.0.0".to_owned()]
            );
            let [unserved] = &check.unserved[..] else {
                panic!("one interface: {:?}", check.unserved)
            };
            assert_eq!(
                (unserved.side, &unserved.name),
                (Side::Export, &store(older))
            );
            assert_eq!(unserved.functions, ["get"]);
            assert!(unserved.reason.contains(&store(newer)), "{unserved}");
            let (lattice, _host) = start(&bytes).await.expect("it starts");
            for version in [older, newer] {
                for (function, expected) in [("get", expected), ("more", 8)] {
                    let got = call(&lattice, "probe", &store(version), function, ()).await;
                    let got: u32 = got.unwrap_or_else(|error| panic!("{version}: {error}"));
                    assert_eq!(got, expected, "{function} of {version}");
                }
            }
        }
    }
}

#[tokio::test]
async fn three_versions_that_can_replace_each_other_are_served_by_the_newest() {
    for [a, b, c] in [["0.2.0", "0.2.1", "0.2.2"], ["0.2.2", "0.2.0", "0.2.1"]] {
        let [a, b, c] = [a, b, c].map(store);
        let bytes = binary(&format!(
            r#"(component {SEVEN}
                (instance (export "{a}") (export "get" (func $seven)))
                (instance (export "{b}") (export "get" (func $seven)))
                (instance (export "{c}") (export "get" (func $seven))))"#
        ));
        let check = ComponentCheck::of(&bytes).expect("it is served");
        assert_eq!(
            check.callable,
            [store("0.2.2"), "field:ok/probe@1.0.0".to_owned()]
        );
        let unserved = check.unserved.iter().map(|unserved| &unserved.name);
        let unserved: Vec<_> = unserved.collect();
        assert_eq!(unserved, [&store("0.2.0"), &store("0.2.1")]);
    }
}

#[tokio::test]
async fn versions_that_can_not_replace_each_other_are_told_apart() {
    for (one, other) in [
        ("0.2.0", "0.3.0"),
        ("1.0.0-rc.1", "1.0.0-rc.2"),
        ("1.0.0", "2.0.0"),
    ] {
        let bytes = exports_two(&store(one), &store(other));
        let (lattice, _host) = start(&bytes).await.expect("they differ");
        for (version, expected) in [(one, 7), (other, 8)] {
            let got: Result<u32, _> = call(&lattice, "probe", &store(version), "get", ()).await;
            assert_eq!(got.expect("it is served"), expected, "{version}");
        }
    }
}

#[tokio::test]
async fn two_exports_of_one_name_without_versions_are_refused() {
    let bytes = exports_two("core", "lattice:interface/core");
    let refused = start(&bytes).await.err();
    let Some(ActorError::SameFunction { function, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(function, "get");
}

/// A component that imports two versions of an interface with one function each. Its functions
/// `one` and `other` call them.
fn imports_two(one: &str, other: (&str, &str)) -> Vec<u8> {
    let (other, result) = other;
    let core = if result == "u64" { "i64" } else { "i32" };
    binary(&format!(
        r#"(component {SEVEN}
            (import "field:kv/store@{one}" (instance $one (export "f" (func (result u32)))))
            (import "field:kv/store@{other}" (instance $other (export "f" (func (result {result})))))
            (core func $one (canon lower (func $one "f")))
            (core func $other (canon lower (func $other "f")))
            (core module $m
                (import "i" "one" (func $one (result i32))) (import "i" "other" (func $other (result {core})))
                (func (export "one") (result i32) (call $one))
                (func (export "other") (result {core}) (call $other)))
            (core instance $m (instantiate $m
                (with "i" (instance (export "one" (func $one)) (export "other" (func $other))))))
            (func $call-one (result u32) (canon lift (core func $m "one")))
            (func $call-other (result {result}) (canon lift (core func $m "other")))
            (instance (export "field:caller/probe@1.0.0")
                (export "one" (func $call-one)) (export "other" (func $call-other))))"#
    ))
}

/// Links `probe` to a component through a version of the interface.
async fn link_version(
    lattice: &lattice_core::Lattice,
    version: &str,
    target: &str,
) -> Result<(), LinkError> {
    let interface = format!("field:kv/store@{version}");
    let link = Link::new("probe", &*interface, target).expect("a link");
    lattice.links().put(link).await.map(drop)
}

async fn numbers(lattice: &lattice_core::Lattice) -> (u32, u32) {
    let number = async |function: &str| -> u32 {
        let called = call(lattice, "probe", "field:caller/probe@1.0.0", function, ()).await;
        called.unwrap_or_else(|error| panic!("{function}: {error}"))
    };
    (number("one").await, number("other").await)
}

/// One link serves all versions that can replace each other, whichever of them it names.
#[tokio::test]
async fn two_compatible_versions_of_an_import_use_one_link() {
    let bytes = imports_two("0.2.0", ("0.2.1", "u32"));
    let check = ComponentCheck::of(&bytes).expect("it is served");
    assert_eq!(
        check.by_link,
        ["field:kv/store@0.2.0", "field:kv/store@0.2.1"]
    );
    for (linked, served) in [("0.2.0", "0.2.1"), ("0.2.1", "0.2.0"), ("0.2.7", "0.2.7")] {
        let (lattice, host) = start(&bytes).await.expect("it starts");
        serve_number(&host, "peer", &format!("field:kv/store@{served}"), 20).await;
        link_version(&lattice, linked, "peer").await.expect("put");
        assert_eq!(numbers(&lattice).await, (20, 20), "{linked} and {served}");
        // A second link can't separate the versions.
        let refused = link_version(&lattice, "0.2.9", "another").await;
        let refused = refused.expect_err("there is one");
        assert!(matches!(refused, LinkError::Conflict { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains("`peer`, for all compatible versions of the interface"),
            "{text}"
        );
        assert_eq!(numbers(&lattice).await, (20, 20));
    }
}

#[tokio::test]
async fn two_incompatible_versions_of_an_import_use_a_link_each() {
    for (one, other) in [("0.2.0", "0.3.0"), ("1.0.0-rc.1", "1.0.0-rc.2")] {
        let bytes = imports_two(one, (other, "u32"));
        let (lattice, host) = start(&bytes).await.expect("it starts");
        for (id, version, number) in [("first", one, 20), ("second", other, 21)] {
            serve_number(&host, id, &format!("field:kv/store@{version}"), number).await;
            link_version(&lattice, version, id).await.expect("put");
        }
        assert_eq!(numbers(&lattice).await, (20, 21), "{one} and {other}");
    }
}

#[tokio::test]
async fn compatible_versions_of_an_import_with_different_types_are_refused_by_name() {
    let bytes = imports_two("0.2.0", ("0.2.1", "u64"));
    let (lattice, host) = start(&bytes).await.expect("it starts");
    serve_number(&host, "peer", "field:kv/store@0.2.0", 20).await;
    let refused = link_version(&lattice, "0.2.0", "peer").await;
    let refused = refused.expect_err("one of the versions can't be served");
    assert!(
        matches!(
            refused,
            LinkError::LinkMismatch(LinkMismatch::SchemaMismatch { .. })
        ),
        "{refused:?}"
    );
    let text = refused.to_string();
    assert!(
        text.contains("`field:kv/store@0.2.1#f` has type `func() -> u64`"),
        "{text}"
    );
}
