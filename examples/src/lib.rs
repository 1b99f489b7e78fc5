//! Runnable examples of Lattice
