//! Moves arguments and results between the memory of guests and wire bytes, for functions known
//! only at run time.
//!
//! A [`FunctionPlan`] is compiled once per function when an actor is linked. It refuses types that
//! have no wire form, knows the function's [signature], and checks wire bytes without building
//! anything. With it, [`link_import`] serves an import of a guest from wire bytes, and an
//! [`ExportFunction`] calls an export of a guest with them. No value is ever built in between:
//! bytes go from guest memory to the wire and back in one pass.
//!
//! ```text
//!  guest memory ──lift──► wire bytes ──► handler ──► wire bytes ──validate──► lower ──► guest memory     (an import)
//!  wire bytes ──validate──► lower ──► guest memory … guest memory ──lift──► wire bytes                   (an export)
//! ```
//!
//! What can go wrong, and what it does:
//!
//! * Wire bytes that aren't a value of the type: [`ValueError`](wire::ValueError) before any guest
//!   sees them.
//! * A guest that passes an invalid value, or too much of it: [`LiftError`], a trap in that guest.
//!   Find it in a `wasmtime::Error` with `downcast_ref`. Arguments that are too large are reported
//!   to the import first, which may reply with a value instead. The limit on what one call lifts is
//!   the store's hostcall fuel (`Store::set_hostcall_fuel`), counted here in wire bytes.
//! * A handler that replies with invalid bytes: [`ImportError`](import::ImportError), a trap in the
//!   guest that called, naming the import.
//!
//! [signature]: FunctionPlan::signature

/// Makes the core value count `$flat` (0 to 16), known at run time, the constant `$N` in `$body`.
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

mod export;
mod import;
mod plan;
mod raw;
mod shape;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a failed unwrap is a failed test, and nobody waits for its text"
)]
mod tests;
mod validate;
mod wire;

pub(crate) use export::{BoundExport, ExportFunction};
pub(crate) use import::{ImportHandler, ReplyFuture, link_import};
pub(crate) use plan::{Asyncness, FunctionPlan};
pub(crate) use raw::LiftError;
pub(crate) use validate::Arguments;
#[cfg(test)]
use {import::ImportError, plan::PlanError, validate::GuestBytes, wire::ValueError};
