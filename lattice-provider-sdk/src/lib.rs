//! Write native capability providers for a lattice from WIT
