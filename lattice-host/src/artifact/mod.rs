//! Fetches the bytes of components from files, OCI registries and a cache on disk.
//!
//! [`Artifacts`] fetches an [`Image`] and returns an [`Artifact`]. Its bytes match its digest,
//! because they are checked on every load, also from the cache.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_host::artifact::{Artifacts, Credentials, Image};
//!
//! let artifacts = Artifacts::builder()
//!     .cache("/var/cache/lattice")
//!     .credentials("registry.example.com", Credentials::basic("me", "secret"))
//!     .build();
//!
//! // A tag may move: resolve it once, and fetch that image.
//! let tag: Image = "oci:registry.example.com/greeter:1.0".parse()?;
//! let resolved = artifacts.resolve(&tag).await?;
//! let artifact = artifacts.fetch(&resolved.image, resolved.digest).await?;
//! assert_eq!(artifact.digest, resolved.digest);
//! # Ok(())
//! # }
//! ```
//!
//! # Two digests
//!
//! The digest *in* an image (`oci:registry/repository@sha256:…`) is that of its manifest, a small
//! document in the registry that names the component's bytes by a digest of their own. The digest
//! *of* an artifact is that of its bytes, wherever they come from. [`Resolved`] has both.
//!
//! # When something fails
//!
//! Transient failures (no connection, silence, an incomplete response, an error of the server) are
//! retried with growing pauses, and a broken download continues where it broke. Everything ends
//! within a deadline. If the cache's disk is full or read-only, the artifact is returned but not
//! cached: see [`Artifact::not_kept`].
//!
//! Registries need the feature `oci`, which is on by default.

mod cache;
#[cfg(any(feature = "oci", feature = "process"))]
mod digest;
mod disk;
mod error;
pub(crate) mod exchange;
#[cfg(feature = "oci")]
mod oci;
#[cfg(not(feature = "oci"))]
#[path = "no_oci.rs"]
mod oci;
pub mod ranges;
mod settings;
mod store;
mod types;
mod wasm;

pub use cache::CacheError;
#[cfg(feature = "process")]
pub(crate) use digest::Hasher;
pub use error::{FetchError, PushError, RegistryError};
pub use lattice_core::desired::{DigestError, Image, ImageDigest, ImageError, OciReference};
pub use settings::{ArtifactsBuilder, Credentials, Tags};
pub use store::Artifacts;
pub use types::{Artifact, ArtifactSource, Inspection, Progress, Resolved};
pub use wasm::{Names, WasmKind, producers};
