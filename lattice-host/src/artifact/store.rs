//! The handle for fetching, resolving and pushing.

use super::{
    Artifact, ArtifactSource, ArtifactsBuilder, FetchError, Image, ImageDigest, Inspection, Names,
    OciReference, Progress, PushError, Resolved, WasmKind, disk::Disk, oci::Oci,
    settings::Settings,
};
use crate::{limits::ByteSize, regular_file};
use bytes::Bytes;
use std::{
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Fetches images from files, registries and the cache. Cheap to clone. All clones share their
/// downloads.
#[derive(Debug, Clone)]
pub struct Artifacts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    disk: Disk,
    oci: Oci,
}

impl Artifacts {
    /// Returns a builder.
    pub fn builder() -> ArtifactsBuilder {
        ArtifactsBuilder::default()
    }

    pub(super) fn new(builder: ArtifactsBuilder) -> Self {
        let disk = Disk::new(builder.cache_of(), builder.settings.max_size);
        let settings = Arc::new(builder.settings);
        let oci = Oci::new(Arc::clone(&settings), disk.clone());
        Self {
            inner: Arc::new(Inner {
                settings,
                disk,
                oci,
            }),
        }
    }

    /// Fetches the component of this image. With the `expected` digest of its bytes, no registry is
    /// contacted while they are in the cache, and no other bytes are ever returned.
    ///
    /// # Errors
    ///
    /// Fails with a [`FetchError`]. A full or read-only cache is not an error: see
    /// [`Artifact::not_kept`].
    ///
    /// # Cancel safety
    ///
    /// A download continues while any caller waits for it, and is cancelled with the last one.
    pub async fn fetch(
        &self,
        image: &Image,
        expected: impl Into<Option<ImageDigest>>,
    ) -> Result<Artifact, FetchError> {
        self.fetch_with(image, expected, |_| ()).await
    }

    /// Like [`fetch`](Self::fetch), and calls `seen` with the progress of the download.
    pub async fn fetch_with(
        &self,
        image: &Image,
        expected: impl Into<Option<ImageDigest>>,
        seen: impl FnMut(Progress),
    ) -> Result<Artifact, FetchError> {
        let by_digest = match image {
            Image::Bytes(digest) => Some(*digest),
            _ => None,
        };
        let expected = expected.into().or(by_digest);
        self.in_time(image, async {
            if let Some(expected) = expected
                && let Some(artifact) = self.cached(expected).await
            {
                return Ok(artifact);
            }
            match image {
                Image::File(path) => self.read_file(path, expected).await,
                Image::Oci(reference) => self.inner.oci.fetch(reference, expected, seen).await,
                other => Err(not_here(other)),
            }
        })
        .await
    }

