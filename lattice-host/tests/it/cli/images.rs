//! `lattice inspect`, `push` and `pull`.

use super::{
    Scene, greeter,
    registry::{PASSWORD, Registry, USER},
    text,
};

#[tokio::test]
async fn a_pushed_image_can_be_inspected_and_pulled() {
    let (scene, registry) = (Scene::new().await, Registry::start().await);
    let (http, file) = (registry.address(), greeter().display().to_string());
    let tag = format!("{http}/shop/greeter:1.0");

    let pushed = scene.prints(&["push", &file, &tag, "--plain-http", http]);
    let reference = pushed.trim();
    assert!(
        reference.starts_with(&format!("oci:{tag}@sha256:")),
        "{pushed}"
    );

    let inspect = ["inspect", reference, "--plain-http", http, "-o", "json"];
    let inspected: serde_json::Value = serde_json::from_str(&scene.prints(&inspect)).expect("JSON");
    assert_eq!(inspected["image"], reference);
    let bytes = std::fs::read(greeter()).expect("reads");
    assert_eq!(inspected["size"], bytes.len());

    let pulled = scene.folder.path().join("pulled.wasm");
    let pulled = pulled.to_str().expect("text");
    let pull = ["pull", &tag, "--plain-http", http, "-o", pulled];
    assert_eq!(scene.prints(&pull), pushed);
    assert_eq!(std::fs::read(pulled).expect("reads"), bytes);
    let (code, message) = scene.fails(&pull);
    assert_eq!(code, 3);
    assert!(message.contains("--force"), "{message}");
    scene.prints(&[&pull[..], &["--force"]].concat());

    let missing = format!("{http}/shop/greeter:2.0");
    let (code, message) = scene.fails(&["pull", &missing, "--plain-http", http]);
    assert_eq!(code, 1);
    assert!(message.contains("check repository and tag"), "{message}");
    let (code, _) = scene.fails(&["push", &file, reference, "--plain-http", http]);
    assert_eq!(code, 2, "an image can't be pushed to a digest");
    let (code, _) = scene.fails(&["pull", "no registry"]);
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_private_registry_takes_user_and_password() {
    let (scene, registry) = (Scene::new().await, Registry::private().await);
    let (http, file) = (registry.address(), greeter().display().to_string());
    let tag = format!("{http}/greeter:1");
    let push = ["push", &file, &tag, "--plain-http", http];
    let (code, message) = scene.fails(&push);
    assert_eq!(code, 1);
    assert!(message.contains("credentials"), "{message}");
    let (code, message) = scene.fails(&[&push[..], &["--user", USER]].concat());
    assert_eq!(code, 2, "the password is missing");
    assert!(message.contains("--password-file"), "{message}");
    let password = scene.file("password", format!("{PASSWORD}\n").as_bytes());
    let login = ["--user", USER, "--password-file", &password];
    scene.prints(&[&push[..], &login].concat());
    let environment = scene
        .command(&[&push[..], &login[..2]].concat())
        .env("LATTICE_REGISTRY_PASSWORD", PASSWORD)
        .output()
        .expect("runs");
    assert!(environment.status.success(), "{environment:?}");
}

#[tokio::test]
async fn inspect_prints_the_parts_of_a_component_and_refuses_other_files() {
    let scene = Scene::new().await;
    let file = greeter().display().to_string();
    let inspected = scene.prints(&["inspect", &file]);
    for part in [
        "digest      sha256:",
        "\nexports\n  example:hello/greeter@0.1.0\n    interface greeter {\n",
        "greet: func(name: string) -> result<greeting, error>;",
        "\nimports that need a link\n  lattice:keyvalue/store@0.1.0\n",
        "\nimports that its host serves\n",
        "  wasi:logging/logging@0.1.0-draft\n",
        "rustc",
    ] {
        assert!(inspected.contains(part), "{part}\n{inspected}");
    }

    let module = wat::parse_str("(module)").expect("a module");
    let mut cut = std::fs::read(greeter()).expect("reads");
    cut.truncate(cut.len() / 2);
    for (bytes, expected) in [
        (&module[..], "core module"),
        (&cut, "can't be read"),
        (b"(component)", "wasm-tools parse"),
        (b"", "nothing at all"),
    ] {
        let file = scene.file("bad.wasm", bytes);
        let (code, message) = scene.fails(&["inspect", &file]);
        assert_eq!(code, 3, "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let (code, message) = scene.fails(&["inspect", "no/such.wasm"]);
    assert_eq!(code, 1);
    assert!(message.contains("No such file"), "{message}");
    let usage = scene.run(&["inspect"]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));
}

/// A component with the function `f` in an interface, and other items.
fn served(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {more}
            (core module $m (func (export "f") (result i32) (i32.const 7)))
            (core instance $m (instantiate $m))
            (func $f (result u32) (canon lift (core func $m "f")))
            (instance (export "field:ok/probe@1.0.0") (export "f" (func $f))))"#
    );
    wat::parse_str(text).expect("a component")
}

