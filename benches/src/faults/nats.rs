//! The server is killed with 64 calls in flight and restarted half a second later.

use crate::faults::{
    host::SUBJECT,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Record, Traffic},
    way::{Bare, Echo, Way},
};
use crate::{Failure, native::ECHO, server::Server, summary::Row};
use bytes::Bytes;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, time::sleep};

const IN_FLIGHT: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
/// How long calls are made before the kill and after the restart.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);
const DOWN: Duration = Duration::from_millis(500);
/// Interval of additional calls. Those in flight may all be stuck, so the first additional call
/// that succeeds marks the recovery.
const ASK: Duration = Duration::from_millis(5);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mut mesh = Mesh::start().await?;
    mesh.link("once", ECHO, "callee", &[]).await?;
    let _host = mesh.host("a", &["callee=echo"]).await?;
    mesh.served("callee", 1).await?;
    let way = Arc::new(Echo::new(&mesh.lattice, "once")?);
    let _responder = mesh.responder().await?;
    let bare = Arc::new(Bare::new(&mesh.server.url, SUBJECT).await?);
    let mut ours = Outage::default();
    let mut baseline = None::<Outage>;
    for round in 1..=options.length.pick(5, 1) {
        let outage = restart(&mut mesh.server, &way).await?;
        note(&format!("nats, round {round}: {outage}"));
        ours.worst_of(outage);
        mesh.served("callee", 1).await?;
        // Each of these rounds takes as long as its calls hang.
        if options.length.pick(round <= 2, false) {
            let outage = restart(&mut mesh.server, &bare).await?;
            note(&format!("nats, round {round}, async-nats: {outage}"));
            baseline.get_or_insert_default().worst_of(outage);
        }
    }
    let row = |name: &str, of: fn(&Outage) -> Duration| {
        let ms = |outage: &Outage| of(outage).as_secs_f64() * 1e3;
        Row::new(name, ms(&ours), baseline.as_ref().map(ms), "ms")
    };
    report.add(
        row("fault.nats.typed_ms", |outage| outage.typed),
        Bar::AtMost(100.0),
    );
    report.add(
        row("fault.nats.back_ms", |outage| outage.back),
        Bar::AtMost(250.0),
    );
    Ok(())
}

async fn restart<W: Way>(server: &mut Server, way: &Arc<W>) -> Result<Outage, Failure> {
    let body = Bytes::from_static(&[7; 16]);
    let ways = [way.clone()];
    let traffic = Traffic::start(&ways, IN_FLIGHT, &body, DEADLINE);
    let traffic = traffic.and_every(ASK, way, &body, DEADLINE);
    sleep(BEFORE).await;
    let mut idle = server.connection().await?;
    let closed = tokio::spawn(async move {
        // Waits until the server's side is closed, cleanly or not.
        while idle.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
        Instant::now()
    });
    server.kill().await?;
    let closed = closed.await?;
    sleep((DOWN).saturating_sub(closed.elapsed())).await;
    server.restart().await?;
    let returned = Instant::now();
    sleep(AFTER).await;
    let stopped = Instant::now();
    let records = traffic.stop(DEADLINE + Duration::from_secs(1)).await?;
    Ok(Outage::of(&records, closed, returned, stopped))
}

/// The outcomes of the calls.
#[derive(Debug, Clone, Default)]
struct Outage {
    in_flight: usize,
    /// Time from the closing of the sockets to the end of the last call that was in flight.
    typed: Duration,
    /// Time from the restart to the first success.
    back: Duration,
    kinds: Kinds,
    meanwhile: Kinds,
}

impl Outage {
    fn of(records: &[Record], closed: Instant, returned: Instant, stopped: Instant) -> Self {
        let caught: Vec<_> = records
            .iter()
            .filter(|record| record.in_flight_at(closed))
            .collect();
        let ended = |record: &&Record| record.end.as_ref().map_or(stopped, |(end, _)| *end);
        let last = caught.iter().map(ended).max().unwrap_or(closed);
        let first = records
            .iter()
            .filter_map(Record::answered)
            .filter(|at| *at > returned)
            .min();
        let away = |record: &&Record| record.began > closed && record.began < returned;
        Self {
            in_flight: caught.len(),
            typed: last - closed,
            back: first.unwrap_or(stopped) - returned,
            kinds: Kinds::of(caught),
            meanwhile: Kinds::of(records.iter().filter(away)),
        }
    }

    fn worst_of(&mut self, other: Self) {
        self.typed = self.typed.max(other.typed);
        self.back = self.back.max(other.back);
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in flight, the last of them ended after {:.1} ms ({}); calls made without a server: {}; first success after {:.1} ms",
            self.in_flight,
            self.typed.as_secs_f64() * 1e3,
            self.kinds,
            self.meanwhile,
            self.back.as_secs_f64() * 1e3
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::way::Failed;

    #[test]
    fn an_outage_is_measured_between_its_two_ends() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let record = |began, end: u64, ok| Record {
            way: 0,
            began: at(began),
            end: Some((at(end), if ok { Ok(()) } else { Err(Failed("x".into())) })),
        };
        let records = [
            record(0, 90, true),
            record(50, 130, false),
            record(99, 110, true),
            record(300, 301, false),
            record(400, 640, true),
            record(650, 651, true),
        ];
        let outage = Outage::of(&records, at(100), at(600), at(900));
        assert_eq!(outage.in_flight, 2);
        assert_eq!(outage.typed, Duration::from_millis(30));
        assert_eq!(outage.back, Duration::from_millis(40));
        assert_eq!(outage.meanwhile.to_string(), "1 answered; 1 x");
    }
}
