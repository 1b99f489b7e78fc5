//! The options for what of a host's machine the settings of providers may name.

use super::{PATIENCE, Process, Scene, text};
use std::{process::Stdio, time::Instant};

#[tokio::test]
async fn a_host_takes_what_providers_may_name_from_its_options() {
    let scene = Scene::new().await;
    for (option, variable, value, expected) in [
        (
            "--provider-files",
            "LATTICE_PROVIDER_FILES",
            "/no/such/folder",
            "isn't a folder",
        ),
        (
            "--provider-env",
            "LATTICE_PROVIDER_ENV",
            "",
            "all variables",
        ),
    ] {
        let (code, message) = scene.fails(&["up", option, value]);
        assert_eq!(code, 2, "{message}");
        assert!(
            message.contains(option) && message.contains(expected),
            "{message}"
        );
        // An empty variable is one that isn't set.
        let value = if value.is_empty() { "SHOP_,," } else { value };
        let output = scene.command(&["up"]).env(variable, value).output();
        let output = output.expect("runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = text(&output.stderr);
        assert!(
            message.contains(variable) && message.contains(expected),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_app_stores_in_the_folder_of_the_option_and_nowhere_else() {
    let scene = Scene::new().await;
    let folder = scene.folder.path().join("files");
    std::fs::create_dir(&folder).expect("created");
    let folder = folder.to_str().expect("a text");
    let up = scene
        .command(&["up", "--id", "one", "--provider-files", folder])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _host = Process(up.expect("starts"));
    let store = |id: &str, path: &str| {
        format!("[providers.{id}]\nbuiltin = \"keyvalue-file\"\nconfig = {{ path = \"{path}\" }}\n")
    };
    let inside = format!("name = \"shop\"\n{}", store("inside", "kv.redb"));
    scene.settle(&inside);
    let outside = store("outside", &format!("{folder}/../kv.redb"));
    let file = scene.file("app.toml", (inside + &outside).as_bytes());
    scene.prints(&["apply", &file]);
    let begun = Instant::now();
    loop {
        // Its exit code says that the component isn't well.
        let explained = scene.run(&["explain", "component", "outside"]);
        let explained = text(&explained.stdout);
        if explained.contains("isn't in a folder") {
            assert!(
                explained.contains("`lattice up --provider-files`"),
                "{explained}"
            );
            assert!(!explained.contains("provider_access"), "{explained}");
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{explained}");
    }
}
