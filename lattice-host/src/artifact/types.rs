//! Fetched artifacts, and information about them.

use super::{CacheError, Image, ImageDigest, Names, WasmKind};
use crate::limits::ByteSize;
use bytes::Bytes;
use std::fmt;

/// The bytes of a component, with their digest.
#[derive(Clone)]
#[non_exhaustive]
pub struct Artifact {
    /// The WebAssembly binary.
    pub bytes: Bytes,
    /// Digest of the bytes.
    pub digest: ImageDigest,
    /// Where the bytes came from this time.
    pub origin: ArtifactSource,
    /// Why the bytes could not be cached. They are valid nevertheless.
    pub not_kept: Option<CacheError>,
}

/// Where an artifact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactSource {
    /// From the cache on disk.
    Cache,
    /// From a file that the image names.
    File,
    /// From a registry.
    Registry,
    /// From the caller, which had the bytes.
    Given,
}

/// An image pinned to its current content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The image. In a registry, it names the digest of its manifest.
    pub image: Image,
    /// Digest of the component's bytes.
    pub digest: ImageDigest,
    /// Size of the component.
    pub size: ByteSize,
}

/// What an image contains.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The resolved image.
    pub resolved: Resolved,
    /// Whether it is a component or a module.
    pub kind: WasmKind,
    /// Its imports and exports. `None` if the binary can't be read to the end.
    pub names: Option<Names>,
    /// The media type that the registry has for the bytes. `None` for a file.
    pub media_type: Option<String>,
}

/// The progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes received.
    pub received: u64,
    /// Total number of bytes, once it is known.
    pub size: Option<u64>,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("digest", &self.digest)
            .field("size", &self.bytes.len())
            .field("origin", &self.origin)
            .field("not_kept", &self.not_kept)
            .finish()
    }
}
