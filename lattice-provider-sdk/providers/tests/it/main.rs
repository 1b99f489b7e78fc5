//! Tests of the standard providers, against real servers.

mod command;
mod names;
mod secrets;

#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;
