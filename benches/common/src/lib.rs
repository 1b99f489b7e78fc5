//! What the programs of the benches share. None of it needs wasmtime, so that a program that
//! measures only calls between processes doesn't contain it.
//!
//! * A measurement: its [`options`], the [`cell`]s of a table, one round of one side
//!   ([`measure`], [`cpu`]), both sides in turns ([`compare`]), their [`figures`], and the
//!   [`report`] with the rows of the [`summary`] and their [`bars`].
//! * The processes around it: [`work`] is the `main` of every program, [`program`] another process,
//!   [`server`] a nats-server, and [`responder`] this program as the other end of the calls.
//! * What is called: [`native`] code for the interfaces of `benches/guests/wit`, and [`bare`], the
//!   baseline of `async-nats`.

pub mod bare;
pub mod bars;
pub mod cell;
pub mod compare;
pub mod cpu;
pub mod figures;
pub mod measure;
pub mod native;
pub mod options;
pub mod program;
pub mod report;
pub mod responder;
pub mod server;
pub mod summary;
pub mod work;

/// An error that ends a benchmark. It is printed with its causes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
