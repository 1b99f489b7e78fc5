//! Connections to a real NATS server, by the settings that all providers of it have.

use crate::{
    nats::{NatsConfig, NatsServer},
    tls::Authority,
    wait::eventually,
};
use lattice_core::serve::Service;
use lattice_provider_sdk::{Lattice, Refusal, ServeHandle, serve};
use lattice_providers::builtins;
use std::{collections::BTreeMap, sync::Arc};

/// The providers that connect to NATS.
const PROVIDERS: [&str; 3] = ["blobstore-nats", "keyvalue-nats", "messaging-nats"];

/// A provider that is served.
struct Served {
    provider: Arc<dyn Service>,
    _serving: ServeHandle,
    _lattice: Lattice,
}

impl Served {
    async fn new(name: &str, settings: &BTreeMap<String, String>) -> Self {
        let provider = made(name, settings).expect("the settings fit");
        let lattice = Lattice::in_memory("test").await.expect("it opens");
        let serving = serve(&lattice, name, provider.clone()).await;
        Self {
            provider,
            _serving: serving.expect("it starts, whatever the server does"),
            _lattice: lattice,
        }
    }

    /// Waits until the provider's health says this, or that all is well.
    async fn health(&self, expected: Option<&str>) {
        let what = expected.unwrap_or("well");
        eventually(what, async || {
            match (self.provider.health().await, expected) {
                (Ok(()), None) => true,
                (Err(reason), Some(expected)) => {
                    assert!(!reason.contains("s3cret"), "{reason}");
                    reason.contains(expected)
                }
                _ => false,
            }
        })
        .await;
    }
}

/// Makes a provider as a host does.
fn made(name: &str, settings: &BTreeMap<String, String>) -> Result<Arc<dyn Service>, Refusal> {
    let builtin = builtins()
        .into_iter()
        .find(|builtin| builtin.name == name)
        .expect("there is such a provider");
    (builtin.make)(settings)
}

fn settings<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
    BTreeMap::from(owned)
}

fn path(server: &NatsServer, file: &str) -> String {
    let path = server.path(file);
    path.to_str().expect("a text").to_owned()
}

#[tokio::test]
async fn every_provider_connects_by_certificates_and_a_user_with_few_rights() {
    let authority = Authority::new();
    let (of_server, of_client) = (authority.sign("127.0.0.1"), authority.sign("client"));
    let server = NatsConfig::default()
        .jetstream()
        .file("root.pem", &authority.certificate)
        .file("other-root.pem", &Authority::new().certificate)
        .file("server.pem", &of_server.certificate)
        .file("server.key", &of_server.key)
        .file("client.pem", &of_client.certificate)
        .file("client.key", &of_client.key)
        .text(
            "tls { cert_file: \"$DIR/server.pem\", key_file: \"$DIR/server.key\", \
             ca_file: \"$DIR/root.pem\", verify: true, handshake_first: true }",
        )
        .text(
            "authorization { users: [ { user: ada, password: s3cret, permissions: { \
             publish: [\">\"], subscribe: [\"_SHOP.>\"] } } ] }",
        )
        .start()
        .await;
    let right = settings([
        ("servers", &*server.url()),
        ("user", "ada"),
        ("password", "s3cret"),
        ("ca-file", &path(&server, "root.pem")),
        ("cert-file", &path(&server, "client.pem")),
        ("cert-key-file", &path(&server, "client.key")),
        ("tls-first", "true"),
        ("inbox-prefix", "_SHOP"),
    ]);
    let mut stranger = right.clone();
    stranger.insert("ca-file".to_owned(), path(&server, "other-root.pem"));
    let mut unknown = right.clone();
    unknown.remove("cert-file");
    unknown.remove("cert-key-file");
    for name in PROVIDERS {
        Served::new(name, &right).await.health(None).await;
        for wrong in [&stranger, &unknown] {
            let served = Served::new(name, wrong).await;
            let reason = "no connection to the NATS server";
            served.health(Some(reason)).await;
        }
    }
}

#[tokio::test]
async fn every_provider_says_that_its_login_is_refused_and_recovers() {
    let text = |token: &str| format!("authorization {{ token: {token} }}");
    let config = NatsConfig::default().jetstream().text(&text("other"));
    let mut server = config.start().await;
    let settings = settings([("servers", &*server.url()), ("token", "s3cret")]);
    let mut all = Vec::new();
    for name in PROVIDERS {
        let served = Served::new(name, &settings).await;
        served.health(Some("refuses")).await;
        all.push(served);
    }
    let written = std::fs::read_to_string(server.path("nats.conf")).expect("read");
    let mended = written.replace(&text("other"), &text("s3cret"));
    std::fs::write(server.path("nats.conf"), mended).expect("written");
    server.restart().await;
    for served in all {
        served.health(None).await;
    }
}

#[test]
fn the_names_of_settings_are_the_same_for_every_provider() {
    for name in PROVIDERS.into_iter().chain(["messaging-amqp"]) {
        for other in ["credentials", "credentials-file", "username", "domain"] {
            let settings = settings([("servers", "a:1"), (other, "s3cret")]);
            let refusal = made(name, &settings).map(drop).expect_err(other);
            let expected = format!("there is no setting `{other}`");
            assert!(refusal.reason().contains(&expected), "{refusal}");
        }
        let none = made(name, &BTreeMap::new()).map(drop).expect_err(name);
        assert_eq!(none.reason(), "the setting `servers` is missing");
    }
}
