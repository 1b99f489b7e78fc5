//! The load program compares the same calls through Lattice and through the usual alternative.
//!
//! | path | ours | baseline |
//! | --- | --- | --- |
//! | `local.provider` | a warm actor's import, served by a provider in the host's process | the same actor on bare Wasmtime, its import a typed host function |
//! | `local.actor.warm` | the import is served by another warm actor of the host | the host function sends the call to the other actor's task through a channel, and awaits the reply |
//! | `local.actor.fresh` | a fresh instance per call | the host function creates a store and an instance and calls its typed export |
//!
//! `flow` adds rows about streams, resources and large arguments, some of them over NATS, `http`
//! rows about requests that enter through a wormhole, `providers` rows about the standard
//! providers, `ui` rows about the page in a browser, `otel` rows about what telemetry costs, and
//! `dev` rows about the loop of a developer.
//!
//! *One in flight* is a loop inside the calling actor, so that the figure is that of the import
//! call alone: one sample is the mean of a loop that takes about half a millisecond. In all other
//! cells there are as many tasks as calls in flight. Each task makes its next call as soon as it
//! has the reply, and every call is a sample. The tasks call the actor, which makes one call. In
//! Lattice's case both calls go through Lattice; in the baseline, the first goes through a channel
//! to the task of one of as many instances.
//!
//! A cell is measured in rounds that alternate between ours and the baseline, each after a warm-up.
//! Figures are medians of the rounds. CPU time (user and system, of all processes that take part)
//! is the total of all rounds divided by their calls. A failed call ends the program.

mod dev;
mod flow;
mod http;
mod local;
mod options;
mod otel;
mod providers;
mod requests;
mod responder;
mod ui;

use crate::{Failure, bars::Bar, provided, work};
use lattice_benches_common::{
    options::Options,
    report::{Headline, Report, Rows},
};
use options::Command;
use std::process::ExitCode;

const ROWS: Rows = Rows {
    headlines: &[
        headline("local.provider.p50.1x16B", "local.provider.16B", Bar::None),
        headline("local.actor.warm.p50.1x16B", "local.actor.warm", Bar::None),
        headline(
            "local.actor.fresh.p50.1x16B",
            "local.actor.fresh",
            Bar::None,
        ),
        headline(
            "http.local.rate.64x13B",
            "http.local.rate",
            Bar::RatioAtLeast(1.0),
        ),
        headline(
            "http.local.p3.rate.64x13B",
            "http.local.p3.rate",
            Bar::RatioAtLeast(1.0),
        ),
        headline("otel.off.cpu.1x16B", "otel.off.cost", Bar::Ratio(1.02)),
        headline(
            "otel.sampled.cpu.1x16B",
            "otel.sampled.cost",
            Bar::Ratio(1.1),
        ),
    ],
    examples: "`local.provider.64x16B` or `stream.local.GiBps`",
};

const fn headline(figure: &'static str, row: &'static str, bar: Bar) -> Headline {
    Headline { figure, row, bar }
}

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(ended) = provided::run_if_asked() {
        return ended;
    }
    work::main("load", || {
        let command = options::parse(std::env::args().skip(1))?;
        Ok(async move {
            match command {
                Command::Load(options) => load(options).await,
                Command::Respond(kind) => responder::respond(kind).await,
                Command::Help => {
                    println!("{}", options::help());
                    Ok(())
                }
            }
        })
    })
}

async fn load(options: Options) -> Result<(), Failure> {
    let mut report = Report::new(&options, ROWS);
    local::compare(&mut report).await?;
    flow::compare(&mut report).await?;
    http::compare(&mut report).await?;
    providers::compare(&mut report).await?;
    ui::compare(&mut report).await?;
    otel::compare(&mut report).await?;
    dev::compare(&mut report).await?;
    report.finish()
}
