//! The links of a lattice: read from this process's replica, written to the store.

mod api;
mod write;

pub use api::{DeleteError, LinkError, Links, ReportError};
pub use write::WriteError;
