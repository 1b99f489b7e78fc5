//! The spans of requests to backends. Those of blobs and messages are with their own tests.

use crate::log::Log;
use futures_util::StreamExt as _;
use lattice_provider_sdk::{Caller, IntoService, Lattice, Link, ServeHandle, serve};
use lattice_providers::{
    keyvalue::{MemoryConfig, MemoryKeyValue},
    secrets::{Secrets, SecretsConfig},
    sql::{
        Sqlite, SqliteConfig,
        database::{Access, DatabaseClient, Isolation},
    },
};
use std::{collections::BTreeMap, fs, time::Duration};

lattice_provider_sdk::client!({ inline: "
    package test:spans@0.1.0;
    world app {
        import lattice:keyvalue/store@0.1.0;
        import wasmcloud:secrets/store@0.1.0-draft;
    }
" });
use lattice::keyvalue::store::StoreClient;
use wasmcloud::secrets::store::StoreClient as SecretsClient;

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "enigma-4711";

/// Serves a provider, and returns a caller that is linked to it.
async fn served(
    provider: impl IntoService,
    interface: &str,
    config: Option<&BTreeMap<&str, &[&str]>>,
) -> (Caller, Lattice, ServeHandle) {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let serving = serve(&lattice, "backed", provider).await.expect("served");
    let mut link = Link::new("app", interface, "backed").expect("a link");
    if let Some(config) = config {
        link = link.config(config).expect("JSON");
    }
    lattice.links().put(link).await.expect("put");
    (lattice.caller("app").expect("an id"), lattice, serving)
}

/// Returns the spans of requests that have ended, each as what it has in itself.
fn ended(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines();
    let spans = lines.filter_map(|line| line.split_once(": lattice::backend: close"));
    let own = spans.filter_map(|(spans, _)| {
        let (calls, own) = spans.rsplit_once("backend{")?;
        assert!(calls.contains("serve{"), "it is within no call: {spans}");
        Some(own)
    });
    own.map(str::to_owned).collect()
}

/// Checks that these spans have ended, in this order, with these fields, of which those at `failed`
/// have failed.
fn check(spans: &[String], names: &[&str], fields: &[&str], failed: Option<usize>) {
    assert_eq!(spans.len(), names.len(), "{spans:#?}");
    for (place, (span, name)) in spans.iter().zip(names).enumerate() {
        let name = format!("otel.name=\"{name}\"");
        for field in [&*name, "otel.kind=\"client\""].iter().chain(fields) {
            assert!(span.contains(field), "{field} isn't in {span}");
        }
        assert_eq!(
            span.contains("error.type"),
            failed == Some(place),
            "{place}: {span}"
        );
        assert!(!span.contains(SECRET), "{span}");
    }
}

#[tokio::test]
async fn keys_and_values_have_spans() {
    let provider = MemoryKeyValue::new(MemoryConfig::default());
    let interface = "lattice:keyvalue/store@0.1.0";
    let (caller, _lattice, _serving) = served(provider, interface, None).await;
    let store = StoreClient::new(caller);
    let log = Log::default();
    let captured = log.capture_spans();
    let set = store.set(SECRET, SECRET.as_bytes()).timeout(PATIENCE).await;
    set.expect("the call").expect("set");
    let got = store.get(SECRET).timeout(PATIENCE).await;
    assert!(got.expect("the call").expect("got").is_some());
    drop(captured);
    let fields = [
        "db.system.name=\"memory\"",
        "db.collection.name=\"default\"",
    ];
    check(&ended(&log), &["set default", "get default"], &fields, None);
}

#[tokio::test]
async fn statements_of_transactions_and_streams_have_spans() {
    let provider = Sqlite::new(SqliteConfig::default());
    let interface = "lattice:sql/database@0.1.0";
    let (caller, _lattice, _serving) = served(provider, interface, None).await;
    let database = DatabaseClient::new(caller);
    let made = database.new_connection().timeout(PATIENCE);
    let connection = made.await.expect("it opens nothing");
    let log = Log::default();
    let captured = log.capture_spans();

    let begun = connection
        .begin(Isolation::Serializable, Access::ReadWrite)
        .timeout(PATIENCE);
    let transaction = begun.await.expect("the call").expect("begun");
    let create = "CREATE TABLE notes (text TEXT)";
    let made = transaction.execute(create, &[]).timeout(PATIENCE).await;
    made.expect("the call").expect("made");
    let insert = format!("INSERT INTO notes VALUES ('{SECRET}')");
    let written = transaction.execute(&insert, &[]).timeout(PATIENCE).await;
    written.expect("the call").expect("written");
    let broken = transaction.query("SELECT nothing", &[]).timeout(PATIENCE);
    let broken = broken.await.expect("the call");
    assert!(broken.is_err(), "there is no such column");
    let select = "SELECT text FROM notes";
    let read = transaction.query(select, &[]).timeout(PATIENCE).await;
    read.expect("the call").expect("read");
    let done = transaction.commit().timeout(PATIENCE).await;
    done.expect("the call").expect("committed");
    let streamed = connection.stream(select, &[]).timeout(PATIENCE).await;
    let mut streamed = streamed.expect("the call").expect("a stream");
    let row = tokio::time::timeout(PATIENCE, streamed.rows.next()).await;
    row.expect("soon").expect("a row").expect("whole");
    drop(captured);

    let names = [
        "BEGIN", "CREATE", "INSERT", "SELECT", "SELECT", "COMMIT", "SELECT",
    ];
    let fields = ["db.system.name=\"sqlite\""];
    let spans = ended(&log);
    check(&spans, &names, &fields, Some(3));
    assert!(spans[3].contains("error.type=\"syntax\""), "{}", spans[3]);
}

#[tokio::test]
async fn secrets_have_spans_without_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(SECRET), SECRET).expect("written");
    let provider = Secrets::new(SecretsConfig {
        folder: Some(folder.path().into()),
        ..SecretsConfig::default()
    });
    let keys: [&str; 1] = ["*"];
    let config = BTreeMap::from([("keys", &keys[..])]);
    let interface = "wasmcloud:secrets/store@0.1.0-draft";
    let (caller, _lattice, _serving) = served(provider, interface, Some(&config)).await;
    let secrets = SecretsClient::new(caller);
    let log = Log::default();
    let captured = log.capture_spans();
    let read = secrets.get(SECRET).timeout(PATIENCE).await;
    read.expect("the call").expect("it is there");
    let missing = secrets.get("other").timeout(PATIENCE).await;
    assert!(missing.expect("the call").is_err());
    drop(captured);
    let fields = ["lattice.secrets.source=\"folder\""];
    check(
        &ended(&log),
        &["read folder", "read folder"],
        &fields,
        Some(1),
    );
}
