//! Secrets from the lattice's store, from files and from variables.

use lattice_core::{auth::LatticeKey, bus::memory::MemoryNetwork, store::MemoryStore};
use lattice_provider_sdk::{Caller, IntoService, Lattice, Link, ServeHandle, serve};
use lattice_providers::{
    builtins,
    secrets::{LatticeSecrets, Secrets, SecretsConfig},
};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

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

fn app(lattice: &Lattice) -> Caller {
    lattice.caller("app").expect("an id")
}

impl Scene {
    /// Serves secrets, of which the caller may read these.
    async fn new(config: SecretsConfig, keys: &[&str]) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        Self::on(lattice, Secrets::new(config), keys).await
    }

    /// The same with another provider.
    async fn on(lattice: Lattice, provider: impl IntoService, keys: &[&str]) -> Self {
        let serving = serve(&lattice, "secrets", provider).await;
        let serving = serving.expect("served");
        let scene = Self {
            store: StoreClient::new(app(&lattice)),
            reveal: RevealClient::new(app(&lattice)),
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

/// Serves the secrets of a lattice, of which the caller may read these.
async fn of_lattice(lattice: &Lattice, keys: &[&str]) -> Scene {
    let provider = LatticeSecrets::default();
    Scene::on(lattice.clone(), provider, keys).await
}

#[tokio::test]
async fn a_secret_of_the_lattice_is_opened_each_time_for_who_may_read_it() {
    let lattice = Lattice::in_memory("test").key(LatticeKey::generate());
    let lattice = lattice.await.expect("a lattice");
    let secrets = lattice.secrets();
    for name in ["db.password", "db.key", "other"] {
        secrets.set(name, b"enigma\n").await.expect("set");
    }
    let scene = of_lattice(&lattice, &["db.*", "absent"]).await;
    assert_eq!(scene.text("db.password").await, "enigma");
    secrets.set("db.password", b"changed").await.expect("set");
    assert_eq!(scene.text("db.password").await, "changed", "at once");
    secrets.set("db.key", &[0xff, 0x0a]).await.expect("set");
    let bytes = scene.value("db.key").await;
    assert!(matches!(bytes, Ok(SecretValue::Bytes(bytes)) if *bytes == [0xff, 0x0a]));
    secrets.delete("db.password").await.expect("deleted");
    for key in ["db.password", "other", "absent", "../db.key", ""] {
        let read = scene.value(key).await;
        assert!(matches!(read, Err(SecretsError::NotFound)), "{key:?}");
    }
}

#[tokio::test]
async fn a_secret_of_the_lattice_is_not_sent_over_the_bus() {
    let (network, store, key) = (
        MemoryNetwork::new(),
        MemoryStore::new(),
        LatticeKey::generate(),
    );
    let process = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").key(key.clone());
        lattice.await.expect("joins")
    };
    let (here, there) = (process().await, process().await);
    here.secrets().set("db", b"enigma").await.expect("set");
    let scene = of_lattice(&here, &["db"]).await;
    assert_eq!(scene.text("db").await, "enigma", "it is local");
    there.served("secrets").await.expect("an id");
    let linked = async {
        while there.links().list().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let linked = tokio::time::timeout(Duration::from_secs(30), linked).await;
    linked.expect("it follows the store");
    let elsewhere = StoreClient::new(app(&there));
    let refused = elsewhere.get("db").await.expect("it is served");
    let Err(SecretsError::Upstream(reason)) = refused else {
        panic!("it was sent");
    };
    assert!(reason.contains("per-host"), "{reason}");
}

#[tokio::test]
async fn a_lattice_without_a_key_has_no_secrets() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let error = serve(&lattice, "secrets", LatticeSecrets::default()).await;
    let error = error.expect_err("it doesn't start").to_string();
    assert!(error.contains("`lattice key new`"), "{error}");
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
