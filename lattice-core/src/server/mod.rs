//! Components in service.

pub(crate) mod component;
pub(crate) mod drain;
pub(crate) mod host_rpc;
pub(crate) mod inbox;
pub(crate) mod link_admission;
pub(crate) mod meter;
pub(crate) mod published;
pub(crate) mod registration;

pub use component::ServeLimits;
pub use registration::{ServeError, Serving};
