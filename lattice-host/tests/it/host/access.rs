//! What of its machine a host lets the settings of an app's providers, and the configs of its
//! actors, name.

use super::{support::*, wasi::CONFIGURED};
use crate::wait::until;
use lattice_core::{Lattice, app::App, name::ComponentId};
use lattice_host::{Access, Host};
use lattice_provider_sdk::{Secret, settings};
use lattice_providers::blobstore::{Memory, MemorySettings};

fn component(id: &str) -> ComponentId {
    ComponentId::new(id).expect("an id")
}

async fn apply(lattice: &Lattice, text: &str) {
    let app = App::from_toml("app.toml", text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
}

/// Waits until the host says why it doesn't serve the component.
async fn reason(host: &Host, id: &str) -> String {
    let agent = host.agent().expect("the host has an agent");
    let reason = || agent.state().components.get(&component(id))?.reason.clone();
    until("a failure is reported", || reason().is_some()).await;
    reason().expect("it is reported")
}

/// Waits until the component is served.
async fn served(lattice: &Lattice, id: &str) {
    let id = component(id);
    until("it serves", || {
        let peers = lattice.peers();
        peers.iter().any(|peer| peer.components.contains_key(&id))
    })
    .await;
}

#[tokio::test]
async fn a_provider_of_an_app_uses_only_files_that_the_host_allows() {
    let lattice = lattice().await;
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).expect("created");
    let host = Host::builder(&lattice).provider_access(Access::none().folder(&inside));
    let host = started(host).await;
    let outside = folder.path().join("outside.redb");
    let text = format!(
        "name = \"test\"\n[providers.inside]\nbuiltin = \"keyvalue-file\"\nconfig = {{ path = \"kv.redb\" }}\n\
         [providers.outside]\nbuiltin = \"keyvalue-file\"\nconfig = {{ path = \"{outside}\" }}\n\
         [providers.web]\nbuiltin = \"http\"\nconfig = {{ ca-file = \"{outside}\" }}\n\
         [providers.variables]\nbuiltin = \"secrets\"\nconfig = {{ env-prefix = \"CARGO_\" }}\n",
        outside = outside.display()
    );
    apply(&lattice, &text).await;
    served(&lattice, "inside").await;
    assert!(inside.join("kv.redb").is_file());
    for id in ["outside", "web"] {
        let refused = reason(&host, id).await;
        assert!(
            refused.contains("isn't in a folder that this host lets providers use"),
            "{refused}"
        );
    }
    assert!(!outside.exists());
    let refused = reason(&host, "variables").await;
    assert!(
        refused.contains("doesn't let providers use variables"),
        "{refused}"
    );
}

