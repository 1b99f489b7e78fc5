//! Objects in containers: one suite that every backend passes, and the faults of each.

mod faults;
#[cfg(target_os = "linux")]
mod growth;
mod spans;
mod stage;
mod suite;

use lattice_providers::blobstore::{File, FileSettings, Memory, MemorySettings};
use stage::Stage;

async fn memory() -> Stage {
    Stage::of(Memory::new(MemorySettings::default())).await
}

async fn file() -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = FileSettings {
        path: folder.path().join("objects").into(),
        max_object_size: None,
    };
    Stage::of(File::new(settings)).await.keeping(folder)
}

/// The code of S3, Azure and GCS, with a store in memory in place of the cloud's client.
#[cfg(feature = "blobstore-s3")]
async fn remote() -> Stage {
    use lattice_providers::blobstore::AnyStore;
    let store = object_store::memory::InMemory::new();
    Stage::of(AnyStore::new(std::sync::Arc::new(store))).await
}

/// None if there is no server.
#[cfg(feature = "blobstore-s3")]
async fn s3() -> Option<Stage> {
    use lattice_providers::blobstore::S3;
    let bucket = crate::servers::s3_bucket().await?;
    let settings = stage::s3_settings(&bucket.endpoint(), bucket.name());
    Some(Stage::of(S3::new(settings)).await.keeping(bucket))
}

#[cfg(feature = "blobstore-nats")]
async fn nats() -> Stage {
    use lattice_providers::blobstore::{Nats, NatsStoreSettings};
    let server = crate::nats::NatsConfig::default().jetstream().start().await;
    let provider = Nats::new(NatsStoreSettings::new(server.url()));
    Stage::of(provider).await.keeping(server)
}

/// The tests of the suite for one backend, unless there is no server for it.
macro_rules! conformance {
    ($backend:ident) => {
        mod $backend {
            use super::{Stage, suite};

            async fn start() -> Option<Stage> {
                super::$backend().await.into()
            }

            #[tokio::test]
            async fn containers() {
                if let Some(stage) = start().await {
                    suite::containers(&stage).await;
                }
            }

            #[tokio::test]
            async fn objects_are_replaced_as_a_whole() {
                if let Some(stage) = start().await {
                    suite::objects(&stage).await;
                }
            }

            #[tokio::test]
            async fn ranges_are_inclusive() {
                if let Some(stage) = start().await {
                    suite::ranges(&stage).await;
                }
            }

            #[tokio::test]
            async fn names_have_every_byte() {
                if let Some(stage) = start().await {
                    suite::names(&stage).await;
                }
            }

            #[tokio::test]
            async fn data_that_breaks_makes_no_object() {
                if let Some(stage) = start().await {
                    suite::broken(&stage).await;
                }
            }

            #[tokio::test]
            async fn large_objects_and_readers_that_stop() {
                if let Some(stage) = start().await {
                    suite::large(&stage).await;
                }
            }

            #[tokio::test]
            async fn copies_and_moves() {
                if let Some(stage) = start().await {
                    suite::copies(&stage).await;
                }
            }

            #[tokio::test]
            async fn lists_while_objects_change() {
                if let Some(stage) = start().await {
                    suite::lists(&stage).await;
                }
            }

            #[tokio::test]
            async fn long_lists_while_objects_change() {
                if let Some(stage) = start().await {
                    suite::long_lists(&stage).await;
                }
            }

            #[tokio::test]
            async fn links_limit_what_callers_may_do() {
                if let Some(stage) = start().await {
                    suite::links(&stage).await;
                }
            }
        }
    };
}

conformance!(memory);
conformance!(file);
#[cfg(feature = "blobstore-s3")]
conformance!(remote);
#[cfg(feature = "blobstore-s3")]
conformance!(s3);
#[cfg(feature = "blobstore-nats")]
conformance!(nats);
