//! Benchmarks of Lattice, each next to its baseline.
//!
//! `make bench` runs all of it:
//!
//! * `benches/`: criterion benches of the parts: `codec` (frames, envelopes, values, tags),
//!   `transcode` (values between a guest's memory and bytes), `route` (from a call to its callee on
//!   the same host), `instantiate` (fresh and warm).
//! * [`load`]: the load program. It makes the same calls in turns through Lattice and through the
//!   usual alternative, prints both side by side and writes `target/bench/summary.json`.
//! * `nats/`: a program of the same kind for calls over NATS, without wasmtime.
//!
//! `make faults` and `make soak` run [`faults`]: hosts and servers are killed, stopped and kept
//! busy while calls are in flight, and the outcomes of the calls are measured. Its rows go to the
//! same summary.
//!
//! The programs share the actors that are called ([`scene`], [`flow`], [`lookup`]), the
//! [`baseline`] that runs the same actors on bare Wasmtime, client and baseline of [`http`], the
//! processes around them ([`proxy`], [`bulk`], [`process`], [`provided`]), and what `common/` has
//! for the program without wasmtime too, which is part of this crate under the same names. All of
//! them use the interfaces of `guests/wit`, for streams and resources those of `guests/flow`, and
//! for values of providers that of `guests/lookup`.

pub mod baseline;
pub mod bulk;
pub mod faults;
pub mod flow;
pub mod guests;
pub mod http;
pub mod load;
pub mod lookup;
pub mod process;
pub mod provided;
pub mod proxy;
pub mod scene;

pub use lattice_benches_common::{
    Failure, bare, bars, native, program, responder, server, summary, work,
};
