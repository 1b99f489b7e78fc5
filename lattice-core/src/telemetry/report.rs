//! Reports: the state and metrics of a host's components, and of the links to them, sent every few
//! seconds while there is a watcher.

use super::{Telemetry, periods::Periods};
use crate::{
    bus::Subscription,
    name::ComponentId,
    serve::ProcessUsage,
    server::component::RunningComponent,
    sync::Mutex,
    value,
    wire::{
        Body as _, ComponentReport, ComponentStatus, Kind, Lane, LinkCalls, Phase, ProcessReport,
        Program, RecentCalls, Report, ReportWanted, cut,
    },
};
use bytes::{BufMut as _, Bytes};
use futures_util::StreamExt as _;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The time between two reports among up to [`CROWD`] hosts.
pub(crate) const REPORT: Duration = Duration::from_secs(5);
/// Beyond this many hosts, the time between reports grows in proportion, like that between beats.
const CROWD: usize = 200;
/// How soon changes may be sent after the last report.
const SOONEST: Duration = Duration::from_millis(500);
/// Most envelopes of one report. With short reasons, it stays below the largest message of NATS.
const MAX_PARTS: usize = 16;
/// An upper bound for the bytes of an envelope in addition to its components and links.
const HEAD: usize = 160;
/// Most bytes of reasons in one report. Further reasons are left out.
const MAX_REASONS: usize = 64 * 1024;
/// The release of this program's Lattice.
const RELEASE: &str = env!("CARGO_PKG_VERSION");
const _: () = assert!(RELEASE.len() <= Program::MAX_RELEASE);
/// Requests for a report that may wait. One has the same effect as many.
const WANTED: usize = 16;

/// What is reported of a component, and of the process in which it runs, if it has one.
type Reported = (ComponentReport, Option<ProcessReport>);

/// The states of components, as set by what runs them here.
pub(super) struct Statuses {
    of: Mutex<BTreeMap<ComponentId, ComponentStatus>>,
    /// The next report is due soon.
    changed: Notify,
    started: Instant,
}

impl Statuses {
    pub(super) fn new() -> Self {
        Self {
            of: Mutex::default(),
            changed: Notify::new(),
            started: Instant::now(),
        }
    }

    pub(super) fn set(&self, component: &ComponentId, status: ComponentStatus) {
        let before = self.lock().insert(component.clone(), status.clone());
        if before != Some(status) {
            self.changed.notify_one();
        }
    }

    pub(super) fn clear(&self, component: &ComponentId) {
        if self.lock().remove(component).is_some() {
            self.changed.notify_one();
        }
    }

    /// How long the node has been in the lattice.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ComponentId, ComponentStatus>> {
        self.of.lock()
    }
}

/// Reports every few seconds, and soon after a change or a request.
pub(crate) async fn run(telemetry: Arc<Telemetry>) {
    let mut periods = Periods::since(telemetry.statuses.started);
    let mut wanted = None;
    let membership = telemetry.server.membership.clone();
    loop {
        if wanted.is_none() {
            wanted = telemetry.subscribe_to_requests().await;
        }
        let interval = report_interval(membership.presence.peers().iter().count());
        periods.turn(Instant::now(), interval);
        if membership.speaks(&*telemetry.server) && !membership.is_leaving() {
            telemetry.send_report(&mut periods, interval).await;
        }
        let (due, soonest) = (periods.end(interval), Instant::now() + SOONEST);
        tokio::select! {
            biased;
            () = sleep_until(due) => {}
            () = telemetry.statuses.changed.notified() => sleep_until(soonest).await,
            () = telemetry.server.conditions.notified() => sleep_until(soonest).await,
            () = telemetry.requested(&mut wanted) => {
                // A new watcher has received no beat either.
                membership.announce_changes();
                sleep_until(soonest).await;
            }
        }
    }
}

fn report_interval(hosts: usize) -> Duration {
    REPORT.mul_f64((hosts as f64 / CROWD as f64).max(1.0))
}

impl Telemetry {
    /// Subscribes to requests for reports. Without a subscription, reports are sent at their
    /// regular interval.
    async fn subscribe_to_requests(&self) -> Option<Subscription> {
        let subject = self.endpoint().subjects().report_wanted();
        match self.endpoint().subscribe(subject, WANTED).await {
            Ok(wanted) => Some(wanted),
            Err(error) => {
                tracing::debug!(%error, "could not subscribe to requests for reports; trying again");
                None
            }
        }
    }

