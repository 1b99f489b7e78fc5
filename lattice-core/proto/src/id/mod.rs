//! Ids and numbers that all higher modules share: senders, sources of calls, functions, writes.

mod function;
mod origin;
mod source;
mod store;
mod trace;

pub use function::FunctionKey;
pub use origin::Origin;
pub use source::Source;
pub use store::{Fence, Incarnation, Revision};
pub use trace::{TraceContext, TraceContextError};
