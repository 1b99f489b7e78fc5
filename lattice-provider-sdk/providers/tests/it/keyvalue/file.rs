//! The file: what is in it, who has it open, and what it may be.

use super::{
    Kind, Stage,
    stage::PATIENCE,
    suite::{ok, open},
};
use lattice_provider_sdk::{Lattice, serve};
use lattice_providers::keyvalue::{FileConfig, FileKeyValue};
use std::{fs, path::Path};

async fn served(
    lattice: &Lattice,
    path: &Path,
) -> Result<lattice_provider_sdk::ServeHandle, String> {
    let provider = FileKeyValue::new(FileConfig::new(path));
    let served = serve(lattice, "kv", provider).await;
    served.map_err(|error| lattice_core::error::chain(&error))
}

#[tokio::test]
async fn values_and_open_buckets_survive_a_restart() {
    let mut stage = Stage::start(Kind::File).await.expect("no server is needed");
    let clients = stage.clients("app");
    let bucket = open(&clients, "a").await;
    ok(bucket.set("key", b"value").await);
    ok(clients.atomics.increment(&bucket, "n", 3).await);
    for serving in stage.serving.drain(..) {
        assert!(serving.shutdown(PATIENCE).await.is_clean());
    }
    let serving = serve(&stage.first, "kv", stage.provider()).await;
    stage.serving.push(serving.expect("served again"));
    let value = ok(bucket.get("key").timeout(PATIENCE).await);
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    let again = open(&clients, "a").await;
    assert_eq!(ok(clients.atomics.increment(&again, "n", 1).await), 4);
}

#[tokio::test]
async fn a_file_that_another_provider_has_open_is_refused_until_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.redb");
    let (one, two) = (
        Lattice::in_memory("one").await.expect("a lattice"),
        Lattice::in_memory("two").await.expect("a lattice"),
    );
    let first = served(&one, &path).await.expect("served");
    let error = served(&two, &path).await.expect_err("it is locked");
    assert!(error.contains("another provider or process"), "{error}");
    assert!(first.shutdown(PATIENCE).await.is_clean());
    served(&two, &path).await.expect("it is free");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let path = folder.path().join("kv.redb");
    fs::write(&path, vec![b'x'; 100_000]).expect("written");
    let error = served(&lattice, &path).await.expect_err("no database");
    assert!(error.contains("can't read"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), vec![b'x'; 100_000]);
    // Of a database, but cut off.
    let path = folder.path().join("cut.redb");
    let serving = served(&lattice, &path).await.expect("served");
    assert!(serving.shutdown(PATIENCE).await.is_clean());
    let mut content = fs::read(&path).expect("read");
    content.truncate(1_000);
    let path = folder.path().join("part.redb");
    fs::write(&path, content).expect("written");
    let error = served(&lattice, &path).await.expect_err("a part");
    assert!(error.contains("keyvalue-file"), "{error}");
    let missing = folder.path().join("no/such/folder/kv.redb");
    let error = served(&lattice, &missing).await.expect_err("no folder");
    assert!(error.contains("keyvalue-file"), "{error}");
}
