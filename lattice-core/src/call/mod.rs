//! Calls: the context of a call, and its errors.

mod context;
mod turns;

pub use context::{Context, DEFAULT_DEADLINE, MAX_HOPS};
#[doc(inline)]
pub use lattice_proto::call::{CallError, FunctionRef, HandlePlaces, Limit, Part, Ran};
pub(crate) use turns::ReceivedChain;
#[doc(hidden)]
pub use turns::{Turn, Turns};
