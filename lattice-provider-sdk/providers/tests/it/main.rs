//! Tests of the standard providers, against real servers.

mod command;
mod names;
mod secrets;

#[expect(dead_code, reason = "these tests use a part of it")]
#[path = "../../../../lattice-core/tests/support/nats.rs"]
mod nats;