    /// Waits for a request.
    async fn requested(&self, wanted: &mut Option<Subscription>) {
        while let Some(requests) = wanted {
            let Some(message) = requests.next().await else {
                *wanted = None;
                break;
            };
            let Some(frame) = self.endpoint().open(message) else {
                continue;
            };
            let mut envelopes = frame.envelopes();
            match frame.kind() {
                Kind::ReportWanted if envelopes.all(|e| ReportWanted::decode(e).is_ok()) => return,
                _ => self
                    .endpoint()
                    .refuse("a frame among the requests for reports that isn't one"),
            }
        }
        std::future::pending().await
    }

    async fn send_report(&self, periods: &mut Periods, interval: Duration) {
        let mut room = self
            .endpoint()
            .max_message()
            .saturating_sub(MAX_PARTS * HEAD);
        let mut components = self.component_reports(periods);
        let all = components.len();
        keep_fitting(
            &mut components,
            MAX_PARTS * Report::MAX_COMPONENTS,
            &mut room,
        );
        let left_out = (all - components.len()) as u32;
        // After the components, whose states matter more.
        let mut recent = self.recent_calls(periods);
        keep_fitting(&mut recent.links, MAX_PARTS * Report::MAX_LINKS, &mut room);
        let head = self.report_head(left_out, interval);
        let Some(frame) = self.report_frame(&head, components, &recent) else {
            return;
        };
        let endpoint = self.endpoint();
        let subject = endpoint.subjects().report();
        if let Err(error) = endpoint.bus().publish(subject, None, frame).await {
            tracing::debug!(%error, "a report was not sent");
        }
    }

    fn report_frame(
        &self,
        head: &Report,
        components: Vec<Reported>,
        recent: &RecentCalls,
    ) -> Option<Bytes> {
        let mut writer = self.endpoint().writer(Kind::Report, Lane::Small);
        let mut parts: Vec<_> = components
            .chunks(Report::MAX_COMPONENTS)
            .map(<[_]>::to_vec)
            .collect();
        let mut links = recent.links.chunks(Report::MAX_LINKS);
        parts.resize(parts.len().max(links.len()).max(1), Vec::new());
        for reported in parts {
            let (components, processes): (Vec<_>, Vec<_>) = reported.into_iter().unzip();
            let processes = processes.into_iter().flatten();
            let part = Report {
                components,
                processes: processes.take(Report::MAX_PROCESSES).collect(),
                recent: RecentCalls {
                    over_ms: recent.over_ms,
                    links: links.next().unwrap_or_default().to_vec(),
                },
                ..head.clone()
            };
            let envelope = part.encode().ok()?;
            writer.push(|buf| buf.put_slice(&envelope)).ok()?;
        }
        Some(self.endpoint().seal_writer(writer))
    }

    fn report_head(&self, left_out: u32, interval: Duration) -> Report {
        let store = self.server.connection.replica.health();
        let components = self.server.registry.load();
        let in_flight: usize = components.values().map(|one| one.in_flight()).sum();
        Report {
            interval_ms: interval.as_millis() as u32,
            uptime_ms: self.statuses.uptime().as_millis() as u64,
            in_flight: in_flight as u32,
            memory: resident_memory(),
            incarnation: store.incarnation,
            revision: store.revision,
            follows_store: store.state.is_live(),
            left_out,
            components: Vec::new(),
            processes: Vec::new(),
            program: Program {
                release: Some(RELEASE.to_owned()),
                guest_memory: self.guest_memory(),
            },
            recent: RecentCalls::default(),
        }
    }

