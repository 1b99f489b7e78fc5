//! The URL shortener of `examples/shortener`: an application in two languages that uses a key-value
//! store, SQL, messages and a schedule through standard interfaces. It has to do the same on every
//! backend, with the same components.

mod browser;
mod checks;
mod stage;

use crate::nats::NatsConfig;
use lattice_core::{Lattice, app::AppManifest, auth::LatticeKey};
use lattice_host::Access;
use lattice_test_servers::{PostgresServer, RedisServer, installed};
use serde_json::Value;
use stage::{Stage, counter, manifest};

/// Expired links are removed each second, and not each minute.
const SOON: (&str, &str) = ("every = \"1m\"", "every = \"1s\"");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_in_files_and_over_the_lattice() {
    if let Err(reason) = counter() {
        return println!("skipped, because there is no guest in JavaScript: {reason}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let access = Access::none().folder(folder.path());
    let stage = Stage::start(lattice, access, manifest("app.toml", &[SOON])).await;
    checks::all(stage).await;
    for file in ["links.redb", "statistics.sqlite"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_on_redis_postgresql_and_nats() {
    if let Err(reason) = counter() {
        return println!("skipped, because there is no guest in JavaScript: {reason}");
    }
    // Those that aren't installed have printed it.
    let Some(redis) = installed(RedisServer::start(&[]).await) else {
        return;
    };
    let Some(postgres) = installed(PostgresServer::start().await) else {
        return;
    };
    let nats = NatsConfig::default().jetstream().start().await;
    let lattice = Lattice::connect(nats.url(), "test").key(LatticeKey::generate());
    let lattice = lattice.await.expect("connected");
    let store = format!("\"{}\"", redis.url());
    let database = format!("\"host={} user=postgres dbname=postgres\"", postgres.host());
    let servers = nats.url();
    let changes = [
        SOON,
        (r#"'{ "env": "SHORTENER_REDIS" }'"#, store.as_str()),
        (r#"'{ "env": "SHORTENER_POSTGRES" }'"#, database.as_str()),
        ("nats://127.0.0.1:4222", servers.as_str()),
    ];
    // That of PostgreSQL is a socket of the machine.
    let access = Access::all();
    let stage = Stage::start(lattice, access, manifest("servers.toml", &changes)).await;
    checks::all(stage).await;
}

#[test]
fn the_manifests_differ_only_in_what_is_behind_the_interfaces() {
    // Without the settings of providers and the configs of links.
    let bare = |file: &str| -> AppManifest {
        let mut app = manifest(file, &[]).manifest().clone();
        for provider in app.providers.values_mut() {
            provider.builtin = None;
            provider.run = lattice_core::desired::Run::default();
            provider.config.clear();
        }
        for link in &mut app.links {
            link.config = Value::Null;
        }
        app
    };
    assert_eq!(bare("app.toml"), bare("servers.toml"));
}
