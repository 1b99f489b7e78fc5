//! The texts are complete: they parse, have the listed names, and are part of the published crate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use lattice_wit::{PACKAGES, Package};
use wit_parser::{Resolve, SourceMap, Type, TypeDefKind};

fn parse(package: &Package) -> (Resolve, wit_parser::PackageId) {
    let mut sources = SourceMap::new();
    for file in package.files {
        sources.push(Path::new(file.path), file.text);
    }
    let group = sources.parse().map_err(|(_, error)| error).unwrap();
    let mut resolve = Resolve::default();
    let id = resolve.push_group(group).unwrap();
    (resolve, id)
}

#[test]
fn each_package_parses_and_has_the_name_it_is_listed_under() {
    for package in PACKAGES {
        let (resolve, id) = parse(package);
        let found = resolve.packages[id].name.to_string();
        assert_eq!(found, format!("{}@{}", package.name, package.version));
    }
}

#[test]
fn each_item_is_documented() {
    for package in PACKAGES {
        let (resolve, _) = parse(package);
        for (_, interface) in &resolve.interfaces {
            let name = interface.name.as_deref().unwrap();
            assert!(interface.docs.contents.is_some(), "{}/{name}", package.name);
            for (function, item) in &interface.functions {
                assert!(
                    item.docs.contents.is_some(),
                    "{}/{name}.{function}",
                    package.name
                );
            }
            for (ty, id) in &interface.types {
                let definition = &resolve.types[*id];
                // One that is used from another interface is documented there.
                let is_used = matches!(definition.kind, TypeDefKind::Type(Type::Id(_)));
                assert!(
                    is_used || definition.docs.contents.is_some(),
                    "{}/{name}.{ty}",
                    package.name
                );
            }
        }
    }
}

#[test]
fn the_standard_interfaces_are_as_published() {
    let declared = |package: &Package| -> String {
        let lines = package.files.iter().flat_map(|file| file.text.lines());
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        let words = code.flat_map(str::split_whitespace);
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        declared(&lattice_wit::WASI_LOGGING),
        "package wasi:logging@0.1.0-draft; \
         interface logging { \
         enum level { trace, debug, info, warn, error, critical, } \
         log: func(level: level, context: string, message: string); } \
         world imports { import logging; }"
    );
    assert_eq!(
        declared(&lattice_wit::WASI_CONFIG),
        "package wasi:config@0.2.0-rc.1; \
         interface store { \
         variant error { upstream(string), io(string), } \
         get: func(key: string) -> result<option<string>, error>; \
         get-all: func() -> result<list<tuple<string, string>>, error>; } \
         world imports { import store; }"
    );
    assert_eq!(
        declared(&lattice_wit::WASMCLOUD_SECRETS),
        "package wasmcloud:secrets@0.1.0-draft; \
         interface store { \
         variant secrets-error { upstream(string), io(string), not-found, } \
         variant secret-value { %string(string), bytes(list<u8>), } \
         resource secret; \
         get: func(key: string) -> result<secret, secrets-error>; } \
         interface reveal { use store.{secret, secret-value}; \
         reveal: func(s: borrow<secret>) -> secret-value; }"
    );
}

#[test]
fn the_queries_of_wasmcloud_are_as_published() {
    let files = lattice_wit::WASMCLOUD_POSTGRES.files.iter();
    let lines = files.flat_map(|file| file.text.lines());
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let declared = words.join(" ");
    for part in [
        "type hashable-f64 = tuple<u64, s16, s8>;",
        "variant query-error { invalid-params(string), invalid-query(string), unexpected(string), }",
        "record result-row-entry { column-name: string, value: pg-value, } \
         type result-row = list<result-row-entry>;",
        "query: func(query: string, params: list<pg-value>) -> \
         result<list<result-row>, query-error>; \
         query-batch: func(query: string) -> result<_, query-error>; }",
    ] {
        assert!(declared.contains(part), "{part}");
    }
    let values = declared.split("variant pg-value {").nth(1);
    let values = values.and_then(|rest| rest.split('}').next());
    let cases = values.expect("the values").matches("), ").count();
    // All but `null`, which has no payload.
    assert_eq!(cases, 96);
}

#[test]
fn a_published_crate_holds_every_text_of_every_folder() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new(env!("CARGO"))
        .args([
            "package",
            "--list",
            "--allow-dirty",
            "--offline",
            "-p",
            env!("CARGO_PKG_NAME"),
        ])
        .current_dir(crate_dir)
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let packaged: BTreeSet<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .filter(|line| {
            Path::new(line)
                .extension()
                .is_some_and(|extension| extension == "wit")
        })
        .map(str::to_owned)
        .collect();

    let embedded = PACKAGES.iter().flat_map(|package| package.files);
    let embedded: BTreeSet<String> = embedded.map(|file| file.path.to_owned()).collect();
    assert_eq!(packaged, embedded);
}
