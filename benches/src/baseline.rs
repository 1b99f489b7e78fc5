//! The baseline for calls between components on one host: the same actors on bare Wasmtime, with
//! typed bindings generated from the same WIT.
//!
//! Each actor runs in its own task, which receives calls from a channel and replies through a
//! oneshot channel, as a program would that shares an instance between tasks. There are as many
//! actors as a host's warm actor has instances, and each caller has its own callee, so there is no
//! lock, no queue and no lookup. The engine is configured like a host's.

mod callee;
mod caller;
mod engine;

pub use callee::Answers;
pub use caller::{Callers, INSTANCES};
pub use engine::Code;
pub(crate) use engine::config;
