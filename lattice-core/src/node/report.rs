//! Reports: how a host's components fare and what they cost, told every few seconds to whoever looks.

use super::{Announce, Inner, Node, meter::Times, served::Served};
use crate::{
    bus::Subscription,
    name::ComponentId,
    wire::{
        Body as _, ComponentReport, ComponentStatus, FrameWriter, Kind, Lane, Latency, Phase,
        Report, ReportWanted,
    },
};
use bytes::{BufMut as _, Bytes};
use futures_util::StreamExt as _;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Between two reports, up to [`CROWD`] hosts.
pub(crate) const REPORT: Duration = Duration::from_secs(5);
/// More hosts than this report slower in proportion, as they beat.
const CROWD: usize = 200;
/// How soon news may be told again.
const NEWS: Duration = Duration::from_millis(500);
/// Envelopes of one report: with short reasons it stays below what NATS takes in a message.
const MAX_PARTS: usize = 16;
/// Bytes of reasons in one report; those of components after that are left out.
const MAX_REASONS: usize = 64 * 1024;
/// Requests for a report that may wait: one is as good as many.
const WANTED: usize = 16;

/// What whoever runs components here says of them.
pub(super) struct Statuses {
    of: Mutex<BTreeMap<ComponentId, ComponentStatus>>,
    /// There is something new to tell in a report.
    news: Notify,
    born: Instant,
}

