//! The contracts of [`Bus`](lattice_core::bus::Bus) and [`Store`](lattice_core::store::Store) as
//! suites that every implementation has to pass.

pub mod bus;
pub mod store;