#[tokio::test]
async fn no_provider_of_an_app_names_files_and_variables_by_default() {
    let lattice = lattice().await;
    // One of the host's own program parses its settings in the same bounds.
    let host = Host::builder(&lattice).builtin("own", |config| {
        #[derive(serde::Deserialize)]
        struct Settings {
            password: Secret,
        }
        let parsed = settings::<Settings>(config);
        let parsed =
            parsed.map_err(|refusal| lattice_core::agent::RuntimeError::new(refusal.reason()))?;
        assert_eq!(parsed.password.expose(), "enigma");
        Ok(Memory::new(MemorySettings::default()))
    });
    let host = started(host).await;
    let own = |id: &str, password: &str| {
        format!("[providers.{id}]\nbuiltin = \"own\"\nconfig = {{ password = '{password}' }}\n")
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.redb");
    let text = format!(
        "name = \"test\"\n[providers.store]\nbuiltin = \"keyvalue-file\"\nconfig = {{ path = \"{}\" }}\n\
         [providers.web]\nbuiltin = \"http\"\nconfig = {{ ca-file = \"/etc/hostname\" }}\n{}{}{}",
        path.display(),
        own("file", r#"{ "file": "/etc/hostname" }"#),
        own("variable", r#"{ "env": "PATH" }"#),
        own("plain", "enigma"),
    );
    apply(&lattice, &text).await;
    served(&lattice, "plain").await;
    for id in ["store", "web", "file"] {
        let refused = reason(&host, id).await;
        assert!(
            refused.contains("this host lets providers use no files"),
            "{refused}"
        );
    }
    assert!(!path.exists());
    let refused = reason(&host, "variable").await;
    assert!(
        refused.contains("doesn't let providers use variables"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_settings_of_the_web_are_checked_when_it_starts() {
    let lattice = lattice().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key.pem"), "enigma").expect("written");
    let host = Host::builder(&lattice).provider_access(Access::none().folder(folder.path()));
    let host = started(host).await;
    let web = |id: &str, config: &str| {
        format!("[providers.{id}]\nbuiltin = \"http\"\nconfig = {{ {config} }}\n")
    };
    let text = format!(
        "name = \"test\"\n{}{}{}",
        web("missing", r#"ca-file = "ca.pem""#),
        web("wrong", r#"ca-file = "key.pem""#),
        web("linked", r#"allow = "a.example""#),
    );
    apply(&lattice, &text).await;
    for (id, expected) in [
        ("missing", "ca.pem can't be used on this host"),
        ("wrong", "key.pem can't be used: there is no block"),
        ("linked", "there is no setting `allow`"),
        ("linked", "in the config of each link to it"),
    ] {
        let refused = reason(&host, id).await;
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains("enigma"), "{refused}");
    }
}

#[tokio::test]
async fn the_config_of_an_actor_names_files_and_variables_that_the_host_allows() {
    let lattice = lattice().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    std::fs::create_dir(file("inside")).expect("created");
    std::fs::write(file("inside/colour"), "blue\n").expect("written");
    std::fs::write(file("outside"), "enigma").expect("written");
    let component = wat::parse_str(CONFIGURED).expect("valid text");
    std::fs::write(file("configured.wasm"), component).expect("written");
    let access = Access::none().folder(file("inside")).env("CARGO_PKG_");
    let host = Host::builder(&lattice).provider_access(access);
    let host = started(host).await;
    let actor = |id: &str, config: &str| {
        let image = file("configured.wasm");
        let image = image.display();
        format!("[actors.{id}]\nimage = \"file:{image}\"\nconfig = {{ {config} }}\n")
    };
    // Tests can't set variables, so this one is cargo's.
    let text = [
        "name = \"test\"\n".to_owned(),
        actor(
            "good",
            r#"colour = '{ "file": "colour" }', name = '{ "env": "CARGO_PKG_NAME" }', json = '{ "a": 1 }'"#,
        ),
        actor("outside", r#"it = '{ "file": "../outside" }'"#),
        actor("missing", r#"it = '{ "file": "none" }'"#),
        actor("forbidden", r#"it = '{ "env": "PATH" }'"#),
        actor("unset", r#"it = '{ "env": "CARGO_PKG_NONE" }'"#),
    ];
    apply(&lattice, &text.concat()).await;
    served(&lattice, "good").await;
    for (key, expected) in [
        ("colour", "blue"),
        ("name", env!("CARGO_PKG_NAME")),
        ("json", r#"{ "a": 1 }"#),
    ] {
        let value = call::<String>(&lattice, "good", "test:config/it@1.0.0", "f", (key,)).await;
        assert_eq!(value.as_deref(), Ok(expected), "{key}");
    }
    for (id, expected) in [
        (
            "outside",
            "isn't in a folder that this host lets providers use",
        ),
        ("missing", "no such file on this machine; create it"),
        ("forbidden", "doesn't let providers use variables"),
        (
            "unset",
            "`CARGO_PKG_NONE` can't be read: it isn't set; set it",
        ),
    ] {
        let refused = reason(&host, id).await;
        assert!(refused.contains("`it` in the "), "{refused}");
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains("enigma"), "{refused}");
    }
}
