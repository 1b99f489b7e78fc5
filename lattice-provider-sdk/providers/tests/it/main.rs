//! Tests of the standard providers, against real servers.

mod servers;
#[cfg(feature = "sql")]
mod sql;
