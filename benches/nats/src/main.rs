//! Measures calls over NATS, and over the memory bus, next to what else a program could do. It
//! contains no wasmtime, so it can be built with other profiles in a few minutes.
//!
//! | path | ours | baseline |
//! | --- | --- | --- |
//! | `nats` | over NATS, callee in another process, keyed | `async_nats::Client::request`, responder in another process |
//! | `nats.small_beside_bulk` | the same for one caller of 16 B, next to 32 callers of 64 KiB | the same |
//! | `nats.raw` | as `nats` | the text protocol of NATS over TCP, without a client library (`raw`) |
//! | `grpc` | as `nats` | unary calls of tonic, server in another process; with the feature `grpc` |
//! | `memory` | from one node to another of one process, over the memory bus | a channel to another task, and back |
//!
//! There are as many tasks as calls in flight. Each task makes its next call as soon as it has the
//! reply, and every call is a sample. Each side is two processes (`memory`: one) with one
//! connection each and the same runtime. A cell is measured in rounds that alternate between ours
//! and the baseline, each after a warm-up. Figures are medians of the rounds. CPU time (user and
//! system, of all processes that take part, the nats-server included) is the total of all rounds
//! divided by their calls. A failed call ends the program.

#[cfg(feature = "grpc")]
mod grpc;
mod memory;
mod nats;
mod options;
mod raw;
mod responder;
mod rows;
mod table;

use lattice_benches_common::{Failure, options::Options, report::Report, work};
use options::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    work::main("load-nats", || {
        let command = options::parse(std::env::args().skip(1))?;
        Ok(async move {
            match command {
                Command::Load(options) => load(options).await,
                Command::Table(options) => table::print(&options),
                Command::Respond(role) => responder::respond(role).await,
                Command::Help => {
                    println!("{}", options::help());
                    Ok(())
                }
            }
        })
    })
}

async fn load(options: Options) -> Result<(), Failure> {
    let mut report = Report::new(&options, rows::ROWS);
    memory::compare(&mut report).await?;
    nats::compare(&mut report).await?;
    report.finish()
}
