//! Wrappers of [`Bus`](lattice_core::bus::Bus) and [`Store`](lattice_core::store::Store) that
//! misbehave on purpose, the same way for the same seed.

pub mod bus;
pub mod store;

pub use bus::{FaultBus, FaultCounts, Faults};
pub use store::{FaultStore, StoreFaultCounts, StoreFaults};
