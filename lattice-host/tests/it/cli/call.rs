//! `lattice call`.

use super::{Scene, greeter, text};

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
