//! Calls: what a caller asks, what a callee answers, and how they fail.

mod context;
mod turns;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
pub use lattice_proto::call::{CallError, FunctionRef, Limit, Part, Ran};
pub use turns::{Turn, Turns};
