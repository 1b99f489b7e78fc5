//! What is done with the bytes that anybody may send: each function here takes any input, decodes it and checks what must
//! hold of the result. It panics when something does not.
//!
//! | function | decodes | checks |
//! | --- | --- | --- |
//! | [`frame`] | frames, and their envelopes by kind | a frame that opens is what would be written |
//! | [`call`], [`reply`] | the envelopes of calls and their answers | what was read survives being written |
//! | [`body`] | beat, goodbye, discover, discovered, probe, probe ack, report, report wanted | the same |
//! | [`value`] | arguments and results of many types | read exactly when `postcard` reads it and would write the same |
//! | [`record`] | links, their status, published types, as they stand in the store | read back the same |
//! | [`name`] | names, interfaces, functions, store keys | a name is its text, a key says what it is made of |
//! | [`signature`] | canonical signatures | a text that is read is the one that would be written |
//!
//! Every one of them also fails an input for which a decoder holds more than twice its length and 64 KiB at once. Where the
//! decoder is told the type ([`value`], and published types, which are maps of names), the length is what that many bytes can
//! be in memory: eight each for a list of `u64`.
//!
//! The fuzz targets in `targets/` give them random bytes, `tests/replay.rs` the corpus.

pub mod allocation;
mod body;
mod envelope;
mod frame;
mod name;
mod record;
mod signature;
mod value;

pub use body::body;
pub use envelope::{call, reply};
pub use frame::frame;
pub use name::name;
pub use record::record;
pub use signature::signature;
pub use value::value;

// Tests that are built with the targets are instrumented as well, and need the runtime that counts.
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys as _;

/// A function of this crate, by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their folders in `corpus/`.
pub const TARGETS: [Target; 8] = [
    ("frame", frame),
    ("call", call),
    ("reply", reply),
    ("body", body),
    ("value", value),
    ("record", record),
    ("name", name),
    ("signature", signature),
];
