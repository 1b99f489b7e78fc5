//! A guest that uses `wasi:blobstore`, over links to providers of `lattice:blobstore`.

use super::support::*;
use lattice_core::Lattice;
use lattice_host::{Host, Instances};
use lattice_provider_sdk::IntoService;
use lattice_providers::blobstore::{File, FileSettings, Memory, MemorySettings};
use std::fs;
use tempfile::TempDir;

const BLOBSTORE: &str = "wasi:blobstore/blobstore@0.2.0-draft";
const CHECKS: &str = "lattice-test:blobs/checks@0.1.0";

fn memory() -> Memory {
    Memory::new(MemorySettings::default())
}

/// Calls a function of the guest that says what is wrong.
async fn check(lattice: &Lattice, function: &str) -> Result<(), String> {
    let called = call(lattice, "blobs", CHECKS, function, ()).await;
    called.unwrap_or_else(|error| panic!("`{function}` failed: {error}"))
}

/// Starts a host with the guest, linked to the provider `store` beside it.
async fn host(lattice: &Lattice, store: impl IntoService, instances: Instances) -> Host {
    link(lattice, "blobs", BLOBSTORE, "store").await;
    let guest = actor("blobs").instances(instances);
    let builder = Host::builder(lattice).provider("store", store);
    started(builder.actor("blobs", guest)).await
}

fn files(folder: &TempDir) -> File {
    File::new(FileSettings {
        path: folder.path().into(),
        max_object_size: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_uses_everything_that_the_draft_has() {
    for instances in [Instances::Fresh, Instances::warm()] {
        let lattice = lattice().await;
        let _host = host(&lattice, memory(), instances).await;
        for _ in 0..2 {
            assert_eq!(check(&lattice, "check").await, Ok(()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_uses_objects_on_another_host() {
    let (here, there) = two_programs().await;
    let _store = started(Host::builder(&there).provider("store", memory())).await;
    link(&here, "blobs", BLOBSTORE, "store").await;
    let _guest = host_of(&here, "blobs", |actor| actor).await;
    served(&here, "store").await;
    assert_eq!(check(&here, "check").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_stream_through_a_guest() {
    let folder = tempfile::tempdir().expect("a folder");
    let lattice = lattice().await;
    let _host = host(&lattice, files(&folder), Instances::Fresh).await;
    let size: u64 = (8 << 20) + 1;
    let passed = call(&lattice, "blobs", CHECKS, "pass-through", (size,)).await;
    let passed: Result<u64, String> = passed.expect("called");
    assert_eq!(passed, Ok(size));
    let stored = fs::metadata(folder.path().join("containers/large/object"));
    assert_eq!(stored.expect("a file").len(), size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_dropped_unfinished_is_no_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let lattice = lattice().await;
    let _host = host(&lattice, files(&folder), Instances::Fresh).await;
    assert_eq!(check(&lattice, "drop-unfinished").await, Ok(()));
    // The provider removes what has arrived.
    let partial = folder.path().join("partial");
    let removed = async {
        while fs::read_dir(&partial).expect("the folder").count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, removed)
        .await
        .expect("it is removed");
    let objects = fs::read_dir(folder.path().join("containers/unfinished"));
    assert_eq!(objects.expect("the container").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_a_link_is_told_so() {
    let lattice = lattice().await;
    let _guest = host_of(&lattice, "blobs", |actor| actor).await;
    let error = check(&lattice, "create")
        .await
        .expect_err("there is no link");
    assert!(error.contains("link"), "{error}");
}
