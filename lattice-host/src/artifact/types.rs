//! What is fetched, and what is known of it.

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
    /// Where they came from, this time.
    pub origin: ArtifactSource,
    /// Why they are not in the cache, if they should be. They are valid all the same.
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
    /// From the caller, who had the bytes.
    Given,
}

/// An image pinned to what it means now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The image; one in a registry names the digest of its manifest.
    pub image: Image,
    /// Digest of the component's bytes.
    pub digest: ImageDigest,
    /// Size of the component.
    pub size: ByteSize,
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// What it is and where.
    pub resolved: Resolved,
    /// A component or a module.
    pub kind: WasmKind,
    /// Its imports and exports; `None` if the binary can't be read to the end.
    pub names: Option<Names>,
    /// What its registry calls the bytes; `None` for a file.
    pub media_type: Option<String>,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are here.
    pub received: u64,
    /// Bytes there will be, once that is known.
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
