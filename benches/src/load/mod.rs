//! The load program compares the same calls through Lattice and through the usual alternative.
//!
//! | path | ours | baseline |
//! | --- | --- | --- |
//! | `local.provider` | a warm actor's import, served by a provider in the host's process | the same actor on bare Wasmtime, its import a typed host function |
//! | `local.actor.warm` | the import is served by another warm actor of the host | the host function sends the call to the other actor's task through a channel, and awaits the reply |
//! | `local.actor.fresh` | a fresh instance per call | the host function creates a store and an instance and calls its typed export |
//! | `memory` | from one node to another of one process, over the memory bus | a channel to another task, and back |
//! | `nats` | over NATS, callee in another process, keyed | `async_nats::Client::request`, responder in another process |
//! | `nats.small_beside_bulk` | the same for one caller of 16 B, next to 32 callers of 64 KiB | the same |
//!
//! `flow` adds rows about streams, resources and large arguments.
//!
//! *One in flight* on the local paths is a loop inside the calling actor, so that the figure is
//! that of the import call alone: one sample is the mean of a loop that takes about half a
//! millisecond. In all other cells there are as many tasks as calls in flight. Each task makes its
//! next call as soon as it has the reply, and every call is a sample. On the local paths with more
//! than one call in flight, the tasks call the actor, which makes one call. In Lattice's case both
//! calls go through Lattice; in the baseline, the first goes through a channel to the task of one
//! of as many instances.
//!
//! A cell is measured in rounds that alternate between ours and the baseline, each after a warm-up.
//! Figures are medians of the rounds. CPU time (user and system, of all processes that take part)
//! is the total of all rounds divided by their calls. A failed call ends the program.

mod cell;
mod channel;
mod compare;
mod cpu;
mod flow;
mod local;
mod measure;
mod nats;
mod options;
mod report;
mod responder;

use crate::{Failure, program, server, work};
use options::{Command, Options};
use report::Report;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    work::main("load", || {
        let command = options::parse(std::env::args().skip(1))?;
        Ok(async move {
            match command {
                Command::Load(options) => load(options).await,
                Command::Respond(kind) => responder::respond(kind).await,
                Command::Help => {
                    println!("{}", options::HELP);
                    Ok(())
                }
            }
        })
    })
}

async fn load(options: Options) -> Result<(), Failure> {
    let mut report = Report::new(&options);
    local::compare(&mut report).await?;
    channel::compare(&mut report).await?;
    nats::compare(&mut report).await?;
    flow::compare(&mut report).await?;
    report.finish()
}
