//! Large objects pass through in bounded memory.

use super::stage::{PATIENCE, Stage, id};
use futures_util::{StreamExt, stream};
use lattice_provider_sdk::{ByteReader, Bytes};
use lattice_providers::blobstore::{File, FileSettings};
use std::fs;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 96 * MIB;
/// How much more memory the process may take meanwhile.
const GROWTH: u64 = 32 * MIB;

/// Returns a figure of this process in bytes.
fn memory(figure: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let mut lines = status.lines().filter_map(|line| line.strip_prefix(figure));
    let line = lines.next().expect("the figure");
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * 1_024
}

/// Writes a large object and reads it, and checks how much memory that takes at most.
async fn pass(stage: &Stage) {
    stage.create("c").await;
    let object = id("c", "large");
    // What is only taken once is taken now.
    stage.put(&object, vec![1; 1 << 16]).await.expect("stored");
    let chunk = Bytes::from(vec![7; 1 << 16]);
    let before = memory("VmRSS");
    // The peak begins anew.
    fs::write("/proc/self/clear_refs", "5").expect("Linux has it");

    let chunks = (0..SIZE / chunk.len() as u64).map(move |_| chunk.clone());
    let data = ByteReader::new(stream::iter(chunks));
    let stored = stage.store.put_object(&object, data).timeout(PATIENCE * 4);
    assert_eq!(stored.await.expect("called").expect("stored").size, SIZE);
    let found = stage.store.get_object(&object, None).timeout(PATIENCE);
    let mut data = found.await.expect("called").expect("there").data;
    let mut read = 0;
    while let Some(chunk) = data.next().await {
        read += chunk.expect("whole").len() as u64;
    }
    assert_eq!(read, SIZE);
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown <= GROWTH, "{} MiB", grown / MIB);
}

#[tokio::test]
async fn a_large_object_goes_through_files_in_bounded_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = FileSettings {
        path: folder.path().into(),
        max_object_size: None,
    };
    pass(&Stage::of(File::new(settings)).await).await;
}

/// The code of S3, Azure and GCS, with a store of the same crate in files.
#[cfg(feature = "blobstore-s3")]
#[tokio::test]
async fn a_large_object_goes_through_a_remote_store_in_bounded_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = object_store::local::LocalFileSystem::new_with_prefix(folder.path());
    let store = std::sync::Arc::new(store.expect("a folder"));
    let provider = lattice_providers::blobstore::AnyStore::new(store);
    pass(&Stage::of(provider).await).await;
}
