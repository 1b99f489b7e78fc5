//! The process of a provider, which a host looks after, is killed with calls in flight. Measures
//! how long it takes until calls are served again, by the process that the host starts in its
//! place.

use crate::faults::{
    heal::until,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Record, Traffic},
    way::Echo,
};
use crate::{Failure, native::ECHO, process, program::START, provided, summary::Row};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// The provider, and the link to it.
const PROVIDER: &str = "provided";
const IN_FLIGHT: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
const BODY: Bytes = Bytes::from_static(&[7; 16]);
/// How long calls are made before and after the kill. It is served again long before the end.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(3);
/// How long calls that are in flight then may take to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// A process that has served for longer than 10 s is started again without a pause.
const STEADY: Duration = Duration::from_millis(10_500);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link(PROVIDER, ECHO, PROVIDER, &[]).await?;
    let host = mesh.host("keeper", &[]).await?;
    mesh.lattice.apply(&provided::app(PROVIDER)?).await?;
    timeout(START, mesh.lattice.served(PROVIDER)).await??;
    let ways = [Arc::new(Echo::new(&mesh.lattice, PROVIDER)?)];
    let mut longest = Duration::ZERO;
    for round in 1..=options.length.pick(3, 1) {
        if round > 1 {
            sleep(STEADY).await;
        }
        let traffic = Traffic::start(&ways, IN_FLIGHT, &BODY, DEADLINE);
        sleep(BEFORE).await;
        let victim = process::children(host.id()?)?.pop();
        let victim = victim.ok_or("the host has started no process")?;
        let killed = Instant::now();
        process::signal(victim, "KILL")?;
        until(|| !process::runs(victim)).await?;
        let gone = Instant::now();
        sleep(AFTER).await;
        let records = traffic.stop(PATIENCE).await?;
        let served = first_after(&records, gone).ok_or("the provider was not served again")?;
        let took = served - killed;
        note(&format!(
            "provider.kill, round {round}: served again after {:.0} ms; calls that ended after the kill: {}",
            took.as_secs_f64() * 1e3,
            Kinds::of(records.iter().filter(|record| record.in_flight_at(killed)))
        ));
        longest = longest.max(took);
    }
    report.add(
        Row::new(
            "provider.kill.serving_ms",
            longest.as_secs_f64() * 1e3,
            None,
            "ms",
        ),
        Bar::AtMost(1_000.0),
    );
    Ok(())
}

/// Returns when the first call succeeded that began after `gone`: no call before that can have been
/// served by another process than the one that was killed.
fn first_after(records: &[Record], gone: Instant) -> Option<Instant> {
    let begun = records.iter().filter(|record| record.began > gone);
    begun.filter_map(Record::answered).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::way::Failed;

    #[test]
    fn only_calls_that_began_without_the_process_count() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let record = |began, ended, outcome| Record {
            way: 0,
            began: at(began),
            end: Some((at(ended), outcome)),
        };
        let failed = || Err(Failed("lost".to_owned()));
        let records = [
            record(90, 130, Ok(())),
            record(120, 125, failed()),
            record(300, 350, Ok(())),
            record(310, 340, Ok(())),
        ];
        assert_eq!(first_after(&records, at(100)), Some(at(340)));
        assert_eq!(first_after(&records[..2], at(100)), None);
    }
}
