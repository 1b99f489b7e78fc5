//! Images in registries.

mod authority;
mod challenge;
mod client;
mod docker;
mod helper;
mod http;
mod index;
mod manifest;
mod request;
mod retry;
mod single_flight;

use super::{
    Artifact, ArtifactSource, FetchError, Image, ImageDigest, Names, OciReference, Progress,
    PushError, RegistryError, Resolved, Tags, WasmKind, disk::Disk, settings::Settings,
};
use crate::limits::ByteSize;
use bytes::Bytes;
use client::{Client, Received};
use futures_util::FutureExt as _;
use manifest::{Component, Content, Layer, Layout, LayoutError};
use retry::Attempts;
use single_flight::SingleFlight;
use std::{fmt, sync::Arc};
use tokio::{
    sync::{OnceCell, Semaphore, watch},
    task::spawn_blocking,
};
use tokio_util::task::AbortOnDropHandle;

/// All registries.
pub(super) struct Oci {
    connection: Arc<Registries>,
    downloads: SingleFlight<ImageDigest, Result<Artifact, FetchError>>,
}

/// State that downloads and pushes share.
struct Registries {
    settings: Arc<Settings>,
    disk: Disk,
    client: OnceCell<Client>,
    transfers: Semaphore,
}

/// A layer, and the digest of the manifest by which it was found.
struct Located {
    manifest: ImageDigest,
    layer: Layer,
}

/// Returns the digest that a manifest or an index names.
pub(super) fn named_by(document: &[u8]) -> Option<ImageDigest> {
    match Layout::read(document).ok()? {
        Layout::Image(layer) => Some(layer.digest),
        Layout::Index(manifest) => Some(manifest),
    }
}

impl Oci {
    pub(super) fn new(settings: Arc<Settings>, disk: Disk) -> Self {
        // The semaphore would panic with more.
        let most = settings.transfers.get().min(Semaphore::MAX_PERMITS);
        let transfers = Semaphore::new(most);
        let connection = Registries {
            settings,
            disk,
            client: OnceCell::new(),
            transfers,
        };
        Self {
            connection: Arc::new(connection),
            downloads: SingleFlight::default(),
        }
    }

    pub(super) async fn fetch(
        &self,
        image: &OciReference,
        expected: Option<ImageDigest>,
        seen: impl FnMut(Progress),
    ) -> Result<Artifact, FetchError> {
        let layer = self.locate(image, Content::Wasm).await?.layer;
        if let Some(expected) = expected.filter(|expected| *expected != layer.digest) {
            return Err(FetchError::Mismatch {
                image: image.to_string(),
                expected,
                found: layer.digest,
            });
        }
        self.download(image, (layer, Content::Wasm), seen).await
    }

    /// Fetches a program for this machine.
    pub(super) async fn fetch_program(&self, image: &OciReference) -> Result<Artifact, FetchError> {
        let layer = self.locate(image, Content::Program).await?.layer;
        self.download(image, (layer, Content::Program), |_| ())
            .await
    }

    /// Returns the image with the digest that it has now, whatever it contains.
    pub(super) async fn pin(&self, image: &OciReference) -> Result<OciReference, FetchError> {
        let (digest, _) = self.connection.document(image).await?;
        Ok(image.pinned(digest))
    }

    pub(super) async fn resolve(&self, image: &OciReference) -> Result<Resolved, FetchError> {
        let (resolved, _) = self.describe(image).await?;
        Ok(resolved)
    }

    /// Resolves an image. Also returns the media type of its bytes.
    pub(super) async fn describe(
        &self,
        image: &OciReference,
    ) -> Result<(Resolved, String), FetchError> {
        let Located { manifest, layer } = self.locate(image, Content::Wasm).await?;
        let image = Image::Oci(image.pinned(manifest));
        Ok((
            Resolved {
                image,
                digest: layer.digest,
                size: layer.size,
            },
            layer.media_type,
        ))
    }

