//! Converts wire bytes to and from the canonical ABI, without a value in between.
//!
//! Wasmtime moves Rust types that implement its `Lift` and `Lower`. The types in [`carriers`]
//! implement them for the bytes of any function's values: they walk the component's own types while
//! they lift or lower. Those traits are public but hidden, without a promise of stability. Wasmtime
//! is therefore pinned to one minor version, all code that uses the traits is in this folder, and
//! all of its `unsafe` is in [`carriers`] and [`elements`].
//!
//! The walks check everything that they rely on: bounds, alignment, discriminants, characters and
//! UTF-8 on the way out of a guest, and bounds and the wire bytes on the way in. Neither holds a
//! slice of guest memory while the guest runs.

mod carriers;
mod elements;
mod handles;
mod lift;
mod lift_error;
mod lower;
mod types;

pub(super) use carriers::{FlatArguments, FlatParams, FlatResult, FlatReturn, SPILLED};
pub(super) use elements::{Batch, Element, read_batch};
pub(crate) use handles::{Lifted, RawHandle};
pub(crate) use lift_error::{LiftError, Refusal};
pub(crate) use types::Payload;
