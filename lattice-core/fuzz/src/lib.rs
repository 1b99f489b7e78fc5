//! Fuzzing of the decoders of untrusted bytes. Each function takes any input, decodes it, and
//! panics if the result violates what must hold of it.
//!
//! | function | decodes | checks |
//! | --- | --- | --- |
//! | [`frame`] | frames, and their envelopes by kind | a frame that opens is what would be written |
//! | [`call`], [`reply`] | the envelopes of calls and their replies | what was read is the same after it is written and read again |
//! | [`session`] | the items of sessions | the same; and an end of sessions that gets them stays within its memory |
//! | [`exchange`] | nothing | two ends of sessions deliver a whole channel or a break, whatever their users and the bus do |
//! | [`passed`] | values with handles, as hosts exchange them | the same |
//! | [`stream`] | the chunks of a stream | a parcel has the bytes of its chunks |
//! | [`body`] | beat, goodbye, discover, discovered, probe, probe ack, report, report wanted | the same |
//! | [`value`] | arguments and results of many types, and hosts' requests about handles with their answers | bytes are read exactly if `postcard` reads them and would write the same |
//! | [`record`] | links, their status, published types, as stored | the same |
//! | [`name`] | names, interfaces, functions, store keys | a name has the text that it was parsed from, and a key its parts |
//! | [`signature`] | canonical signatures | a text that is read is the one that would be written |
//!
//! All of them also panic if a decoder holds more than twice the length of its input and 64 KiB at
//! once. For [`value`], [`passed`], and for published types, which are maps of names, the length is
//! what that many bytes can become in memory: eight bytes each for a list of `u64`.
//!
//! The fuzz targets in `targets/` call these functions with random bytes, and `tests/replay.rs`
//! with the corpus.

pub mod allocation;
mod body;
mod envelope;
mod exchange;
mod frame;
mod name;
mod passed;
mod record;
mod session;
mod signature;
mod value;

pub use body::body;
pub use envelope::{call, reply};
pub use exchange::exchange;
pub use frame::frame;
pub use name::name;
pub use passed::{passed, stream};
pub use record::record;
pub use session::session;
pub use signature::signature;
pub use value::value;

// Tests that are built with the targets are instrumented too, and need the runtime of the
// instrumentation.
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys as _;

/// The name and the function of a target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their folders in `corpus/`.
pub const TARGETS: [Target; 12] = [
    ("frame", frame),
    ("call", call),
    ("reply", reply),
    ("session", session),
    ("exchange", exchange),
    ("passed", passed),
    ("stream", stream),
    ("body", body),
    ("value", value),
    ("record", record),
    ("name", name),
    ("signature", signature),
];
