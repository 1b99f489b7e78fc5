//! An actor fills its memory, in many calls at a time. Measures the effect on calls to another
//! actor on its host, and on the host's memory.
//!
//! The calls keep the memory for a while, so that memory is what is scarce, and not CPU time: that
//! is the subject of [`spin`](super::spin).

use crate::faults::{
    host::{GUEST_MEMORY, GUESTS},
    mesh::Mesh,
    options::Options,
    report::{Bar, Report},
    slow::{Pair, to_neighbour},
    traffic::{Kinds, Traffic},
    way::{Echo, Fill},
};
use crate::{
    Failure,
    native::{ECHO, FILL},
    process,
    program::{Program, START},
    summary::Row,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Calls of the filling actor at a time, as many as an actor runs by default. Most of them wait for
/// memory.
const FILLING: usize = 256;
/// How long each of them keeps its memory, in milliseconds.
const HOLD_MS: u32 = 1_000;
/// Deadline of these calls, past the end of a round.
const LONG: Duration = Duration::from_secs(20);
/// What an actor may use of the memory for all guests, in bytes.
const SHARE: u64 = GUEST_MEMORY.as_u64() / 2;
/// Interval between two checks of a condition.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link("neighbour", ECHO, "neighbour", &[]).await?;
    mesh.link("filler", FILL, "filler", &[]).await?;
    let components = ["neighbour=echo-actor", "filler=fill-actor"];
    let mut host = mesh.host("a", &components).await?;
    mesh.served("filler", 1).await?;
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    let filler = [Arc::new(Fill::new(&mesh.lattice, "filler", HOLD_MS)?)];
    let pace = to_neighbour();
    let time = options
        .length
        .pick(Duration::from_secs(4), Duration::from_secs(2));
    let mut pair = Pair::default();
    let mut grown = 0_u64;
    for round in 1..=options.length.pick(4, 1) {
        let without = pace.run(&neighbour, time).await;
        let idle = guest_memory(&mut host).await?;
        let before = process::resident(host.id()?)?;
        let traffic = Traffic::start(&filler, FILLING, &Bytes::new(), LONG);
        until(&mut host, |used| used >= idle + SHARE / 4 * 3).await?;
        let with = pace.run(&neighbour, time).await;
        let after = process::resident(host.id()?)?;
        grown = grown.max(after.saturating_sub(before));
        let filled = traffic.stop(Duration::ZERO).await?;
        until(&mut host, |used| used <= idle + SHARE / 4).await?;
        let what = format!(
            "memory, round {round} (filling calls: {})",
            Kinds::of(&filled)
        );
        pair.add(&what, with, without);
    }
    report.add(
        pair.row("fault.memory.neighbour_p99"),
        Bar::RatioOrMore(1.5, 2.0),
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    report.add(
        Row::new("fault.memory.grown_MiB", mib(grown), None, "MiB"),
        Bar::AtMost(mib(GUEST_MEMORY.as_u64())),
    );
    Ok(())
}

/// Waits until the guests of `host` use as many bytes of memory as `is_expected` says.
async fn until(host: &mut Program, is_expected: impl Fn(u64) -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + START;
    loop {
        let used = guest_memory(host).await?;
        if is_expected(used) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the guests use {used} bytes, which isn't expected").into());
        }
        sleep(LOOK).await;
    }
}

async fn guest_memory(host: &mut Program) -> Result<u64, Failure> {
    Ok(host.ask(GUESTS, START).await?.parse()?)
}
