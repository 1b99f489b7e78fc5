//! Calls: what a caller asks, what a callee answers, and how they fail.

mod error;

pub use error::{CallError, Part, Ran};
