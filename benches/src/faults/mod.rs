//! The faults program measures what happens to calls when a host, the server or a component fails,
//! in real processes.
//!
//! This process makes the calls. The hosts are further processes of this program, and the server is
//! a nats-server that it starts.
//!
//! | rows | the fault | side by side with |
//! | --- | --- | --- |
//! | `heal.*`, `cold.apply_ms` | hosts that keep an app are killed, restarted, updated, and cut off | none, because there is no alternative |
//! | `scale.*` | none; the cost that a thousand hosts cause each other | none |
//! | `fault.kill.*` | one of two hosts is killed | responders of bare `async-nats` in a queue group |
//! | `fault.nats.*` | the server is killed, and restarted half a second later | requests of bare `async-nats` |
//! | `fault.slow.*` | a host is stopped, or a component never replies | the same calls without it |
//! | `fault.spin.*` | an actor spins | the same calls without it |
//! | `fault.memory.*` | an actor fills its memory, or passes a buffer a thousand times; a queue is full of large messages | the same calls without it |
//! | `stream.slow.growth_MiB` | the readers of a thousand streams stop | none |
//! | `resource.lease.leaked` | a host is killed that holds 10^5 resources of another one | none |
//! | `messaging.jetstream.*` | hosts of the provider and of the actor are killed in turn while messages come from a stream | none |
//! | `schedule.*` | hosts of the provider are killed and stopped in turn while ticks are due | none |
//! | `provider.kill.serving_ms` | the process of a provider is killed, which a host looks after | none |
//! | `http.kill.failed`, `http.rolling.failed` | hosts that serve HTTP are killed, restarted and updated | none |
//! | `http.stalled.p99` | clients read nothing of their responses | the same requests without it |
//! | `http.idle.growth_MiB` | 10,000 connections stay open and do nothing | none |
//! | `memory.growth.unanswered` | one call in ten never gets a reply | requests of bare `async-nats` |
//!
//! `faults soak` runs all of these faults together for a long time and checks whether anything
//! grows.

mod caller;
mod fill;
mod heal;
mod host;
mod http;
mod kill;
mod lease;
mod local;
mod memory;
mod mesh;
mod messages;
mod nats;
mod options;
mod paced;
mod process;
mod queues;
mod record;
mod report;
mod scale;
mod slow;
mod soak;
mod spin;
mod stall;
mod ticks;
mod traffic;
mod way;

use crate::{Failure, provided, work};
use options::{Command, Options};
use report::Report;
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(ended) = provided::run_if_asked() {
        return ended;
    }
    work::main("faults", || {
        let command = options::parse(std::env::args().skip(1))?;
        Ok(async move {
            match command {
                Command::Faults(options) => faults(options).await,
                Command::Soak(time) => soak::run(time).await,
                Command::Host { id, components } => host::run(&id, &components).await,
                Command::Responder => host::respond_bare().await,
                Command::Caller(kind) => caller::run(kind).await,
                Command::Help => {
                    println!("{}", options::HELP);
                    Ok(())
                }
            }
        })
    })
}

async fn faults(options: Options) -> Result<(), Failure> {
    let mut report = Report::new(&options);
    if options.wants("fault.kill") {
        kill::measure(&options, &mut report).await?;
    }
    if options.wants("fault.nats") {
        nats::measure(&options, &mut report).await?;
    }
    if options.wants("fault.slow") {
        slow::measure(&options, &mut report).await?;
    }
    if options.wants("fault.spin") {
        spin::measure(&options, &mut report).await?;
    }
    if options.wants("fault.memory") {
        fill::measure(&options, &mut report).await?;
        queues::measure(&options, &mut report).await?;
    }
    if options.wants("stream.slow") {
        stall::measure(&options, &mut report).await?;
    }
    if options.wants("resource.lease") {
        lease::measure(&options, &mut report).await?;
    }
    if options.wants("messaging.jetstream") {
        messages::measure(&options, &mut report).await?;
    }
    if options.wants("schedule") {
        ticks::measure(&options, &mut report).await?;
    }
    if options.wants("provider.kill") {
        process::measure(&options, &mut report).await?;
    }
    if options.wants("heal") {
        heal::measure(&options, &mut report).await?;
    }
    if options.wants("scale") {
        scale::measure(&options, &mut report)?;
    }
    if options.wants("http") {
        http::measure(&options, &mut report).await?;
    }
    if options.wants("memory.growth") {
        memory::measure(&options, &mut report).await?;
    }
    report.finish()
}
