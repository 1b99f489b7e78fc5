//! Calls: what a caller asks, what a callee answers, and how they fail.

mod context;
mod error;
mod function;
mod limit;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
pub use error::{CallError, Part, Ran};
pub use function::FunctionRef;
pub use limit::Limit;
