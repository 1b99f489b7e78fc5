//! The tests of the public API and of the command, in one program: wasmtime is linked once.

mod artifact;
mod cli;
mod host;
mod http;
mod process;
mod shortener;
mod telemetry;
mod wait;

#[path = "../../../lattice-core/tests/support/tls.rs"]
mod certificates;
#[path = "../../../lattice-core/tests/support/exposition.rs"]
mod exposition;
#[path = "../../../lattice-core/tests/support/nats.rs"]
mod nats;
