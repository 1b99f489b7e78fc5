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

/// The text of a package without its documentation.
fn declared(package: &Package) -> String {
    let lines = package.files.iter().flat_map(|file| file.text.lines());
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    let words = code.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_standard_interfaces_are_as_published() {
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
        declared(&lattice_wit::WASMCLOUD_MESSAGING),
        "package wasmcloud:messaging@0.2.0; \
         interface types { \
         record broker-message { subject: string, body: list<u8>, reply-to: option<string>, } } \
         interface handler { use types.{broker-message}; \
         handle-message: func(msg: broker-message) -> result<_, string>; } \
         interface consumer { use types.{broker-message}; \
         request: func(subject: string, body: list<u8>, timeout-ms: u32) \
         -> result<broker-message, string>; \
         publish: func(msg: broker-message) -> result<_, string>; }"
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

/// The declarations of a store whose cursor has this type.
fn keyvalue_store(version: &str, cursor: &str) -> String {
    format!(
        "package wasi:keyvalue@{version}; \
         interface store {{ \
         variant error {{ no-such-store, access-denied, other(string), }} \
         record key-response {{ keys: list<string>, cursor: option<{cursor}>, }} \
         open: func(identifier: string) -> result<bucket, error>; \
         resource bucket {{ \
         get: func(key: string) -> result<option<list<u8>>, error>; \
         set: func(key: string, value: list<u8>) -> result<_, error>; \
         delete: func(key: string) -> result<_, error>; \
         exists: func(key: string) -> result<bool, error>; \
         list-keys: func(cursor: option<{cursor}>) -> result<key-response, error>; }} }} \
         world imports {{ import store; import atomics; import batch; }} \
         world watch-service {{ include imports; export watcher; }}"
    )
}

#[test]
fn both_drafts_of_keyvalue_are_as_published() {
    let batch = "interface batch { use store.{bucket, error}; \
        get-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<list<option<tuple<string, list<u8>>>>, error>; \
        set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>; \
        delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>; }";
    let watcher = "interface watcher { use store.{bucket}; \
        on-set: func(bucket: bucket, key: string, value: list<u8>); \
        on-delete: func(bucket: bucket, key: string); }";
    let atomics = "interface atomics { use store.{bucket, error}; \
        increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>; }";
    let atomics2 = "interface atomics { use store.{bucket, error}; \
        variant cas-error { store-error(error), cas-failed(cas), } \
        resource cas { \
        new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>; \
        current: func() -> result<option<list<u8>>, error>; } \
        increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>; \
        swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>; }";
    for (package, cursor, atomics) in [
        (lattice_wit::WASI_KEYVALUE, "u64", atomics),
        (lattice_wit::WASI_KEYVALUE_DRAFT2, "string", atomics2),
    ] {
        let version = package.version;
        let header = format!("package wasi:keyvalue@{version};");
        let expected = [
            keyvalue_store(version, cursor),
            format!("{header} {atomics}"),
            format!("{header} {batch}"),
            format!("{header} {watcher}"),
        ];
        assert_eq!(declared(&package), expected.join(" "));
    }
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
