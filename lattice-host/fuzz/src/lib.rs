//! Tests the transcoder with untrusted guest memory and wire bytes. Each function here takes any
//! input, moves it through the raw transcoder and through wasmtime's dynamic values, and panics
//! when the results differ.
//!
//! | function | input | checks |
//! | --- | --- | --- |
//! | [`lift`] | the memory of a guest that passes a value, and the core values that it passes | both accept the value and return the same bytes, or both refuse it |
//! | [`wire`] | wire bytes | they are accepted exactly when `postcard` would have written them, and a guest that receives accepted ones returns them unchanged |
//!
//! The first byte selects the type of the value from a fixed table. The transcoder is private to
//! the host, so its files are compiled here again, together with the model of types and values from
//! its own tests.

#[path = "../../src/limits.rs"]
#[expect(dead_code, reason = "the host uses the rest")]
mod limits;
#[path = "../../src/transcode/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the host uses the rest")]
mod transcode;

#[path = "../../src/transcode/tests/guests.rs"]
#[expect(
    dead_code,
    clippy::format_collect,
    reason = "the transcoder's tests use the rest, and the speed of writing text doesn't matter"
)]
mod guests;
#[path = "../../src/transcode/tests/types.rs"]
#[expect(
    dead_code,
    clippy::format_collect,
    reason = "the transcoder's tests use the rest, and the speed of writing text doesn't matter"
)]
mod types;
#[path = "../../src/transcode/tests/values.rs"]
mod values;

mod engine;
mod liar;
mod lift;
mod reader;
mod table;
mod wire;

pub use lift::lift;
pub use wire::{map, sample, wire};

/// The name of a fuzz target, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Their names are those of their folders in `corpus/`.
pub const TARGETS: [Target; 2] = [("lift", lift), ("wire", wire)];
