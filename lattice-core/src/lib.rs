//! The heart of Lattice: names, wire, bus, store, links and calls of a self-healing compute mesh
