//! What is done with a guest's memory and with wire bytes when anybody may have made them: each function here takes any
//! input, moves it through the raw transcoder and, beside it, through wasmtime's dynamic values, and panics when the two
//! differ.
//!
//! | function | input | checks |
//! | --- | --- | --- |
//! | [`lift`] | the memory of a guest that passes a value, and the core values that it passes | both take the value and make the same bytes of it, or both refuse it |
//! | [`wire`] | wire bytes | they are valid exactly when `postcard` would have written them; then a guest gets them and gives them back unchanged |
//!
//! The first byte says of which type the value is, from a fixed table. The transcoder is private to the host: its files are
//! compiled here once more, with the model of types and values that its own tests are written with.

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
    reason = "the transcoder's tests use the rest, and nobody waits for its text"
)]
mod guests;
#[path = "../../src/transcode/tests/types.rs"]
#[expect(
    dead_code,
    clippy::format_collect,
    reason = "the transcoder's tests use the rest, and nobody waits for its text"
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

/// A function of this crate, by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their folders in `corpus/`.
pub const TARGETS: [Target; 2] = [("lift", lift), ("wire", wire)];
