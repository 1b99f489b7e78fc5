//! The heart of Lattice: names, wire, bus, store, links and calls of a self-healing compute mesh.

pub mod auth;
pub mod bus;
pub mod call;
mod lattice;
pub mod link;
pub mod name;
#[cfg(feature = "nats")]
pub mod nats;
pub mod node;
pub mod replica;
pub mod serve;
pub mod store;
pub mod subject;
pub mod types;
pub mod value;
pub mod wire;

pub use lattice::{BytesCall, Call, Component, Connect, ConnectError, Lattice};
