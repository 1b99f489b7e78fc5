//! Tests of the standard providers, against real servers.
