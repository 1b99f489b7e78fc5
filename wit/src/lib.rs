//! The WIT interfaces that Lattice's SDKs speak, as texts
