//! Wire bytes to and from the canonical ABI, without a value in between.
//!
//! Wasmtime moves Rust types that implement its `Lift` and `Lower`. The types in [`carriers`]
//! implement them for "the bytes of whatever this function takes": they walk the component's own
//! types while they lift or lower. Those traits are public but hidden and bound to no promise, so
//! wasmtime is pinned to one minor version, everything that touches them is in this folder, and all
//! `unsafe` of it is in [`carriers`].
//!
//! What the walks rely on is checked by themselves: bounds, alignment, discriminants, characters
//! and UTF-8 on the way out of a guest; bounds and the wire bytes on the way in. Neither holds a
//! slice of guest memory while the guest runs.

mod carriers;
mod lift;
mod lower;
mod types;

pub(super) use carriers::{FlatArguments, FlatParams, FlatResult, FlatReturn, SPILLED};
pub(crate) use lift::LiftError;
