//! Tests of the standard providers, against real servers.

#[cfg(feature = "blobstore")]
mod blobstore;
mod command;
mod connections;
#[cfg(unix)]
mod full;
#[cfg(feature = "keyvalue")]
mod keyvalue;
#[cfg(feature = "messaging")]
mod messaging;
mod names;
#[cfg(feature = "schedule")]
mod schedule;
mod secrets;
#[cfg(feature = "all")]
mod spans;
#[cfg(feature = "sql")]
mod sql;

#[path = "../../../../lattice-core/tests/support/log.rs"]
#[expect(dead_code, reason = "only spans are captured here")]
mod log;
#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;
mod servers;
#[path = "../../../../lattice-core/tests/support/tls.rs"]
mod tls;
mod wait;
