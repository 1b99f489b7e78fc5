//! Tests of the standard providers, against real servers.

mod names;
mod secrets;
mod servers;
#[cfg(feature = "sql")]
mod sql;
