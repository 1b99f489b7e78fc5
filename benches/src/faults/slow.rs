//! A consumer stalls. Measures the effect on calls to other components.
//!
//! There are two kinds of stall. *Stopped*: another host's process does not run at all (`SIGSTOP`),
//! and what is sent to it piles up. *Waiting*: a component on the same host takes calls and never
//! replies. The comparison makes the same calls without the stall, and they get replies. Calls
//! without any other load are measured as well.

use crate::faults::{
    mesh::Mesh,
    options::{Length, Options},
    paced::{Latencies, Pace},
    report::{Bar, Report, note},
    way::{Echo, Hold, Way},
};
use crate::{
    Failure,
    native::{ECHO, SILENCE},
    process,
    summary::Row,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Calls to the component that is measured.
const NEIGHBOUR: u32 = 1_000;
/// Load on the stopped host: 8 MiB per second.
const TO_STOPPED: (u32, usize) = (500, 16 << 10);
/// Load on the component that never replies: more than its queue may hold.
const TO_SILENT: (u32, usize) = (2_000, 16);
const DEADLINE: Duration = Duration::from_secs(2);
/// Deadline of calls to the stalled component.
const STALLED: Duration = Duration::from_secs(1);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    for (link, interface, target) in [
        ("neighbour", ECHO, "neighbour"),
        ("answering", ECHO, "answering"),
        ("stopped", ECHO, "stopped"),
        ("silent", SILENCE, "silent"),
    ] {
        mesh.link(link, interface, target, &[]).await?;
    }
    let here = ["neighbour=echo", "answering=echo", "silent=silence"];
    let _host = mesh.host("a", &here).await?;
    let stopped = stopped(&mesh, options.length).await?;
    let waiting = waiting(&mesh, options.length).await?;
    let alone = alone(&mesh, options.length).await?;
    note(&format!("slow, no other calls: p99 {:.2} ms", alone.p99()));
    let worst = if stopped.ratio() > waiting.ratio() {
        &stopped
    } else {
        &waiting
    };
    report.add(worst.row("fault.slow.neighbour_p99"), Bar::Ratio(1.5));
    report.add(stopped.row("fault.slow.stopped_p99"), Bar::None);
    report.add(waiting.row("fault.slow.waiting_p99"), Bar::None);
    Ok(())
}

async fn stopped(mesh: &Mesh, length: Length) -> Result<Pair, Failure> {
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    let other = Arc::new(Echo::new(&mesh.lattice, "stopped")?);
    let host = mesh.host("b", &["stopped=echo"]).await?;
    let mut pair = Pair::default();
    for round in 1..=length.pick(4, 1) {
        mesh.served("stopped", 1).await?;
        let without = beside(&neighbour, &other, TO_STOPPED, length).await;
        process::signal(host.id()?, "STOP")?;
        while !process::is_stopped(host.id()?)? {
            sleep(Duration::from_millis(1)).await;
        }
        let with = beside(&neighbour, &other, TO_STOPPED, length).await;
        process::signal(host.id()?, "CONT")?;
        pair.add(&format!("slow, stopped, round {round}"), with, without);
    }
    Ok(pair)
}

async fn waiting(mesh: &Mesh, length: Length) -> Result<Pair, Failure> {
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    let answering = Arc::new(Echo::new(&mesh.lattice, "answering")?);
    let silent = Arc::new(Hold::new(&mesh.lattice, "silent")?);
    mesh.served("silent", 1).await?;
    let mut pair = Pair::default();
    for round in 1..=length.pick(4, 1) {
        let without = beside(&neighbour, &answering, TO_SILENT, length).await;
        let with = beside(&neighbour, &silent, TO_SILENT, length).await;
        pair.add(&format!("slow, waiting, round {round}"), with, without);
    }
    Ok(pair)
}

async fn alone(mesh: &Mesh, length: Length) -> Result<Latencies, Failure> {
    let neighbour = Arc::new(Echo::new(&mesh.lattice, "neighbour")?);
    Ok(to_neighbour().run(&neighbour, time(length)).await)
}

/// Measures latencies of the neighbour while `other` gets its calls too.
async fn beside<N: Way, O: Way>(
    neighbour: &Arc<N>,
    other: &Arc<O>,
    (per_second, size): (u32, usize),
    length: Length,
) -> Latencies {
    let load = Pace {
        per_second,
        body: vec![7; size].into(),
        deadline: STALLED,
    };
    let (pace, time) = (to_neighbour(), time(length));
    let (latencies, _) = tokio::join!(pace.run(neighbour, time), load.run(other, time));
    latencies
}

/// Returns the pace of the calls to a neighbour.
pub(super) fn to_neighbour() -> Pace {
    Pace {
        per_second: NEIGHBOUR,
        body: Bytes::from_static(&[7; 16]),
        deadline: DEADLINE,
    }
}

fn time(length: Length) -> Duration {
    length.pick(Duration::from_secs(2), Duration::from_millis(1_500))
}

/// Latencies with and without the stall.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    with: Latencies,
    without: Latencies,
}

impl Pair {
    /// Adds the measurements of one round.
    pub(crate) fn add(&mut self, what: &str, with: Latencies, without: Latencies) {
        note(&format!(
            "{what}: p99 {:.2} ms with ({} failed), {:.2} ms without ({} failed)",
            with.p99(),
            with.failed,
            without.p99(),
            without.failed
        ));
        self.with.append(with);
        self.without.append(without);
    }

    fn ratio(&self) -> f64 {
        self.with.p99() / self.without.p99()
    }

    pub(crate) fn row(&self, name: &str) -> Row {
        Row::new(name, self.with.p99(), Some(self.without.p99()), "ms")
    }
}
