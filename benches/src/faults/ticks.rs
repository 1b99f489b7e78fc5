//! Ticks of many links, while hosts of the provider are killed and stopped in turn. Counts those
//! that ran twice, and those that never ran without a reason.
//!
//! A tick that a killed host was running is lost, and a stopped one runs its tick late or not at
//! all: what is due from a second before a fault to a second after it may be missed.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    record::Record,
    report::{Bar, Report, note},
};
use crate::{Failure, process, summary::Row};
use lattice_core::link::Link;
use lattice_providers::schedule::HANDLER;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};

const SCHEDULE: &str = "schedule";
const RECORDER: &str = "recorder";
/// Links with a tick each second.
const LINKS: usize = 40;
/// Hosts of the provider.
const HOSTS: usize = 3;
/// The time between two faults, and how long a host is stopped.
const BETWEEN: Duration = Duration::from_secs(3);
const STOPPED: Duration = Duration::from_secs(2);
/// What is due this close to a fault may be missed.
const AROUND: u64 = 1_000;
/// Far longer than any run takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// Times in milliseconds since 1970 between which a tick may be missed.
type Faults = Vec<(u64, u64)>;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let count = options.length.pick(1_000, 300);
    let mesh = Mesh::start().await?;
    let record = Record::create(&mesh.server.url)?;
    let _recorder = mesh.host("recorder", &["recorder=recorder"]).await?;
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        hosts.push(
            mesh.host(&format!("s{number}"), &["schedule=schedule"])
                .await?,
        );
    }
    mesh.served(SCHEDULE, HOSTS).await?;
    mesh.served(RECORDER, 1).await?;
    for number in 0..LINKS {
        let link = Link::new(SCHEDULE, HANDLER, RECORDER)?.named(format!("t{number:02}"))?;
        let link = link.config(&json!({ "every": "1s" }))?;
        mesh.lattice.links().put(link).await?;
    }

    let (begun, mut faults) = (Instant::now(), Faults::new());
    while record.lines()?.len() < count && begun.elapsed() < PATIENCE {
        sleep(BETWEEN).await;
        let from = now();
        let next = faults.len() % HOSTS;
        if faults.len().is_multiple_of(2) {
            hosts[next].kill().await?;
            let to = now();
            let id = format!("s{}", HOSTS + faults.len());
            hosts[next] = mesh.host(&id, &["schedule=schedule"]).await?;
            faults.push((from, to));
        } else {
            process::signal(hosts[next].id()?, "STOP")?;
            sleep(STOPPED).await;
            process::signal(hosts[next].id()?, "CONT")?;
            faults.push((from, now()));
        }
    }
    // What is being run now is recorded, too.
    sleep(BETWEEN).await;
    let lines = record.lines()?;
    let (twice, missed) = judge(&lines, &faults)?;
    note(&format!(
        "schedule: {} ticks, {} faults, {twice} ran twice, {missed} missed",
        lines.len(),
        faults.len()
    ));
    let twice = Row::new("schedule.double_ticks", twice as f64, None, "ticks");
    report.add(twice, Bar::AtMost(0.0));
    let missed = Row::new("schedule.missed_ticks", missed as f64, None, "ticks");
    report.add(missed, Bar::AtMost(0.0));
    Ok(())
}

/// Returns how many ticks ran twice, and how many between the first and the last of their link
/// never ran without a fault at that time.
fn judge(lines: &[String], faults: &[(u64, u64)]) -> Result<(usize, usize), Failure> {
    let mut ticks: BTreeMap<&str, BTreeMap<u64, usize>> = BTreeMap::new();
    for line in lines {
        let (link, due) = line.split_once(' ').ok_or("a tick has a link and a time")?;
        *ticks
            .entry(link)
            .or_default()
            .entry(due.parse()?)
            .or_default() += 1;
    }
    let is_explained = |due: u64| {
        let mut faults = faults.iter();
        faults.any(|(from, to)| (from.saturating_sub(AROUND)..=to + AROUND).contains(&due))
    };
    let (mut twice, mut missed) = (0, 0);
    for dues in ticks.values() {
        twice += dues.values().map(|times| times - 1).sum::<usize>();
        let (first, last) = (dues.keys().next(), dues.keys().next_back());
        let (Some(first), Some(last)) = (first, last) else {
            continue;
        };
        let expected = (*first..=*last).step_by(1_000);
        let lacking = expected.filter(|due| !dues.contains_key(due) && !is_explained(*due));
        missed += lacking.count();
    }
    Ok((twice, missed))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_judged_by_link_and_around_faults() {
        let lines = ["a 1000", "a 2000", "a 2000", "a 5000", "b 3000", "b 9000"];
        let lines = lines.map(str::to_owned);
        // Of `a`, 3000 and 4000 are missing; of `b`, 4000 to 8000.
        let faults = [(6_500, 6_600)];
        assert_eq!(judge(&lines, &faults).expect("valid"), (1, 2 + 3));
        assert_eq!(judge(&lines, &[]).expect("valid"), (1, 2 + 5));
    }
}
