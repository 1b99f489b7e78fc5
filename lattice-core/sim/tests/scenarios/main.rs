//! The lattice in the simulator: many seeds with every invariant checked, and a test of each
//! checker.

mod broken;
mod middle;
mod passing;
mod repeats;
mod seeds;
mod sessions;
mod uplink;
