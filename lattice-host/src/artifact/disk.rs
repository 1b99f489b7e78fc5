//! The cache, used from async code.

#[cfg(feature = "oci")]
use super::OciReference;
use super::{CacheError, ImageDigest, cache::Cache};
use crate::limits::ByteSize;
use bytes::Bytes;
use std::ops::Range;
use tokio::task::spawn_blocking;

/// An optional cache. Its blocking operations run on blocking threads.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    cache: Option<Cache>,
    max: ByteSize,
}

impl Disk {
    pub(super) fn new(cache: Option<Cache>, max: ByteSize) -> Self {
        Self { cache, max }
    }

    pub(super) async fn read(&self, digest: ImageDigest) -> Option<Bytes> {
        let max = self.max;
        self.blocking(move |cache| cache.read(digest, max))
            .await
            .flatten()
    }

    /// Returns the bytes with this digest, unless they are more than `most`.
    pub(super) async fn read_small(&self, digest: ImageDigest, most: ByteSize) -> Option<Bytes> {
        self.blocking(move |cache| cache.read_small(digest, most))
            .await
            .flatten()
    }

    /// Returns a part of the bytes with this digest. It is not checked.
    pub(super) async fn read_part(&self, digest: ImageDigest, part: Range<usize>) -> Option<Bytes> {
        self.blocking(move |cache| cache.read_part(digest, part))
            .await
            .flatten()
    }

    /// Keeps the artifact. If it can't be kept, this logs a warning, once for each artifact.
    pub(super) async fn write(&self, digest: ImageDigest, bytes: &Bytes) -> Result<(), CacheError> {
        let shared = bytes.clone();
        let written = self
            .blocking(move |cache| cache.write(digest, &shared))
            .await;
        let written = written.unwrap_or(Ok(()));
        if let Err(error) = &written {
            tracing::warn!(%digest, %error, "an artifact can't be kept in the cache; it is served from memory");
        }
        written
    }

    #[cfg(feature = "oci")]
    pub(super) async fn tag(&self, image: &OciReference) -> Option<ImageDigest> {
        let image = image.clone();
        self.blocking(move |cache| cache.tag(&image))
            .await
            .flatten()
    }

    #[cfg(feature = "oci")]
    pub(super) async fn remember(&self, image: &OciReference, manifest: ImageDigest) {
        let image = image.clone();
        let remembered = self
            .blocking(move |cache| cache.remember(&image, manifest))
            .await;
        if let Some(Err(error)) = remembered {
            tracing::debug!(%error, "a tag can't be recorded in the cache");
        }
    }

    /// Returns `None` without a cache, and when the runtime shuts down.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cache) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = self.cache.clone()?;
        spawn_blocking(move || work(cache)).await.ok()
    }
}