impl Statuses {
    pub(super) fn new() -> Self {
        Self {
            of: Mutex::default(),
            news: Notify::new(),
            born: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ComponentId, ComponentStatus>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Says how a component that this node is to run fares: told to everyone within half a second, and in each report from
    /// then on. Of a component that it serves and has no status of, a node reports by itself that it serves.
    pub fn set_status(&self, component: &ComponentId, status: ComponentStatus) {
        self.inner().set_status(component, status);
    }

    /// Takes back what was said of a component.
    pub fn clear_status(&self, component: &ComponentId) {
        self.inner().clear_status(component);
    }
}

impl Inner {
    pub(crate) fn set_status(&self, component: &ComponentId, status: ComponentStatus) {
        let before = self
            .statuses
            .lock()
            .insert(component.clone(), status.clone());
        if before != Some(status) {
            self.statuses.news.notify_one();
        }
    }

    pub(crate) fn clear_status(&self, component: &ComponentId) {
        if self.statuses.lock().remove(component).is_some() {
            self.statuses.news.notify_one();
        }
    }
}

/// Reports every few seconds, and soon when there is news or somebody asks.
pub(super) async fn report(node: Arc<Inner>) {
    let mut windows = Windows::default();
    let mut wanted = None;
    loop {
        if wanted.is_none() {
            wanted = node.listen_for_requests().await;
        }
        let interval = report_interval(node.connection.presence.peers().iter().count());
        let speaks = node.announce == Announce::Always || !node.served.load().is_empty();
        if speaks && !node.leaving.load(Ordering::Acquire) {
            node.send_report(&mut windows, interval).await;
        }
        let (due, soonest) = (Instant::now() + interval, Instant::now() + NEWS);
        tokio::select! {
            biased;
            () = sleep_until(due) => windows.turn(),
            () = node.statuses.news.notified() => sleep_until(soonest).await,
            () = node.asked(&mut wanted) => {
                // Whoever looks for the first time has heard no beat either.
                node.news.notify_one();
                sleep_until(soonest).await;
            }
        }
    }
}

fn report_interval(hosts: usize) -> Duration {
    REPORT.mul_f64((hosts as f64 / CROWD as f64).max(1.0))
}

impl Inner {
    /// The requests for reports; without them, reports come in their own time.
    async fn listen_for_requests(&self) -> Option<Subscription> {
        let subject = self.connection.subjects.report_wanted();
        match self.connection.bus.subscribe(subject, WANTED).await {
            Ok(wanted) => Some(wanted),
            Err(error) => {
                tracing::debug!(%error, "requests for reports are not heard");
                None
            }
        }
    }

    /// Waits until somebody asks for a report.
    async fn asked(&self, wanted: &mut Option<Subscription>) {
        while let Some(requests) = wanted {
            let Some(message) = requests.next().await else {
                *wanted = None;
                break;
            };
            let Some(frame) = self.authentic(message) else {
                continue;
            };
            let mut envelopes = frame.envelopes();
            match frame.kind() {
                Kind::ReportWanted if envelopes.all(|e| ReportWanted::decode(e).is_ok()) => return,
                _ => self.refuse("what is no request for a report"),
            }
        }
        std::future::pending().await
    }

    async fn send_report(&self, windows: &mut Windows, interval: Duration) {
        let mut components = self.component_reports(windows);
        let most = MAX_PARTS * Report::MAX_COMPONENTS;
        let left_out = components.len().saturating_sub(most) as u32;
        components.truncate(most);
        let Some(frame) = self.report_frame(components, left_out, interval) else {
            return;
        };
        let subject = self.connection.subjects.report();
        if let Err(error) = self.connection.bus.publish(subject, None, frame).await {
            tracing::debug!(%error, "a report was not sent");
        }
    }

    fn report_frame(
        &self,
        components: Vec<ComponentReport>,
        left_out: u32,
        interval: Duration,
    ) -> Option<Bytes> {
        let mut writer = FrameWriter::new(self.origin.clone(), None, Kind::Report, Lane::Small);
        let mut parts: Vec<_> = components
            .chunks(Report::MAX_COMPONENTS)
            .map(<[_]>::to_vec)
            .collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for components in parts {
            let part = Report {
                components,
                ..self.report_head(left_out, interval)
            };
            let envelope = part.encode().ok()?;
            writer.push(|buf| buf.put_slice(&envelope)).ok()?;
        }
        Some(writer.seal(&self.connection.auth, self.next_sequence()))
    }

    fn report_head(&self, left_out: u32, interval: Duration) -> Report {
        let store = self.connection.replica.health();
        let served = self.served.load();
        let in_flight: usize = served.values().map(|served| served.in_flight()).sum();
        Report {
            interval_ms: interval.as_millis() as u32,
            uptime_ms: self.statuses.born.elapsed().as_millis() as u64,
            in_flight: in_flight as u32,
            memory: resident_memory(),
            incarnation: store.incarnation,
            revision: store.revision,
            follows_store: store.state.is_live(),
            left_out,
            components: Vec::new(),
        }
    }

    /// What is served or has a status; what is in trouble first, so that it is told whatever else is left out.
    fn component_reports(&self, windows: &mut Windows) -> Vec<ComponentReport> {
        let served = self.served.load_full();
        let statuses = self.statuses.lock().clone();
        windows.keep(|id| served.contains_key(id));
        let unserved = statuses.keys().filter(|id| !served.contains_key(*id));
        let mut reports: Vec<_> = served
            .values()
            .map(|served| {
                let latency = windows.latency(served);
                let (calls, errors) = served.meter.counts();
                ComponentReport {
                    calls,
                    errors,
                    latency,
                    ..bare(&served.id, statuses.get(&served.id), phase_of(served))
                }
            })
            .chain(unserved.map(|id| bare(id, statuses.get(id), Phase::Starting)))
            .collect();
        reports.sort_by(|a, b| {
            let key = |report: &ComponentReport| report.phase == Phase::Serving;
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        });
        let mut room = MAX_REASONS;
        for report in &mut reports {
            let bytes = report.reason.as_ref().map_or(0, String::len);
            match room.checked_sub(bytes) {
                Some(left) => room = left,
                None => report.reason = None,
            }
        }
        reports
    }
}

fn phase_of(served: &Served) -> Phase {
    if served.is_serving() {
        Phase::Serving
    } else {
        Phase::Draining
    }
}

/// A report on what had no calls.
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

/// What each component's times were one and two intervals ago: a report tells of the calls since the latter.
#[derive(Default)]
struct Windows(HashMap<ComponentId, Window>);

struct Window {
    /// Whose times these are: a component that was started anew counts anew. One that was stopped is not kept for this.
    of: Weak<Served>,
    older: Times,
    newer: Times,
}

impl Windows {
    fn keep(&mut self, is_served: impl Fn(&ComponentId) -> bool) {
        self.0.retain(|id, _| is_served(id));
    }

    fn latency(&mut self, served: &Arc<Served>) -> Option<Latency> {
        let window = self
            .0
            .entry(served.id.clone())
            .or_insert_with(|| Window::new(served));
        if window.of.as_ptr() != Arc::as_ptr(served) {
            *window = Window::new(served);
        }
        served.meter.times().since(&window.older)
    }

    /// An interval is over.
    fn turn(&mut self) {
        for window in self.0.values_mut() {
            if let Some(served) = window.of.upgrade() {
                window.older = std::mem::replace(&mut window.newer, served.meter.times());
            }
        }
    }
}

impl Window {
    fn new(served: &Arc<Served>) -> Self {
        Self {
            of: Arc::downgrade(served),
            older: Times::zero(),
            newer: Times::zero(),
        }
    }
}

/// Resident memory of this process in bytes, where the system says it in a file.
fn resident_memory() -> Option<u64> {
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
    fn a_crowd_reports_slower() {
        assert_eq!(report_interval(0), REPORT);
        assert_eq!(report_interval(1_000), REPORT * 5);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(resident_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
