//! Secrets from files and variables.

use lattice_provider_sdk::{Caller, Lattice, Link, ServeHandle, serve};
use lattice_providers::{
    builtins,
    secrets::{Secrets, SecretsConfig},
};
use std::{collections::BTreeMap, fs, path::Path};

lattice_provider_sdk::client!({ inline: "
    package test:secrets@0.1.0;
    world app {
        import wasmcloud:secrets/store@0.1.0-draft;
        import wasmcloud:secrets/reveal@0.1.0-draft;
    }
" });
use wasmcloud::secrets::{
    reveal::RevealClient,
    store::{SecretValue, SecretsError, StoreClient},
};

struct Scene {
    lattice: Lattice,
    store: StoreClient<Caller>,
    reveal: RevealClient<Caller>,
    _serving: ServeHandle,
}

impl Scene {
    /// Serves secrets, of which the caller may read these.
    async fn new(config: SecretsConfig, keys: &[&str]) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let serving = serve(&lattice, "secrets", Secrets::new(config)).await;
        let serving = serving.expect("served");
        let caller = || lattice.caller("app").expect("an id");
        let scene = Self {
            store: StoreClient::new(caller()),
            reveal: RevealClient::new(caller()),
            lattice,
            _serving: serving,
        };
        let keys = BTreeMap::from([("keys", keys)]);
        scene.link("store", Some(&keys)).await;
        scene.link("reveal", None).await;
        scene
    }

    async fn in_folder(folder: &Path, keys: &[&str]) -> Self {
        let config = SecretsConfig {
            folder: Some(folder.into()),
            ..SecretsConfig::default()
        };
        Self::new(config, keys).await
    }

    async fn link(&self, interface: &str, config: Option<&BTreeMap<&str, &[&str]>>) {
        let interface = format!("wasmcloud:secrets/{interface}@0.1.0-draft");
        let mut link = Link::new("app", &*interface, "secrets").expect("a link");
        if let Some(config) = config {
            link = link.config(config).expect("JSON");
        }
        self.lattice.links().replace(link).await.expect("put");
    }

    async fn value(&self, key: &str) -> Result<SecretValue, SecretsError> {
        let secret = self.store.get(key).await.expect("it is served")?;
        Ok(self.reveal.reveal(&secret).await.expect("it is served"))
    }

    async fn text(&self, key: &str) -> String {
        match self.value(key).await {
            Ok(SecretValue::String(text)) => text,
            Ok(SecretValue::Bytes(_)) => panic!("`{key}` isn't a text"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_secret_is_read_from_its_file_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("db.password"), "enigma\n").expect("written");
    fs::write(path("db.key"), [0xff, 0x0a]).expect("written");
    let scene = Scene::in_folder(folder.path(), &["db.*"]).await;
    assert_eq!(scene.text("db.password").await, "enigma");
    let bytes = scene.value("db.key").await;
    assert!(matches!(bytes, Ok(SecretValue::Bytes(bytes)) if *bytes == [0xff, 0x0a]));
    fs::write(path("db.password"), "changed").expect("written");
    assert_eq!(scene.text("db.password").await, "changed");
}

#[tokio::test]
async fn a_caller_reads_the_keys_of_its_link_and_learns_of_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["mine", "other"] {
        fs::write(folder.path().join(name), name).expect("written");
    }
    let scene = Scene::in_folder(folder.path(), &["mine", "absent"]).await;
    assert_eq!(scene.text("mine").await, "mine");
    for key in [
        "other",
        "absent",
        "../secrets/mine",
        "",
        "/etc/passwd",
        "mi\0ne",
    ] {
        let read = scene.value(key).await;
        assert!(matches!(read, Err(SecretsError::NotFound)), "{key:?}");
    }
    scene.link("store", None).await;
    let read = scene.value("mine").await;
    assert!(
        matches!(read, Err(SecretsError::NotFound)),
        "no config, no secret"
    );
}

#[tokio::test]
async fn a_secret_that_is_too_large_or_no_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("large"), vec![b'x'; 1_024 * 1_024 + 1]).expect("written");
    fs::write(folder.path().join("full"), vec![b'x'; 1_024 * 1_024]).expect("written");
    fs::create_dir(folder.path().join("folder")).expect("made");
    let scene = Scene::in_folder(folder.path(), &["*"]).await;
    for (key, expected) in [("large", "larger than 1 MiB"), ("folder", "regular file")] {
        let Err(SecretsError::Io(reason)) = scene.value(key).await else {
            panic!("`{key}` can't be read");
        };
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(scene.text("full").await.len(), 1_024 * 1_024);
}

#[tokio::test]
async fn a_secret_of_the_environment_has_the_prefix() {
    // Tests can't set variables, so this one is cargo's.
    let config = SecretsConfig {
        env_prefix: Some("CARGO_".into()),
        ..SecretsConfig::default()
    };
    let scene = Scene::new(config, &["pkg.name", "absent"]).await;
    assert_eq!(scene.text("pkg.name").await, "lattice-mesh-providers");
    let read = scene.value("absent").await;
    assert!(matches!(read, Err(SecretsError::NotFound)));
}

#[tokio::test]
async fn settings_without_one_source_are_refused_at_the_start() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let refusal = async |settings: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings = settings.iter().map(owned).collect();
        let all = builtins();
        let secrets = all.iter().find(|builtin| builtin.name == "secrets");
        let made = (secrets.expect("it is one").make)(&settings).expect("they parse");
        let error = serve(&lattice, "secrets", made).await;
        error.expect_err("it doesn't start").to_string()
    };
    let neither = refusal(&[]).await;
    assert!(
        neither.contains("set either `folder` or `env-prefix`"),
        "{neither}"
    );
    let both = refusal(&[("folder", "/"), ("env-prefix", "A_")]).await;
    assert!(
        both.contains("set either `folder` or `env-prefix`"),
        "{both}"
    );
    let all = refusal(&[("env-prefix", "")]).await;
    assert!(all.contains("the whole environment"), "{all}");
}
