//! Tests of the standard providers, against real servers.

#[cfg(feature = "keyvalue")]
mod keyvalue;
#[cfg(any(feature = "keyvalue-redis", feature = "keyvalue-nats"))]
mod servers;

mod names;
#[cfg(feature = "keyvalue-nats")]
#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;
mod secrets;