    async fn locate(&self, image: &OciReference, content: Content) -> Result<Located, FetchError> {
        let (connection, wanted) = (Arc::clone(&self.connection), image.clone());
        // The registry's data is parsed in a separate task, so that a panic stays there.
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            connection.locate(&wanted, content).await
        }));
        let located = task.await.unwrap_or_else(|_| {
            Err(FetchError::Ended {
                image: image.to_string(),
            })
        })?;
        let (size, limit) = (located.layer.size, self.connection.settings.max_size);
        if size > limit {
            return Err(FetchError::TooLarge {
                image: image.to_string(),
                size,
                limit,
            });
        }
        Ok(located)
    }

    /// Downloads the layer, once for all callers that request it at the same time.
    async fn download(
        &self,
        image: &OciReference,
        (layer, content): (Layer, Content),
        seen: impl FnMut(Progress),
    ) -> Result<Artifact, FetchError> {
        let (connection, image, digest) =
            (Arc::clone(&self.connection), image.clone(), layer.digest);
        let start = |progress| {
            let name = image.to_string();
            // The download runs in a separate task, so that it proceeds even if one of its callers
            // is slow, and a panic stays in the task.
            let task = async move { connection.load(&image, (&layer, content), &progress).await };
            let task = AbortOnDropHandle::new(tokio::spawn(task));
            async move { task.await.unwrap_or(Err(FetchError::Ended { image: name })) }.boxed()
        };
        self.downloads.join(digest, start, seen).await
    }

    pub(super) async fn push(
        &self,
        image: &OciReference,
        bytes: Bytes,
        kind: WasmKind,
    ) -> Result<Resolved, PushError> {
        let name = image.to_string();
        if image.tag().is_none() || image.digest().is_some() {
            return Err(PushError::NoTag { image: name });
        }
        let (connection, image) = (Arc::clone(&self.connection), image.clone());
        let task = tokio::spawn(async move { connection.push(image, bytes, kind).await });
        AbortOnDropHandle::new(task)
            .await
            .unwrap_or(Err(PushError::Ended { image: name }))
    }
}

impl Registries {
    async fn client(&self) -> Result<&Client, RegistryError> {
        self.client
            .get_or_try_init(async || {
                let settings = Arc::clone(&self.settings);
                let made = spawn_blocking(move || Client::new(settings)).await;
                made.unwrap_or_else(|ended| {
                    Err(RegistryError::Client {
                        source: Arc::new(ended),
                    })
                })
            })
            .await
    }

    async fn locate(&self, image: &OciReference, content: Content) -> Result<Located, FetchError> {
        let (manifest, bytes) = self.document(image).await?;
        let layer = match Self::layout(image, &bytes, content)? {
            Layout::Image(layer) => layer,
            Layout::Index(entry) => {
                let entry = image.pinned(entry);
                let (_, bytes) = self.document(&entry).await?;
                match Self::layout(&entry, &bytes, content)? {
                    Layout::Image(layer) => layer,
                    Layout::Index(_) => {
                        let reason = "it is an index in an index".into();
                        return Err(FetchError::Manifest {
                            image: entry.to_string(),
                            reason,
                        });
                    }
                }
            }
        };
        Ok(Located { manifest, layer })
    }

    fn layout(image: &OciReference, bytes: &[u8], content: Content) -> Result<Layout, FetchError> {
        let image = image.to_string();
        Layout::read_as(bytes, content).map_err(|error| match error {
            LayoutError::Malformed(reason) => FetchError::Manifest { image, reason },
            LayoutError::NotWasm(found) => FetchError::NotWasm { image, found },
            LayoutError::Platforms(found) => FetchError::Platforms { image, found },
        })
    }

