//! The constellation: the lattice as a person sees it.

mod status;

pub use status::{ComponentStatus, MAX_REASON, Phase};

pub(crate) use status::cut;
