//! Calls: what a caller asks, what a callee answers, and how they fail.

mod context;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
#[doc(inline)]
pub use lattice_proto::call::{CallError, FunctionRef, Limit, Part, Ran};
