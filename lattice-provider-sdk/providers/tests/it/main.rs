//! Tests of the standard providers, against real servers.

#[cfg(feature = "messaging")]
mod messaging;
#[cfg(feature = "schedule")]
mod schedule;

#[cfg(any(feature = "keyvalue-nats", feature = "messaging-nats"))]
#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;

mod names;
mod secrets;
