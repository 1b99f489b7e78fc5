//! Benchmarks of Lattice, each next to its baseline.
//!
//! `make bench` runs all of it:
//!
//! * `benches/`: criterion benches of the parts: `codec` (frames, envelopes, values, tags),
//!   `transcode` (values between a guest's memory and bytes), `route` (from a call to its callee on
//!   the same host), `instantiate` (fresh and warm).
//! * [`load`]: the load program. It makes the same calls in turns through Lattice and through the
//!   usual alternative, prints both side by side and writes `target/bench/summary.json`.
//!
//! `make faults` and `make soak` run [`faults`]: hosts and servers are killed, stopped and kept
//! busy while calls are in flight, and the outcomes of the calls are measured. Its rows go to the
//! same summary.
//!
//! The programs share the actors and native components that are called ([`scene`], [`flow`],
//! [`native`]), the [`baseline`] that runs the same actors on bare Wasmtime, the processes around
//! them ([`program`], [`server`], [`proxy`], [`bare`], [`bulk`], [`process`]), their `main`
//! ([`work`]), the table of rows that have a bar ([`bars`]), and the [`summary`]. All of them use
//! the interfaces of `guests/wit` and, for streams and resources, of `guests/flow`.

pub mod bare;
pub mod bars;
pub mod baseline;
pub mod bulk;
pub mod faults;
pub mod flow;
pub mod guests;
pub mod load;
pub mod native;
pub mod process;
pub mod program;
pub mod proxy;
pub mod scene;
pub mod server;
pub mod summary;
pub mod work;

/// An error that ends a benchmark. It is printed with its causes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
