//! The standard capability providers of a lattice, written with `lattice-provider-sdk` as any other
//! provider is.

#[cfg(feature = "blobstore")]
pub mod blobstore;
