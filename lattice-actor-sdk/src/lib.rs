//! Write actors for a lattice: guest bindings, logging and typed clients
