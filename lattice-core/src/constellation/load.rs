//! The last report of a host, and the rates of its counters. Pure.

use super::{
    items::{GuestMemoryView, HostLoad, ProcessView, ReplicaLoad},
    link_loads::{self, Called},
};
use crate::{
    link::LinkKey,
    name::ComponentId,
    wire::{ComponentReport, Origin, ProcessReport, Report},
};
use std::{collections::BTreeMap, time::Duration};

/// The last report of a host.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) origin: Origin,
    pub(super) load: HostLoad,
    pub(super) components: BTreeMap<ComponentId, ComponentReport>,
    /// The links over which its components were called recently.
    pub(super) links: BTreeMap<LinkKey, Called>,
    processes: BTreeMap<ComponentId, ProcessReport>,
    /// Calls and errors per second.
    rates: BTreeMap<ComponentId, (f64, f64)>,
}

impl Reported {
    /// Creates it from a report and the one before. Returns `None` when the report has no parts.
    pub(super) fn new(from: Origin, parts: Vec<Report>, before: Option<Self>) -> Option<Self> {
        let head = parts.first()?;
        let load = HostLoad {
            uptime: Duration::from_millis(head.uptime_ms),
            in_flight: head.in_flight,
            memory: head.memory,
            incarnation: head.incarnation,
            revision: head.revision,
            follows_store: head.follows_store,
            left_out: head.left_out,
            release: head.program.release.clone(),
            guest_memory: head.program.guest_memory.map(|memory| GuestMemoryView {
                used: memory.used,
                limit: memory.limit,
            }),
        };
        let (mut components, mut processes) = (BTreeMap::new(), BTreeMap::new());
        let mut links = BTreeMap::new();
        for part in parts {
            components.extend(
                part.components
                    .into_iter()
                    .map(|said| (said.id.clone(), said)),
            );
            let of = |said: ProcessReport| (said.component.clone(), said);
            processes.extend(part.processes.into_iter().map(of));
            links.extend(link_loads::rates(part.recent));
        }
        let mut report = Self {
            origin: from,
            load,
            components,
            links,
            processes,
            rates: BTreeMap::new(),
        };
        if let Some(before) = before.filter(|before| before.origin == report.origin) {
            report.compare(before);
        }
        Some(report)
    }

    /// Computes rates by the host's own clock, because its counts are those at the time of sending,
    /// however long the report is in transit.
    fn compare(&mut self, mut before: Self) {
        let passed = self.load.uptime.saturating_sub(before.load.uptime);
        for (id, now) in &self.components {
            let then = before.components.get(id);
            let grown = then.and_then(|then| {
                let calls = now.calls.checked_sub(then.calls)?;
                Some((calls, now.errors.checked_sub(then.errors)?))
            });
            let rate = match grown {
                Some((calls, errors)) if !passed.is_zero() => {
                    let seconds = passed.as_secs_f64();
                    Some((calls as f64 / seconds, errors as f64 / seconds))
                }
                Some(_) => before.rates.remove(id),
                // The component was restarted.
                None => None,
            };
            self.rates.extend(rate.map(|rate| (id.clone(), rate)));
        }
    }

    /// Returns the process that serves one of its components, if that is reported.
    pub(super) fn process_of(&self, component: &ComponentId) -> Option<ProcessView> {
        let said = self.processes.get(component)?;
        Some(ProcessView {
            restarts: said.restarts,
            uptime: said.uptime_ms.map(Duration::from_millis),
            memory: said.memory,
            cpu: said.cpu_ms.map(Duration::from_millis),
            last_exit: said.last_exit.clone(),
        })
    }

    /// Returns the load of one of its components.
    pub(super) fn load_of(&self, said: &ComponentReport) -> ReplicaLoad {
        let rate = self.rates.get(&said.id);
        let micros = |micros: u32| Duration::from_micros(micros.into());
        ReplicaLoad {
            calls: said.calls,
            errors: said.errors,
            calls_per_second: rate.map(|(calls, _)| *calls),
            errors_per_second: rate.map(|(_, errors)| *errors),
            p50: said.latency.map(|latency| micros(latency.p50_us)),
            p99: said.latency.map(|latency| micros(latency.p99_us)),
        }
    }
}
