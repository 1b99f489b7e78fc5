//! `lattice call`.

use super::{PATIENCE, Process, Scene, bare, greeter, text};
use crate::nats::{NatsConfig, free_address};
use std::{
    process::{Output, Stdio},
    time::Instant,
};

const SUMS: &str = r#"(component
    (core module $m
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "crash") (unreachable)))
    (core instance $i (instantiate $m))
    (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (func $crash (canon lift (core func $i "crash")))
    (instance (export "example:math/sums@1.0.0") (export "add" (func $add)) (export "crash" (func $crash))))"#;
const ADD: &str = "example:math/sums@1.0.0#add";
const GREET: &str = "example:hello/greeter@0.1.0#greet";

/// Starts a host that serves both components.
async fn scene() -> (Scene, super::Process) {
    let scene = Scene::new().await;
    let host = scene.up("one");
    let sums = scene.file("sums.wasm", &wat::parse_str(SUMS).expect("a component"));
    let greeter = greeter().display().to_string();
    scene.settle(&format!(
        "name = \"shop\"\n[actors.sums]\nimage = \"file:{sums}\"\n[actors.greeter]\nimage = \"file:{greeter}\"\n"
    ));
    (scene, host)
}

#[tokio::test]
async fn results_and_errors_of_a_call_are_printed_and_set_the_exit_code() {
    let (scene, _host) = scene().await;
    assert_eq!(scene.prints(&["call", "sums", ADD, "2, 3"]), "5\n");
    assert_eq!(scene.prints(&["call", "sums", ADD, "2", "3"]), "5\n");
    let json = ["call", "sums", ADD, "2", "3", "-o", "json", "--idempotent"];
    assert_eq!(scene.prints(&json), "5\n");

    let refused = scene.run(&["call", "greeter", GREET, "\"\""]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert_eq!(text(&refused.stdout), "err(empty-name)\n");
    let refused = scene.run(&["call", "greeter", GREET, "\"\"", "-o", "json"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let json: serde_json::Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(json, serde_json::json!({ "err": "empty-name" }));

    // It counts visits in a store, to which it has no link. Its error is a sentence.
    let unlinked = scene.run(&["call", "greeter", GREET, "\"Ann\""]);
    assert_eq!(unlinked.status.code(), Some(5), "{unlinked:?}");
    let answer = text(&unlinked.stdout);
    let sentence =
        "err(other(\"component `greeter` has no link `default` for `lattice:keyvalue/store@";
    assert!(answer.starts_with(sentence), "{answer}");
    assert!(
        answer.contains("`lattice link add greeter lattice:keyvalue/store@"),
        "{answer}"
    );
    for debug in ["Error::", "Error {", "Other(", "Some(", "Link::"] {
        assert!(!answer.contains(debug), "{answer}");
    }

    let (code, message) = scene.fails(&["call", "sums", "example:math/sums@1.0.0#crash"]);
    assert_eq!(code, 8, "{message}");
    let (code, message) = scene.fails(&["call", "sums", ADD, "2, -3"]);
    assert_eq!(code, 2);
    assert!(
        message.contains("at column 4:\n    2, -3\n       ^^\n"),
        "{message}"
    );
    assert!(message.contains("`b` is a u32"), "{message}");
    assert!(message.contains("func(a: u32, b: u32) -> u32"), "{message}");
    let (code, message) = scene.fails(&["call", "sums", ADD, "2"]);
    assert_eq!(code, 2, "{message}");

    for (component, function, meant) in [
        ("sum", ADD, "`sums`"),
        (
            "sums",
            "example:math/sum@1.0.0#add",
            "`example:math/sums@1.0.0`",
        ),
        ("sums", "example:math/sums@1.0.0#ad", "`add`"),
    ] {
        let (code, message) = scene.fails(&["call", component, function]);
        assert_eq!(code, 6, "{message}");
        assert!(
            message.contains(&format!("did you mean {meant}?")),
            "{message}"
        );
    }
    for arguments in [["sums", "add"], ["sums", "math#add"], ["SUMS", ADD]] {
        let (code, message) = scene.fails(&["call", arguments[0], arguments[1]]);
        assert_eq!(code, 2, "{message}");
    }
}

/// The lattice's store is on one server, and its bus on another one, which goes on without the
/// first.
#[tokio::test]
async fn a_call_with_a_snapshot_works_while_the_server_of_the_store_is_dead() {
    let leaves = free_address();
    let hub = format!(
        "server_name: hub\njetstream {{ store_dir: \"$DIR/js\", domain: hub }}\nleafnodes {{ listen: \"{leaves}\" }}"
    );
    let mut hub = NatsConfig::default().text(&hub).start().await;
    let edge =
        format!("server_name: edge\nleafnodes {{ remotes: [{{ url: \"nats://{leaves}\" }}] }}");
    let edge = NatsConfig::default().text(&edge).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let url = edge.url();
    let common = ["--nats", url.as_str(), "--jetstream-domain", "hub"];
    let command = |args: &[&str]| {
        let mut command = bare();
        command
            .args(args)
            .args(common)
            .env("LATTICE_KEY", "5a".repeat(32));
        command
    };
    let run = |args: &[&str]| -> Output { command(args).output().expect("runs") };

    let begun = Instant::now();
    // The edge may not be connected to the hub yet.
    while !run(&["get", "hosts"]).status.success() {
        assert!(begun.elapsed() < PATIENCE, "the store is not reached");
    }
    let mut host = command(&["up", "--id", "one"]);
    let host = host.stdin(Stdio::null()).stderr(Stdio::null());
    let _host = Process(host.spawn().expect("starts"));
    std::fs::write(file("sums.wasm"), wat::parse_str(SUMS).expect("valid")).expect("written");
    let manifest = "name = \"shop\"\n[actors.sums]\nimage = \"file:sums.wasm\"\n";
    std::fs::write(file("app.toml"), manifest).expect("written");
    let applied = run(&["apply", &file("app.toml")]);
    assert!(applied.status.success(), "{applied:?}");
    let settled = run(&["watch", "--until", "settled", "--for", "60s"]);
    assert!(settled.status.success(), "{settled:?}");
    let snapshot = file("snapshot");
    let call = ["call", "sums", ADD, "2", "3", "--snapshot", &snapshot];
    let before = run(&call);
    assert_eq!(text(&before.stdout), "5\n", "{before:?}");

    hub.kill();
    let during = run(&call);
    assert_eq!(text(&during.stdout), "5\n", "{during:?}");
    let without = run(&["call", "sums", ADD, "2", "3"]);
    assert_eq!(without.status.code(), Some(4), "{without:?}");
    let message = text(&without.stderr);
    assert!(message.contains("--snapshot FILE"), "{message}");
}
