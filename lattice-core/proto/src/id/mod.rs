//! Ids and numbers that everything above shares: who sends, who calls, which function, which write.

mod function;
mod origin;
mod source;
mod store;
mod trace;

pub use function::FunctionKey;
pub use origin::Origin;
pub use source::Source;
pub use store::{Fence, Incarnation, Revision};
pub use trace::TraceContext;
