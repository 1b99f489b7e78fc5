//! Benchmarks of Lattice, side by side with their baselines.
//!
//! `make bench` runs all of it:
//!
//! * `benches/`: criterion benches of the parts. `codec` (frames, envelopes, values, tags), `transcode` (values between a
//!   guest's memory and bytes), `route` (from a call to its callee on the same host), `instantiate` (fresh and warm).
//! * `src/bin/load`: the load program. It makes the same calls through Lattice and through the thing that one would use
//!   without it, in turns, prints both side by side and writes `target/bench/summary.json`.
//!
//! Here is what they share: the actors and the native component that are called ([`scene`], [`native`]), and the
//! [`baseline`] that runs the same actors on bare Wasmtime. All of them speak the interfaces of `guests/wit`.

pub mod baseline;
pub mod guests;
pub mod native;
pub mod scene;

/// Whatever ends a benchmark: it is printed with its causes, and nothing goes on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
