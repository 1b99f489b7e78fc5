//! Tests of the standard providers, against real servers.

#[cfg(feature = "blobstore")]
mod blobstore;

#[cfg(feature = "blobstore-nats")]
#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;