    /// Fetches a program for this machine: the one layer of an image, or of the entry of an index
    /// for its platform.
    #[cfg_attr(
        not(feature = "process"),
        expect(dead_code, reason = "only processes need programs")
    )]
    pub(crate) async fn fetch_program(&self, image: &OciReference) -> Result<Artifact, FetchError> {
        let named = Image::Oci(image.clone());
        let fetch = self.inner.oci.fetch_program(image);
        self.in_time(&named, fetch).await
    }

    /// Returns this image with the digest that its tag has now, whatever it contains: WebAssembly,
    /// or programs for several platforms. An image that isn't in a registry is returned as it is.
    ///
    /// # Errors
    ///
    /// Fails with a [`FetchError`].
    pub async fn pin(&self, image: &Image) -> Result<Image, FetchError> {
        match image {
            Image::Oci(reference) => {
                let pinned = self.in_time(image, self.inner.oci.pin(reference)).await?;
                Ok(Image::Oci(pinned))
            }
            other => Ok(other.clone()),
        }
    }

    /// Resolves this image to its current content. Fetching the returned image always returns the
    /// same bytes, from the cache when its registry is down. For a file, this needs the returned
    /// digest too.
    pub async fn resolve(&self, image: &Image) -> Result<Resolved, FetchError> {
        self.in_time(image, async {
            match image {
                Image::File(path) => {
                    let artifact = self.read_file(path, None).await?;
                    Ok(resolved(image.clone(), &artifact))
                }
                Image::Oci(reference) => self.inner.oci.resolve(reference).await,
                other => {
                    let artifact = match other.digest() {
                        Some(digest) => self.cached(digest).await,
                        None => None,
                    };
                    let artifact = artifact.ok_or_else(|| not_here(other))?;
                    Ok(resolved(other.clone(), &artifact))
                }
            }
        })
        .await
    }

    /// Fetches this image and returns what it contains.
    pub async fn inspect(&self, image: &Image) -> Result<Inspection, FetchError> {
        let (resolved, media_type) = match image {
            Image::Oci(reference) => {
                let (resolved, media_type) = self
                    .in_time(image, self.inner.oci.describe(reference))
                    .await?;
                (Some(resolved), Some(media_type))
            }
            _ => (None, None),
        };
        let (pinned, expected) = match &resolved {
            Some(resolved) => (&resolved.image, Some(resolved.digest)),
            None => (image, None),
        };
        let artifact = self.fetch(pinned, expected).await?;
        let kind = WasmKind::of(&artifact.bytes).map_err(|found| not_wasm(image, found))?;
        Ok(Inspection {
            resolved: resolved.unwrap_or_else(|| self::resolved(image.clone(), &artifact)),
            kind,
            names: Names::of(&artifact.bytes),
            media_type,
        })
    }

    /// Pushes a component to a registry under a tag, and returns the resolved image. The same bytes
    /// always make the same image.
    ///
    /// # Errors
    ///
    /// Fails with a [`PushError`]. After that, the tag may or may not have moved. Pushing again is
    /// safe.
    pub async fn push(
        &self,
        bytes: impl Into<Bytes>,
        image: &Image,
    ) -> Result<Resolved, PushError> {
        let Image::Oci(reference) = image else {
            return Err(PushError::NotARegistry {
                image: image.to_string(),
            });
        };
        let (bytes, limit) = (bytes.into(), self.inner.settings.max_size);
        let size = ByteSize::bytes(bytes.len() as u64);
        if size > limit {
            return Err(PushError::TooLarge { size, limit });
        }
        let kind = WasmKind::of(&bytes).map_err(|found| PushError::NotWasm {
            found: found.into(),
        })?;
        let after = self.inner.settings.whole;
        timeout(after, self.inner.oci.push(reference, bytes, kind))
            .await
            .map_err(|_| PushError::Deadline {
                image: reference.to_string(),
                after,
            })?
    }

    /// Returns the artifact with this digest if it is in the cache. Contacts no registry.
    pub async fn cached(&self, digest: ImageDigest) -> Option<Artifact> {
        let bytes = self.inner.disk.read(digest).await?;
        Some(Artifact {
            bytes,
            digest,
            origin: ArtifactSource::Cache,
            not_kept: None,
        })
    }

    /// Returns the artifact with this digest if it is in the cache and not larger than `most`.
    pub(crate) async fn cached_small(&self, digest: ImageDigest, most: ByteSize) -> Option<Bytes> {
        self.inner.disk.read_small(digest, most).await
    }

    /// Returns a part of the artifact with this digest, from the cache, or from the file that the
    /// image names. It is not checked.
    pub(crate) async fn part(
        &self,
        image: &Image,
        digest: ImageDigest,
        part: Range<usize>,
    ) -> Option<Bytes> {
        if let Some(bytes) = self.inner.disk.read_part(digest, part.clone()).await {
            return Some(bytes);
        }
        let Image::File(path) = image else {
            return None;
        };
        let path = path.clone();
        let read = spawn_blocking(move || regular_file::read_part(&path, part)).await;
        read.ok()?.ok().map(Bytes::from)
    }

    /// Adds bytes from elsewhere to the cache: from the program, or from another host.
    pub async fn keep(&self, bytes: impl Into<Bytes>) -> Artifact {
        let bytes = bytes.into();
        let digest = digest_of(&bytes).await;
        let not_kept = self.inner.disk.write(digest, &bytes).await.err();
        Artifact {
            bytes,
            digest,
            origin: ArtifactSource::Given,
            not_kept,
        }
    }

    /// Returns the size of the largest image that is accepted.
    pub(crate) fn max_size(&self) -> ByteSize {
        self.inner.settings.max_size
    }

    async fn in_time<T>(
        &self,
        image: &Image,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let after = self.inner.settings.whole;
        timeout(after, work)
            .await
            .map_err(|_| FetchError::Deadline {
                image: image.to_string(),
                after,
            })?
    }

    async fn read_file(
        &self,
        path: &Path,
        expected: Option<ImageDigest>,
    ) -> Result<Artifact, FetchError> {
        let image = Image::File(path.into());
        let (owned, limit) = (PathBuf::from(path), self.inner.settings.max_size);
        let read = spawn_blocking(move || read_at_most(&owned, limit)).await;
        let bytes = read
            .map_err(|_| FetchError::Ended {
                image: image.to_string(),
            })?
            .map_err(|error| FetchError::File {
                path: path.into(),
                source: Arc::new(error),
            })?;
        let size = ByteSize::bytes(bytes.len() as u64);
        if size > limit {
            return Err(FetchError::TooLarge {
                image: image.to_string(),
                size,
                limit,
            });
        }
        WasmKind::of(&bytes).map_err(|found| not_wasm(&image, found))?;
        let found = digest_of(&bytes).await;
        match expected {
            Some(expected) if expected != found => Err(FetchError::Mismatch {
                image: image.to_string(),
                expected,
                found,
            }),
            _ => Ok(Artifact {
                bytes,
                digest: found,
                origin: ArtifactSource::File,
                not_kept: None,
            }),
        }
    }
}

fn resolved(image: Image, artifact: &Artifact) -> Resolved {
    let size = ByteSize::bytes(artifact.bytes.len() as u64);
    Resolved {
        image,
        digest: artifact.digest,
        size,
    }
}

fn not_here(image: &Image) -> FetchError {
    FetchError::NotHere {
        image: image.to_string(),
    }
}

fn not_wasm(image: &Image, found: &str) -> FetchError {
    FetchError::NotWasm {
        image: image.to_string(),
        found: found.into(),
    }
}

/// Reads at most one byte more than the limit, which shows that the file is larger.
fn read_at_most(path: &Path, limit: ByteSize) -> io::Result<Bytes> {
    let file = regular_file::open(path)?;
    let mut bytes = Vec::new();
    file.take(limit.as_u64().saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Computes the digest on a blocking thread, because 100 MiB take a tenth of a second.
async fn digest_of(bytes: &Bytes) -> ImageDigest {
    let shared = bytes.clone();
    match spawn_blocking(move || ImageDigest::of(&shared)).await {
        Ok(digest) => digest,
        // The runtime shuts down. Callers that still wait get their result.
        Err(_) => ImageDigest::of(bytes),
    }
}
