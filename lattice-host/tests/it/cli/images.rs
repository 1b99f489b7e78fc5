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
        "digest     sha256:",
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