    /// Returns a manifest or an index, from the cache if its digest is known, and from the registry
    /// otherwise.
    async fn document(&self, image: &OciReference) -> Result<(ImageDigest, Bytes), FetchError> {
        if let Some(digest) = image.digest() {
            return match self.disk.read(digest).await {
                Some(bytes) => Ok((digest, bytes)),
                None => self.pull_document(image).await.map_err(FetchError::from),
            };
        }
        match self.pull_document(image).await {
            Ok((digest, bytes)) => {
                self.disk.remember(image, digest).await;
                Ok((digest, bytes))
            }
            Err(error) if error.is_transient() && self.settings.tags == Tags::LastKnownWhenDown => {
                let Some(known) = self.last_known(image).await else {
                    return Err(error.into());
                };
                tracing::warn!(%image, %error, manifest = %known.0, "a tag can't be resolved; its last known digest is used");
                Ok(known)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn last_known(&self, image: &OciReference) -> Option<(ImageDigest, Bytes)> {
        let digest = self.disk.tag(image).await?;
        Some((digest, self.disk.read(digest).await?))
    }

    async fn pull_document(
        &self,
        image: &OciReference,
    ) -> Result<(ImageDigest, Bytes), RegistryError> {
        let client = self.client().await?;
        let mut attempts = Attempts::new(self.settings.attempts);
        let (bytes, digest) = loop {
            match client.manifest(image).await {
                Ok(pulled) => break pulled,
                Err(error) => attempts.after(error).await?,
            }
        };
        if bytes.len() <= manifest::MAX_MANIFEST {
            // A failure was logged, and the image is usable without the cache.
            let _ = self.disk.write(digest, &bytes).await;
        }
        Ok((digest, bytes))
    }

    async fn load(
        &self,
        image: &OciReference,
        (layer, content): (&Layer, Content),
        progress: &watch::Sender<Progress>,
    ) -> Result<Artifact, FetchError> {
        let digest = layer.digest;
        if let Some(bytes) = self.disk.read(digest).await {
            return Ok(Artifact {
                bytes,
                digest,
                origin: ArtifactSource::Cache,
                not_kept: None,
            });
        }
        let bytes = self.receive(image, layer, progress).await?;
        if content == Content::Wasm
            && let Err(found) = WasmKind::of(&bytes)
        {
            return Err(FetchError::NotWasm {
                image: image.to_string(),
                found: found.into(),
            });
        }
        let not_kept = self.disk.write(digest, &bytes).await.err();
        Ok(Artifact {
            bytes,
            digest,
            origin: ArtifactSource::Registry,
            not_kept,
        })
    }

    async fn receive(
        &self,
        image: &OciReference,
        layer: &Layer,
        progress: &watch::Sender<Progress>,
    ) -> Result<Bytes, RegistryError> {
        // The semaphore is never closed, and every caller has a deadline.
        let _turn = self.transfers.acquire().await;
        let client = self.client().await?;
        let size = Some(layer.size.as_u64());
        let mut parts = Received::default();
        let seen = |received| {
            progress.send_replace(Progress { received, size });
        };
        let mut attempts = Attempts::new(self.settings.attempts);
        while let Err(error) = client.layer(image, layer, &mut parts, seen).await {
            attempts.after(error).await?;
        }
        parts.finish(image, layer)
    }

    async fn push(
        &self,
        image: OciReference,
        bytes: Bytes,
        kind: WasmKind,
    ) -> Result<Resolved, PushError> {
        let name = || image.to_string();
        let ended = |_| PushError::Ended { image: name() };
        let size = ByteSize::bytes(bytes.len() as u64);
        let shared = bytes.clone();
        let described =
            spawn_blocking(move || (ImageDigest::of(&shared), names(&shared, kind))).await;
        let (digest, component) = described.map_err(ended)?;
        let written = manifest::write(digest, size.as_u64(), component)
            .map_err(|_| PushError::Ended { image: name() })?;

        let _turn = self.transfers.acquire().await;
        let client = self.client().await?;
        let mut attempts = Attempts::new(self.settings.attempts);
        while let Err(error) = client.push(&image, (digest, &bytes), &written).await {
            attempts.after(error).await?;
        }
        let expected = ImageDigest::of(&written.manifest);
        let (found, _) = self.pull_document(&image).await?;
        if found != expected {
            return Err(PushError::Changed {
                image: name(),
                expected,
                found,
            });
        }
        Ok(Resolved {
            image: Image::Oci(image.pinned(expected)),
            digest,
            size,
        })
    }
}

/// Returns the description of a component, without names if they can't be read. `None` for a
/// module.
fn names(bytes: &[u8], kind: WasmKind) -> Option<Component> {
    match kind {
        WasmKind::Module => None,
        WasmKind::Component => {
            let Names { imports, exports } = Names::of(bytes).unwrap_or_default();
            Some(Component { imports, exports })
        }
    }
}

impl fmt::Debug for Oci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oci").finish_non_exhaustive()
    }
}
