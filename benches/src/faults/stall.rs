//! A thousand streams to another host, whose readers have stopped, while their writers go on at
//! full speed. Measures how much all processes grow: hosts, server and this one.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    way::DRIVER,
};
use crate::{
    Failure,
    flow::{RUN, RunClient, SINK},
    process,
    summary::Row,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const STREAMS: u32 = 1_000;
/// What each reader reads before it stops, in bytes: enough for its window to grow.
const READ: u32 = 256 << 10;
/// What passes before the first measurement of memory, in bytes.
const WARM_UP: u64 = 16 << 20;
const WRITE: u32 = 64 << 10;
/// The deadline of the call that opens all streams.
const LONG: Duration = Duration::from_mins(2);
/// Interval between two measurements of memory. The largest one counts.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.join(DRIVER, RUN, "source").await?;
    mesh.join("source", SINK, "sink").await?;
    let hosts = [
        mesh.host("a", &["source=source"]).await?,
        mesh.host("b", &["sink=sink"]).await?,
    ];
    mesh.served("source", 1).await?;
    mesh.served("sink", 1).await?;
    let run = RunClient::new(mesh.lattice.caller(DRIVER)?);
    run.bytes(WARM_UP, WRITE).timeout(LONG).await?;
    let pids = [
        std::process::id(),
        mesh.server.program.id()?,
        hosts[0].id()?,
        hosts[1].id()?,
    ];
    let resident = || {
        pids.iter()
            .map(|pid| process::resident(*pid))
            .sum::<Result<u64, Failure>>()
    };
    let before = resident()?;
    let stopped = run.stall(STREAMS, READ).timeout(LONG).await?;
    if stopped != STREAMS {
        return Err(format!("{stopped} streams were opened of {STREAMS}").into());
    }
    let time = options
        .length
        .pick(Duration::from_secs(10), Duration::from_secs(2));
    let (end, mut most) = (Instant::now() + time, 0);
    while Instant::now() < end {
        most = resident()?.max(most);
        sleep(LOOK).await;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let grown = mib(most.saturating_sub(before));
    note(&format!(
        "stream.slow: {STREAMS} streams, {:.1} MiB in all processes before and {grown:.1} MiB more after",
        mib(before)
    ));
    report.add(
        Row::new("stream.slow.growth_MiB", grown, None, "MiB"),
        Bar::AtMost(64.0),
    );
    Ok(())
}
