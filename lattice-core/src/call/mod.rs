//! Calls: the context of a call, and its errors.

mod context;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
#[doc(inline)]
pub use lattice_proto::call::{CallError, FunctionRef, Limit, Part, Ran};
