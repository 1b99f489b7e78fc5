//! Moves arguments and results between the memory of guests and wire bytes, for functions known
//! only at run time.
//!
//! A [`FunctionPlan`] is compiled once per function when an actor is linked. It refuses types that
//! have no wire form, contains the function's [signature], and checks wire bytes without building
//! values. With it, [`link_import`] serves an import of a guest from wire bytes, and an
//! [`ExportFunction`] calls an export of a guest with them. No value is built in between: bytes go
//! from guest memory to the wire and back in one pass.
//!
//! ```text
//!  guest memory ──lift──► wire bytes ──► handler ──► wire bytes ──validate──► lower ──► guest memory     (an import)
//!  wire bytes ──validate──► lower ──► guest memory … guest memory ──lift──► wire bytes                   (an export)
//! ```
//!
//! Streams, futures and resources aren't bytes: they are passed beside them, in the order in which
//! a walk over the value meets their places, which are one zero byte each. What they stand for is
//! the store's to say, which is a [`HandleStore`]. The elements of streams and futures move through
//! [`channel`] in the same encoding, in chunks. One that breaks ends with a [`FailureValue`] where
//! the type of its elements can hold an error, and traps its reader where it can't.
//!
//! Errors, and their effects:
//!
//! * Wire bytes that aren't a value of the type: a [`ValueError`](wire::ValueError), before any
//!   guest sees them.
//! * A guest that passes an invalid or too large value: a [`LiftError`], which is a trap in that
//!   guest. Get it from a `wasmtime::Error` with `downcast_ref`. Arguments that are too large are
//!   reported to the import first, which may reply with a value instead. The limit on what one call
//!   lifts is the store's hostcall fuel (`Store::set_hostcall_fuel`), counted here in wire bytes.
//! * Values for which the host has no room, by the guest's [`Meter`]: [`LiftError::NoRoom`],
//!   handled in the same way. They are not copied.
//! * A handler that replies with invalid bytes: an [`ImportError`](import::ImportError), which is a
//!   trap in the calling guest and names the import.
//!
//! [signature]: FunctionPlan::signature

/// Turns the run-time count of core values `$flat` (0 to 16) into the constant `$N` in `$body`.
macro_rules! for_flat_count {
    ($flat:expr, $N:ident => $body:expr) => {
        for_flat_count!(
            $flat, $N => $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; 16
        )
    };
    ($flat:expr, $N:ident => $body:expr; $($count:literal)*; $last:literal) => {
        match $flat {
            $($count => { const $N: usize = $count; $body })*
            _ => { const $N: usize = $last; $body }
        }
    };
}

mod channel;
mod export;
mod failure_value;
mod handles;
mod import;
mod meter;
mod plan;
mod plan_error;
mod raw;
mod resources;
mod scalar;
mod shape;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a failed unwrap is a failed test, which needs no message"
)]
mod tests;
mod validate;
mod wire;

pub(crate) use channel::UnreadFutures;
pub(crate) use export::{BoundExport, ExportFunction};
pub(crate) use failure_value::FailureValue;
pub(crate) use handles::{ChannelGuard, HandleStore, take_out};
pub(crate) use import::{ImportHandler, PassFuture, ReplyFuture, link_import};
pub(crate) use meter::{Meter, metered};
pub(crate) use plan::{Asyncness, FunctionPlan};
pub(crate) use raw::{LiftError, Lifted, RawHandle};
pub(crate) use resources::{ResourceIndex, Resources};
pub(crate) use validate::{Arguments, Places};
#[cfg(test)]
use {
    import::ImportError,
    plan_error::{PlanError, Unplannable},
    validate::GuestBytes,
    wire::ValueError,
};