fn wit_package() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::new();
    let package = resolve
        .push_str(
            "pkg.wit",
            "package field:pkg@0.2.0; interface a { f: func(); } world w { export a; }",
        )
        .expect("WIT");
    wit_component::encode(&resolve, package).expect("encodes")
}

#[tokio::test]
async fn components_that_hosts_refuse_are_refused_before_they_are_applied() {
    let (scene, registry) = (Scene::new().await, Registry::start().await);
    let _host = scene.up("one");
    for (bytes, says) in [
        (wit_package(), "a WIT package"),
        (
            wat::parse_str("(module)").expect("a module"),
            "wasm32-wasip2",
        ),
        (
            served(
                r#"(import "wasi:cli/environment@0.2.0-rc-2023-12-05" (instance (export "get-arguments" (func (result (list string))))))"#,
            ),
            "build the component for `wasm32-wasip2`",
        ),
        (
            served(
                r#"(import "wasi:config/store" (instance (export "get" (func (param "key" string) (result string)))))"#,
            ),
            "func(key: string) -> string",
        ),
    ] {
        let file = scene.file("bad.wasm", &bytes);
        let (code, message) = scene.fails(&["inspect", &file]);
        assert_eq!(code, 3, "{message}");
        assert!(message.contains(says), "inspect: {says}: {message}");
        let manifest = format!("name = \"bad\"\n[actors.bad]\nimage = \"file:{file}\"\n");
        let manifest = scene.file("bad.toml", manifest.as_bytes());
        for command in ["plan", "apply"] {
            let (code, message) = scene.fails(&[command, &manifest]);
            assert_eq!(code, 3, "{command}: {message}");
            assert!(message.contains(says), "{command}: {says}: {message}");
            assert!(message.contains("`bad`"), "{command}: {message}");
        }
    }
    assert!(scene.rows("actors").is_empty(), "nothing was written");
    let http = registry.address();
    let (file, tag) = (
        scene.file("wit.wasm", &wit_package()),
        format!("{http}/wit:1"),
    );
    let (code, message) = scene.fails(&["push", &file, &tag, "--plain-http", http]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("a WIT package"), "{message}");

    let big = "name = \"big\"\n[actors.big]\nlimits = { memory = \"64KiB\" }\n";
    let manifest = format!("{big}image = \"file:{}\"\n", greeter().display());
    let manifest = scene.file("big.toml", manifest.as_bytes());
    let (code, message) = scene.fails(&["plan", &manifest]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("of memory"), "{message}");
}

#[tokio::test]
async fn parts_that_cannot_be_served_are_reported_and_the_rest_is_served() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    let bytes = served(
        r#"(import "wasi:http/incoming-handler@0.2.3" (instance (export "fields" (type (sub resource)))))
           (import "wasi:logging/logging" (instance))"#,
    );
    let file = scene.file("js.wasm", &bytes);
    let inspected = scene.prints(&["inspect", &file]);
    for part in [
        "\nparts that can't be served\n  import `wasi:http/incoming-handler@0.2.3`",
        "wasi:http/outgoing-handler",
        "\nimports that its host serves\n  wasi:logging/logging\n",
    ] {
        assert!(inspected.contains(part), "{part}\n{inspected}");
    }
    let json = scene.prints(&["inspect", &file, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["imports"][0]["answered_by"], "nothing");
    let advice = json["imports"][0]["advice"].as_str().expect("advice");
    assert!(advice.contains("wasi:http/outgoing-handler"), "{advice}");
    assert_eq!(json["imports"][1]["answered_by"], "host");
    assert_eq!(json["exports"][0]["callable"], true);
    assert!(json["refused"].is_null(), "{json}");

    let manifest = format!("name = \"js\"\n[actors.js]\nimage = \"file:{file}\"\n");
    let path = scene.file("js.toml", manifest.as_bytes());
    let planned = scene.run(&["plan", &path]);
    assert!(planned.status.success(), "{planned:?}");
    let note = text(&planned.stderr);
    assert!(
        note.contains("actor `js`") && note.contains("wasi:http/incoming-handler@0.2.3"),
        "{note}"
    );
    scene.settle(&manifest);
    let called = scene.prints(&["call", "js", "field:ok/probe@1.0.0#f"]);
    assert_eq!(called.trim(), "7");
}
