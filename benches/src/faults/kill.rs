//! One of two hosts is killed with 64 calls in flight.

use crate::faults::{
    host::SUBJECT,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Record, Traffic},
    way::{Bare, Echo},
};
use crate::{Failure, native::ECHO, program::Program, summary::Row};
use bytes::Bytes;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const IN_FLIGHT: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
/// A call without a reply this long after the kill counts as hung.
const HUNG: Duration = Duration::from_secs(1);
/// How long calls are made before and after the kill.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);
/// The links that calls use. Calls over `again`, half of them, may run twice.
const LINKS: [&str; 2] = ["once", "again"];
const AGAIN: usize = 1;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link(LINKS[0], ECHO, "callee", &[]).await?;
    mesh.link(LINKS[AGAIN], ECHO, "callee", &["echo"]).await?;
    let echo = async |link| Ok::<_, Failure>(Arc::new(Echo::new(&mesh.lattice, link)?));
    let ways = [echo(LINKS[0]).await?, echo(LINKS[AGAIN]).await?];
    let bare = [Arc::new(Bare::new(&mesh.server.url, SUBJECT).await?)];
    let (mut ours, mut baseline) = (Fates::default(), Fates::default());
    for round in 1..=options.length.pick(5, 1) {
        let hosts = [
            mesh.host("a", &["callee=echo"]).await?,
            mesh.host("b", &["callee=echo"]).await?,
        ];
        mesh.served("callee", 2).await?;
        let fates = kill(hosts, &ways, AGAIN).await?;
        note(&format!("kill, round {round}: {fates}"));
        ours.worst_of(fates);
        let responders = [mesh.responder().await?, mesh.responder().await?];
        // Nothing retries without Lattice, so every call counts as one that should not fail.
        let fates = kill(responders, &bare, 0).await?;
        note(&format!("kill, round {round}, async-nats: {fates}"));
        baseline.worst_of(fates);
    }
    let row = |name: &str, of: fn(&Fates) -> f64, unit| {
        Row::new(name, of(&ours), Some(of(&baseline)), unit)
    };
    let failed = |fates: &Fates| fates.idempotent_failed as f64;
    report.add(
        row("fault.kill.hung", |fates| fates.hung as f64, "calls"),
        Bar::AtMost(0.0),
    );
    report.add(
        row("fault.kill.idempotent_failed", failed, "calls"),
        Bar::AtMost(0.0),
    );
    let silence = |fates: &Fates| fates.silence.as_secs_f64() * 1e3;
    report.add(
        row("fault.kill.silence_ms", silence, "ms"),
        Bar::AtMost(50.0),
    );
    let typed = |fates: &Fates| fates.last.as_secs_f64() * 1e3;
    report.add(row("fault.kill.typed_ms", typed, "ms"), Bar::None);
    Ok(())
}

async fn kill<W: crate::faults::way::Way>(
    hosts: [Program; 2],
    ways: &[Arc<W>],
    idempotent: usize,
) -> Result<Fates, Failure> {
    let [mut victim, _survivor] = hosts;
    let traffic = Traffic::start(ways, IN_FLIGHT, &Bytes::from_static(&[7; 16]), DEADLINE);
    sleep(BEFORE).await;
    let killed = Instant::now();
    victim.kill().await?;
    sleep(AFTER).await;
    let stopped = Instant::now();
    // Longer than it takes to classify a call as hung.
    let records = traffic.stop(HUNG + Duration::from_millis(100)).await?;
    Ok(Fates::of(&records, idempotent, killed, stopped))
}

/// The outcomes of the calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fates {
    in_flight: usize,
    hung: usize,
    pub(crate) idempotent_failed: usize,
    /// The longest time without a reply.
    silence: Duration,
    /// Time from the kill to the end of the last call that was in flight.
    pub(crate) last: Duration,
    kinds: Kinds,
}

impl Fates {
    pub(crate) fn of(
        records: &[Record],
        idempotent: usize,
        killed: Instant,
        stopped: Instant,
    ) -> Self {
        let caught: Vec<_> = records
            .iter()
            .filter(|record| record.in_flight_at(killed))
            .collect();
        let waited = |record: &Record| match &record.end {
            Some((end, _)) => end.saturating_duration_since(record.began.max(killed)),
            None => Duration::MAX,
        };
        let failed = |record: &&Record| record.way == idempotent && record.failed_after(killed);
        let last = caught.iter().map(|record| waited(record)).max();
        Self {
            in_flight: caught.len(),
            hung: records.iter().filter(|r| waited(r) > HUNG).count(),
            idempotent_failed: records.iter().filter(failed).count(),
            silence: silence(records, killed, stopped),
            last: last.unwrap_or_default().min(DEADLINE),
            kinds: Kinds::of(caught),
        }
    }

    pub(crate) fn worst_of(&mut self, other: Self) {
        self.hung += other.hung;
        self.idempotent_failed += other.idempotent_failed;
        self.silence = self.silence.max(other.silence);
        self.last = self.last.max(other.last);
    }
}

/// The longest time between two replies, from `from` to `to`.
fn silence(records: &[Record], from: Instant, to: Instant) -> Duration {
    let within = |at: &Instant| (from..to).contains(at);
    let mut answers: Vec<_> = records
        .iter()
        .filter_map(Record::answered)
        .filter(within)
        .collect();
    answers.push(to);
    answers.sort_unstable();
    let before = std::iter::once(&from).chain(&answers);
    let gaps = answers
        .iter()
        .zip(before)
        .map(|(after, before)| *after - *before);
    gaps.max().unwrap_or_default()
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in flight, the last of them ended after {:.0} ms ({}); {} hung, {} idempotent failed, {:.1} ms of silence",
            self.in_flight,
            self.last.as_secs_f64() * 1e3,
            self.kinds,
            self.hung,
            self.idempotent_failed,
            self.silence.as_secs_f64() * 1e3
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::way::Failed;

    #[test]
    fn call_outcomes_are_distinguished() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let record = |way, began, end: Option<(u64, bool)>| Record {
            way,
            began: at(began),
            end: end.map(|(ms, ok)| (at(ms), if ok { Ok(()) } else { Err(Failed("x".into())) })),
        };
        let records = [
            record(0, 0, Some((90, true))),
            record(0, 0, Some((150, false))),
            record(1, 90, Some((800, true))),
            record(1, 95, Some((1_150, false))),
            record(1, 2_000, None),
            record(0, 2_000, Some((2_100, true))),
        ];
        let fates = Fates::of(&records, 1, at(100), at(2_200));
        assert_eq!((fates.in_flight, fates.hung), (3, 2));
        assert_eq!(fates.idempotent_failed, 2);
        assert_eq!(fates.silence, Duration::from_millis(1_300));
        assert_eq!(fates.last, Duration::from_millis(1_050));
        assert_eq!(fates.kinds.to_string(), "1 answered; 2 x");
    }
}
