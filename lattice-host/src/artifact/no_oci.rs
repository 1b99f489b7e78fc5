//! Replaces registries when the feature `oci` is off.

use super::{
    Artifact, FetchError, ImageDigest, OciReference, Progress, PushError, RegistryError, Resolved,
    WasmKind, disk::Disk, settings::Settings,
};
use bytes::Bytes;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Oci;

#[expect(clippy::unused_async, reason = "the same shape as with the feature")]
impl Oci {
    pub(super) fn new(_: Arc<Settings>, _: Disk) -> Self {
        Self
    }

    pub(super) async fn fetch(
        &self,
        image: &OciReference,
        _: Option<ImageDigest>,
        _: impl FnMut(Progress),
    ) -> Result<Artifact, FetchError> {
        Err(off(image).into())
    }

    pub(super) async fn fetch_program(&self, image: &OciReference) -> Result<Artifact, FetchError> {
        Err(off(image).into())
    }

    pub(super) async fn pin(&self, image: &OciReference) -> Result<OciReference, FetchError> {
        Err(off(image).into())
    }

    pub(super) async fn resolve(&self, image: &OciReference) -> Result<Resolved, FetchError> {
        Err(off(image).into())
    }

    pub(super) async fn describe(
        &self,
        image: &OciReference,
    ) -> Result<(Resolved, String), FetchError> {
        Err(off(image).into())
    }

    pub(super) async fn push(
        &self,
        image: &OciReference,
        _: Bytes,
        _: WasmKind,
    ) -> Result<Resolved, PushError> {
        Err(off(image).into())
    }
}

/// Returns `None`, because only registries have manifests.
pub(super) fn named_by(_: &[u8]) -> Option<ImageDigest> {
    None
}

fn off(image: &OciReference) -> RegistryError {
    RegistryError::Off {
        image: image.to_string(),
    }
}
