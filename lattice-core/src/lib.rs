//! The heart of Lattice: names, wire, bus, store, links and calls of a self-healing compute mesh.

pub mod bus;
pub mod call;
pub mod name;
#[cfg(feature = "nats")]
pub mod nats;
pub mod store;
pub mod subject;
