//! The imports of compiled guests: the interfaces that they call, and no others from the SDK.
//!
//! Needs the compiled guests: run `.ci/guests.sh` first.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use wit_bindgen_core::wit_parser::decoding::{DecodedWasm, decode};

/// Returns the interfaces that a component imports and exports, without those of WASI that the
/// standard library needs.
fn interfaces(guest: &str) -> (Vec<String>, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(format!("target/guests/wasm32-wasip2/release/{guest}.wasm"));
    let component = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run .ci/guests.sh first", path.display()));
    let DecodedWasm::Component(resolve, world) = decode(&component).unwrap() else {
        panic!("{} isn't a component", path.display());
    };
    let from_std = [
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:filesystem/",
        "wasi:io/",
        "wasi:random/",
        "wasi:sockets/",
    ];
    let names = |keys: Vec<_>| {
        let names = keys.into_iter().map(|key| resolve.name_world_key(key));
        let mut names: Vec<String> = names
            .filter(|name| !from_std.iter().any(|package| name.starts_with(package)))
            .collect();
        names.sort();
        names
    };
    let world = &resolve.worlds[world];
    (
        names(world.imports.keys().collect()),
        names(world.exports.keys().collect()),
    )
}

#[test]
fn a_client_of_the_sdk_that_is_called_is_imported() {
    let (imports, exports) = interfaces("greeter");
    assert_eq!(
        imports,
        [
            "lattice:keyvalue/store@0.1.0",
            "wasi:logging/logging@0.1.0-draft"
        ]
    );
    assert_eq!(exports, ["example:hello/greeter@0.1.0"]);
}

#[test]
fn a_client_of_the_sdk_that_is_not_called_adds_no_import() {
    let (imports, exports) = interfaces("shapes");
    assert_eq!(
        imports,
        [
            "lattice-test:shapes/echo-async@0.1.0",
            "lattice-test:shapes/echo@0.1.0",
            "lattice-test:shapes/gate@0.1.0",
            "lattice-test:shapes/types@0.1.0",
        ]
    );
    assert_eq!(exports.len(), 3);
}

#[test]
fn a_component_has_the_imports_of_its_own_world_and_of_the_sdk() {
    let (imports, _) = interfaces("front_desk");
    assert_eq!(
        imports,
        [
            "example:hello/greeter@0.1.0",
            "wasi:logging/logging@0.1.0-draft"
        ]
    );
}

#[test]
fn a_type_that_both_worlds_use_is_imported_once() {
    let (imports, exports) = interfaces("mischief");
    assert_eq!(
        imports,
        [
            "lattice-test:mischief/peer@0.1.0",
            "lattice-test:mischief/types@0.1.0",
            "lattice:rpc/links@0.1.0",
            "lattice:rpc/types@0.1.0",
            "wasi:logging/logging@0.1.0-draft",
        ]
    );
    assert_eq!(
        exports,
        [
            "lattice-test:mischief/acts@0.1.0",
            "lattice-test:mischief/peer@0.1.0"
        ]
    );
}

#[test]
fn a_handler_of_requests_has_clients_and_other_exports_beside_it() {
    let (imports, exports) = interfaces("shortener");
    assert_eq!(
        imports,
        [
            "lattice:sql/database@0.1.0",
            "wasi:http/types@0.2.12",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/store@0.2.0-draft2",
            "wasi:logging/logging@0.1.0-draft",
            "wasmcloud:messaging/consumer@0.2.0",
            "wasmcloud:messaging/types@0.2.0",
        ]
    );
    assert_eq!(
        exports,
        [
            "lattice:schedule/handler@0.1.0",
            "wasi:http/incoming-handler@0.2.12"
        ]
    );
}

#[test]
fn a_handler_of_requests_runs_on_every_host_that_serves_wasi_http() {
    let (imports, exports) = interfaces("hello_http");
    assert_eq!(imports, ["wasi:http/types@0.2.12"]);
    assert_eq!(exports, ["wasi:http/incoming-handler@0.2.12"]);
    let (imports, _) = interfaces("http_sdk");
    // It writes to the log.
    assert_eq!(
        imports,
        [
            "wasi:http/outgoing-handler@0.2.12",
            "wasi:http/types@0.2.12",
            "wasi:logging/logging@0.1.0-draft"
        ]
    );
}
