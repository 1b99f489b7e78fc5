//! The pure part of Lattice: names, ids, values, calls, authentication and the bytes on the wire.
//!
//! Nothing here does I/O, reads a clock, or spawns a task: the time is passed in where a rule needs
//! it. So it compiles for `wasm32-unknown-unknown`, and each rule is tested without a bus.
//! `lattice-core` re-exports these modules and adds everything that does I/O.
//!
//! ```
//! use lattice_proto::value::{ValueError, from_bytes, to_bytes};
//!
//! fn main() -> Result<(), ValueError> {
//!     // The arguments and the result of a call, as they are sent.
//!     let arguments = to_bytes(&("Ada",))?;
//!     let (name,): (String,) = from_bytes(&arguments)?;
//!     let result = to_bytes(&format!("Hello, {name}!"))?;
//!     assert_eq!(&result[..], b"\x0bHello, Ada!"); // a length, and UTF-8
//!     println!("{}", from_bytes::<String>(&result)?); // Hello, Ada!
//!     Ok(())
//! }
//! ```
//!
//! # Frames
//!
//! Every message on the bus is one frame: a head, envelopes of one kind, and a tag.
//!
//! ```
//! use lattice_proto::{
//!     auth::Auth,
//!     id::Origin,
//!     name::HostId,
//!     wire::{Frame, FrameWriter, Kind, Lane},
//! };
//!
//! let auth = Auth::trusting();
//! let sender = Origin::new(HostId::new("edge-1")?, 1);
//! let mut writer = FrameWriter::new(sender.clone(), None, Kind::Beat, Lane::Small);
//! writer.push(|envelope| envelope.extend_from_slice(b"an envelope"))?;
//! let bytes = writer.seal(&auth, 1);
//!
//! let frame = Frame::open(&auth, bytes)?;
//! assert_eq!(frame.sender(), &sender);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! From the ground up; each module imports only from those above it in this table.
//!
//! | module | holds |
//! | --- | --- |
//! | [`error`] | formats an error with its causes as one line |
//! | [`signature`] | the canonical text of a function's type |
//! | [`name`] | names of people and things, each a type that is parsed once |
//! | [`quantity`] | sizes and times as people write them |
//! | [`id`] | ids and numbers of boots, sources of calls, functions and writes |
//! | [`value`] | arguments and results as bytes |
//! | [`types`] | the exports and imports of a component |
//! | [`call`] | errors of calls |
//! | [`key`] | the keys of the store |
//! | [`subject`] | the subjects of the bus |
//! | [`auth`] | the lattice key and the tags made with it |
//! | [`wire`] | frames and envelopes |
//! | [`replay`] | detects frames that were seen before |
//!
//! # Features
//!
//! * `os`: generates a lattice key from the system's randomness and reads one from a file.

#![forbid(unsafe_code)]

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod auth;
pub mod call;
pub mod error;
pub mod id;
pub mod key;
pub mod name;
pub mod quantity;
pub mod replay;
pub mod subject;
pub mod types;
pub mod value;
pub mod wire;

pub use lattice_wit::signature;
