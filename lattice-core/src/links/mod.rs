//! The links of a lattice: read from this process's replica, written to the store.

mod api;
mod write;

#[doc(hidden)]
pub use api::ReportError;
pub use api::{DeleteError, LinkError, Links};
pub use write::WriteError;
#[cfg(feature = "secrets")]
pub(crate) use write::{Attempts, Slot, Writer, Written};
#[cfg(feature = "apps")]
pub(crate) use write::{PATIENCE, PAUSES, REREAD, SEEN_WITHIN};
