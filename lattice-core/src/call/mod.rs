//! Calls: the context of a call, and its errors.

mod context;
mod turns;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
#[doc(inline)]
pub use lattice_proto::call::{CallError, FunctionRef, Limit, Part, Ran};
pub use turns::{Turn, Turns};
