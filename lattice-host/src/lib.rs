//! Runs WebAssembly components as actors of a lattice, embedded in any Rust process
