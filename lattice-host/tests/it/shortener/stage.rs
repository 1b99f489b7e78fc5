//! A host that runs an app, and the app.

use super::browser::Browser;
use crate::{host::support::started, wait::until};
use lattice_core::{
    Lattice,
    app::{App, AppManifest},
    name::ComponentId,
};
use lattice_host::{Access, Host, http::Ingress};
use std::{fs, path::Path};

/// What all paths are relative to.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A host that runs the app. Dropping this stops it.
pub(super) struct Stage {
    pub(super) lattice: Lattice,
    pub(super) browser: Browser,
    pub(super) manifest: AppManifest,
    _host: Host,
}

impl Stage {
    /// Starts a host with an ingress, applies the app, and waits until all of it serves.
    pub(super) async fn start(lattice: Lattice, access: Access, app: App) -> Self {
        // Only the log says why a request was not served. Another test may have set it up.
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_test_writer()
            .try_init();
        let host = Host::builder(&lattice).provider_access(access);
        let host = started(host.ingress(Ingress::http("127.0.0.1:0"))).await;
        lattice.apply(&app).await.expect("applied");
        let manifest = app.manifest().clone();
        for id in manifest.actors.keys().chain(manifest.providers.keys()) {
            until(&format!("`{id}` serves"), || serves(&lattice, id)).await;
        }
        Self {
            browser: Browser::new(host.ingress_addresses()[0]),
            lattice,
            manifest,
            _host: host,
        }
    }

    /// Applies another version of the app, without a provider and its links, and waits until the
    /// provider doesn't serve.
    pub(super) async fn without(&self, provider: &str) {
        let id = ComponentId::new(provider).expect("an id");
        let mut manifest = self.manifest.clone();
        let removed = manifest.providers.remove(&id);
        assert!(removed.is_some(), "there is no `{id}`");
        manifest
            .links
            .retain(|link| link.from != id && link.to != id);
        let app = App::new(manifest);
        self.lattice.apply(&app).await.expect("applied");
        until(&format!("`{id}` is gone"), || !serves(&self.lattice, &id)).await;
    }
}

fn serves(lattice: &Lattice, id: &ComponentId) -> bool {
    let peers = lattice.peers();
    peers.iter().any(|peer| peer.components.contains_key(id))
}

/// Returns an app of the example, with changes to its text. The paths of its images are absolute.
pub(super) fn manifest(name: &str, changes: &[(&str, &str)]) -> App {
    let file = Path::new(ROOT).join("examples/shortener").join(name);
    let text = fs::read_to_string(&file).expect("a manifest");
    let absolute = format!("\"file:{ROOT}/target/");
    let images = ("\"file:../../target/", absolute.as_str());
    let text = changes
        .iter()
        .chain([&images])
        .fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{name} has no {from}");
            text.replace(from, to)
        });
    App::from_toml(&file, &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Fails with why the counter isn't there, which `.ci/javascript-guests.sh` builds.
pub(super) fn counter() -> Result<(), String> {
    let file = Path::new(ROOT).join("target/guests/javascript/shortener_counter.wasm");
    if file.exists() {
        return Ok(());
    }
    let reason = fs::read_to_string(file.with_extension("missing.txt"));
    Err(reason.unwrap_or_else(|_| "run `make guests`".to_owned()))
}
