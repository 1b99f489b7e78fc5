//! Tests of the standard providers, against real servers.

mod names;
mod secrets;
