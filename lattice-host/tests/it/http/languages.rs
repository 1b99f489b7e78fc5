//! Handlers that were built by toolchains for several languages, behind wormholes, unmodified. One
//! that couldn't be built here is skipped, and the reason is printed.

use super::door::Door;
use lattice_host::{Actor, ByteSize, Instances, Limits};
use std::{path::Path, time::Duration};

/// Returns the component that a script has built, or why it hasn't.
fn built(path: &str) -> Result<Actor, String> {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests");
    let file = Path::new(guests).join(path).with_extension("wasm");
    if !file.exists() {
        let reason = std::fs::read_to_string(file.with_extension("missing.txt"));
        return Err(reason.unwrap_or_else(|_| "run `make guests`".to_owned()));
    }
    // All but the one in Rust contain an interpreter.
    let limits = Limits::default()
        .memory(ByteSize::mib(256))
        .table_elements(100_000)
        .cpu(Duration::from_secs(20));
    Ok(Actor::from_file(file).limits(limits))
}

/// Sends requests through a wormhole to a handler, in these kinds of instances.
async fn says_hello(path: &str, language: &str, kinds: &[Instances]) {
    let actor = match built(path) {
        Ok(actor) => actor,
        Err(reason) => {
            println!("skipped, because there is no guest in {language}: {reason}");
            return;
        }
    };
    // Only the log says why a request was not served. Another test may have set it up.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_test_writer()
        .try_init();
    for instances in kinds {
        let door = Door::to(actor.clone().instances(*instances)).await;
        for round in 1..=3 {
            let target = format!("/round/{round}");
            let response = door.get(&target).await;
            let expected = format!("Hello from {language}, at {target}!\n");
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
            assert!(response.contains(&expected), "{response}");
        }
    }
}

/// Asks a handler for what only the platform has that its toolchain is for: each path is answered
/// with the interface for which there is no link.
async fn is_denied(path: &str, asked: &[(&str, &str)]) {
    let Ok(actor) = built(path) else {
        return println!("skipped, because there is no `{path}`");
    };
    let door = Door::to(actor).await;
    for (path, interface) in asked {
        let response = door.get(path).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        let expected = format!("has no link `default` for `{interface}`");
        assert!(response.contains(&expected), "{path}: {response}");
    }
}

/// Fresh and warm ones.
fn both() -> [Instances; 2] {
    [Instances::Fresh, Instances::warm()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_rust_serves_requests() {
    says_hello("wasm32-wasip2/release/hello_http", "Rust", &both()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_python_serves_requests() {
    says_hello("python/hello_http", "Python", &both()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_javascript_serves_requests() {
    // Its runtime serves one request for each instance.
    says_hello("javascript/hello_http", "JavaScript", &[Instances::Fresh]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_wasi_0_3_in_python_serves_requests() {
    says_hello("python/hello_http_p3", "Python", &both()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_wasi_0_3_in_javascript_serves_requests() {
    says_hello("javascript/hello_http_p3", "JavaScript", &both()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_spins_sdk_serves_requests_and_is_denied_what_only_spin_has() {
    let path = "wasm32-wasip2/release/http_spin";
    says_hello(path, "Spin", &both()).await;
    let asked = [
        ("/store", "spin:key-value/key-value@3.0.0"),
        ("/variable", "spin:variables/variables@3.0.0"),
    ];
    is_denied(path, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_wasmclouds_crate_serves_requests_and_is_denied_what_only_wasmcloud_has() {
    let path = "wasm32-wasip2/release/http_wasmcloud";
    says_hello(path, "wasmCloud", &both()).await;
    let asked = [
        ("/store", "wasi:keyvalue/store@0.2.0-draft"),
        ("/links", "wasmcloud:bus/lattice@2.0.0"),
    ];
    is_denied(path, &asked).await;
}
