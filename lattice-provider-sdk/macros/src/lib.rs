//! Code generation from WIT for lattice-provider-sdk
