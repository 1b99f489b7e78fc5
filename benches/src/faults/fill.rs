//! An actor fills its memory, in many calls at a time: its own, or what the host copies of it for
//! the calls that it makes. Measures the effect on calls to another actor on its host, and on the
//! host's memory.
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
    native::{ECHO, FILL, SINK},
    process,
    program::{Program, START},
    summary::Row,
};
use bytes::Bytes;
use lattice_core::link::Link;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a call keeps its memory, in milliseconds.
const HOLD_MS: u32 = 1_000;
/// Deadline of calls that return by themselves, past the end of a round.
const LONG: Duration = Duration::from_secs(20);
/// What an actor may use of the memory for all guests, in bytes.
const SHARE: u64 = GUEST_MEMORY.as_u64() / 2;
/// Interval between two checks of a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A way to fill the memory.
struct Filling {
    /// The name of the measurement.
    what: &'static str,
    /// The kind of the actor, as a host's components are written.
    kind: &'static str,
    /// Its calls at a time.
    calls: usize,
    deadline: Duration,
}

/// As many calls as an actor runs by default. Most of them wait for memory.
const OWN: Filling = Filling {
    what: "memory",
    kind: "fill-actor",
    calls: 256,
    deadline: LONG,
};

/// Each call makes 1,024 calls that share a buffer, and ends by its deadline.
const OUTGOING: Filling = Filling {
    what: "memory, outgoing calls",
    kind: "pour-actor",
    calls: 4,
    deadline: Duration::from_millis(HOLD_MS as u64),
};

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    for (filling, p99, grown) in [
        (OWN, "fault.memory.neighbour_p99", "fault.memory.grown_MiB"),
        (
            OUTGOING,
            "fault.memory.outgoing_p99",
            "fault.memory.outgoing_MiB",
        ),
    ] {
        let (pair, bytes) = rounds(&filling, options).await?;
        report.add(pair.row(p99), Bar::RatioOrMore(1.5, 2.0));
        report.add(
            Row::new(grown, mib(bytes), None, "MiB"),
            Bar::AtMost(mib(GUEST_MEMORY.as_u64())),
        );
    }
    Ok(())
}

/// Returns the latencies of the neighbour, and by how many bytes the host's process grew.
async fn rounds(filling: &Filling, options: &Options) -> Result<(Pair, u64), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link("neighbour", ECHO, "neighbour", &[]).await?;
    mesh.link("filler", FILL, "filler", &[]).await?;
    let pours = Link::new("filler", SINK, "silent")?;
    mesh.lattice.links().put(pours).await?;
    let filler = format!("filler={}", filling.kind);
    let components = ["neighbour=echo-actor", "silent=silence", &filler];
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
        let idle = ask(&mut host, GUESTS).await?;
        let before = process::resident(host.id()?)?;
        let traffic = Traffic::start(&filler, filling.calls, &Bytes::new(), filling.deadline);
        until(&mut host, GUESTS, |used| used >= idle + SHARE / 4 * 3).await?;
        let with = pace.run(&neighbour, time).await;
        let after = process::resident(host.id()?)?;
        grown = grown.max(after.saturating_sub(before));
        let filled = traffic.stop(Duration::ZERO).await?;
        until(&mut host, GUESTS, |used| used <= idle + SHARE / 4).await?;
        let what = format!(
            "{}, round {round} (filling calls: {})",
            filling.what,
            Kinds::of(&filled)
        );
        pair.add(&what, with, without);
    }
    Ok((pair, grown))
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Waits until the number that `host` replies with is as expected.
pub(super) async fn until(
    host: &mut Program,
    question: &str,
    is_expected: impl Fn(u64) -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + START;
    loop {
        let used = ask(host, question).await?;
        if is_expected(used) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{used} bytes of {question} aren't expected").into());
        }
        sleep(LOOK).await;
    }
}

/// Returns the number that `host` replies with.
pub(super) async fn ask(host: &mut Program, question: &str) -> Result<u64, Failure> {
    Ok(host.ask(question, START).await?.parse()?)
}
