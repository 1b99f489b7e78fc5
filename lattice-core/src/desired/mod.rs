//! Desired state: what a lattice should be, as its store says. Only ever edited, never commanded.

mod rules;

pub use rules::{Placement, Replicas, Spread};