    /// Reports on the components that are in service or have a status. Components in trouble come
    /// first, so that they are never left out.
    fn component_reports(&self, periods: &mut Periods) -> Vec<Reported> {
        let running = self.server.registry.snapshot();
        let statuses = self.statuses.lock().clone();
        let others = statuses.keys().filter(|id| !running.contains_key(*id));
        let mut reports: Vec<_> = running
            .values()
            .map(|component| {
                let latency = periods.recent(component.meter.all()).latency;
                let (calls, errors) = component.meter.counts();
                let status = statuses.get(&component.id);
                let bare = bare(&component.id, status, phase_of(component));
                let report = ComponentReport {
                    calls,
                    errors,
                    latency,
                    reason: with_condition(component, bare.reason),
                    ..bare
                };
                let usage = component.process();
                let process = usage.map(|usage| process_report(&component.id, usage));
                (report, process)
            })
            .chain(others.map(|id| (bare(id, statuses.get(id), Phase::Starting), None)))
            .collect();
        reports.sort_by(|(a, _), (b, _)| {
            let key = |report: &ComponentReport| {
                report.phase == Phase::Serving && report.reason.is_none()
            };
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        });
        let mut room = MAX_REASONS;
        for (report, process) in &mut reports {
            let last_exit = process.as_mut().map(|process| &mut process.last_exit);
            for reason in [Some(&mut report.reason), last_exit].into_iter().flatten() {
                match room.checked_sub(reason.as_ref().map_or(0, String::len)) {
                    Some(left) => room = left,
                    None => *reason = None,
                }
            }
        }
        reports
    }

    /// Reports on the links over which components in service were called recently, those with most
    /// calls first.
    fn recent_calls(&self, periods: &mut Periods) -> RecentCalls {
        let Some(over) = periods.covered(Instant::now()) else {
            return RecentCalls::default();
        };
        let mut links = Vec::new();
        for component in self.server.registry.snapshot().values() {
            for (link, tally) in component.calls_by_link() {
                if tally.counts() == (0, 0) {
                    continue;
                }
                let recent = periods.recent(&tally);
                if recent.calls == 0 && recent.errors == 0 {
                    continue;
                }
                links.push(LinkCalls {
                    source: link.source.clone(),
                    interface: link.interface.clone(),
                    name: link.name.clone(),
                    target: component.id.clone(),
                    calls: recent.calls,
                    errors: recent.errors,
                    latency: recent.latency,
                });
            }
        }
        links.sort_by_cached_key(|link| {
            let name = (
                link.source.clone(),
                link.interface.clone(),
                link.name.clone(),
            );
            (Reverse(link.calls), name)
        });
        RecentCalls {
            over_ms: u32::try_from(over.as_millis()).unwrap_or(u32::MAX),
            links,
        }
    }
}

/// Keeps the first items: at most `most`, and as many as fit into `room`, which they take.
fn keep_fitting<T: value::Encode>(items: &mut Vec<T>, most: usize, room: &mut usize) {
    let fits = |item: &&T| {
        let size = value::to_bytes(*item).map_or(usize::MAX, |bytes| bytes.len());
        room.checked_sub(size)
            .inspect(|left| *room = *left)
            .is_some()
    };
    let fitting = items.iter().take(most).take_while(fits).count();
    items.truncate(fitting);
}

fn phase_of(component: &RunningComponent) -> Phase {
    if component.is_serving() {
        Phase::Serving
    } else {
        Phase::Draining
    }
}

/// Adds what a component's last check of its health has found to the last thing that went wrong.
fn with_condition(component: &RunningComponent, reason: Option<String>) -> Option<String> {
    let Some(condition) = component.life.condition() else {
        return reason;
    };
    let both = match reason {
        Some(reason) => format!("{condition}; {reason}"),
        None => condition,
    };
    ComponentStatus::new(Phase::Serving).reason(both).reason
}

/// A report without calls.
fn bare(id: &ComponentId, status: Option<&ComponentStatus>, otherwise: Phase) -> ComponentReport {
    ComponentReport {
        id: id.clone(),
        phase: status.map_or(otherwise, |status| status.phase),
        generation: status.and_then(|status| status.generation),
        reason: status.and_then(|status| status.reason.clone()),
        calls: 0,
        errors: 0,
        latency: None,
    }
}

fn process_report(component: &ComponentId, usage: ProcessUsage) -> ProcessReport {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    ProcessReport {
        component: component.clone(),
        restarts: usage.restarts,
        uptime_ms: usage.uptime.map(millis),
        memory: usage.memory,
        cpu_ms: usage.cpu.map(millis),
        last_exit: usage.last_exit.map(cut),
    }
}

/// Returns the resident memory of this process in bytes, where the system has a file with it.
pub(super) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_hosts_report_less_often() {
        assert_eq!(report_interval(0), REPORT);
        assert_eq!(report_interval(1_000), REPORT * 5);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(resident_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
