//! The baseline of calls between components on one host: the same actors on bare Wasmtime, with typed bindings generated
//! from the same WIT.
//!
//! Each actor lives in a task of its own, which takes calls from a channel and answers by a oneshot; so does a program
//! that shares an instance between its tasks. There are as many as a warm actor of a host has instances, and a caller has a
//! callee to itself: no lock, no queue, no lookup. The engine is configured as a host's is.

mod callee;
mod caller;
mod engine;

pub use callee::Answers;
pub use caller::{Callers, INSTANCES};
pub use engine::Code;
