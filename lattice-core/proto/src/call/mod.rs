//! Errors of calls, and references to the functions that they are for.

mod error;
mod function;
mod kind;
mod limit;
mod places;

pub use error::{CallError, Part, Ran};
pub use function::FunctionRef;
pub use limit::Limit;
pub use places::HandlePlaces;
