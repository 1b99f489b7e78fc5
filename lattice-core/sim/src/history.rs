//! The history of a simulation: its calls, the violations that were found, and a trace.

use super::{
    check,
    invariant::{Invariant, Violation},
    record::{CallRecord, Ended, Run, Via},
    schedule::HostIndex,
    store::{Boot, SimStore},
};
use lattice_core::{call::CallError, name::ComponentId, sync::Mutex, wire::Source};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, MutexGuard},
    time::Duration,
};

/// How many violations of one run are kept.
const MOST: usize = 16;

/// Everything that hosts, components and callers of one simulation record. It is only used from the
/// thread that runs it.
#[derive(Clone)]
pub(super) struct History {
    log: Arc<Mutex<Log>>,
    store: SimStore,
}

#[derive(Default)]
struct Log {
    now: Duration,
    calls: Vec<CallRecord>,
    violations: Vec<Violation>,
    /// When the link of the guest was deleted, if it was.
    revoked: Option<Duration>,
    /// When each host was last paused.
    stopped: BTreeMap<HostIndex, Duration>,
    /// The boot that last ran the component that runs once.
    last_holder: Option<Boot>,
    trace: Vec<String>,
}

/// Totals of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: usize,
    pub(super) answered: usize,
    pub(super) runs: usize,
}

impl History {
    pub(super) fn new(store: SimStore) -> Self {
        Self {
            log: Arc::default(),
            store,
        }
    }

    pub(super) fn advance(&self, now: Duration) {
        self.lock().now = now;
    }

    pub(super) fn paused(&self, host: HostIndex) {
        let mut log = self.lock();
        let now = log.now;
        log.stopped.insert(host, now);
    }

    /// Records the start of a call, and returns its number.
    pub(super) fn begin(
        &self,
        boot: Boot,
        (target, via): (&'static str, Via),
        repeatable: bool,
        timeout: Duration,
    ) -> u64 {
        let mut log = self.lock();
        let id = log.calls.len() as u64;
        let begun = log.now;
        log.calls.push(CallRecord {
            id,
            boot,
            target,
            via,
            repeatable,
            begun,
            timeout,
            runs: Vec::new(),
            ended: None,
        });
        id
    }

    /// Records that a call runs on a boot of a host.
    pub(super) fn run(&self, id: u64, boot: Boot, once: Option<&ComponentId>, source: &Source) {
        let hears = self.store.in_sync_since(boot.host);
        let holder = once.map(|component| self.store.holder(component));
        let mut log = self.lock();
        let (now, revoked) = (log.now, log.revoked);
        let run = Run {
            boot,
            at: now,
            is_stale: false,
        };
        let Some(call) = log.calls.get_mut(id as usize) else {
            return;
        };
        call.runs.push(run.clone());
        let shown = call.to_string();
        let mut found: Vec<(Invariant, String)> = check::ran(call).into_iter().collect();
        let not_granted = check::granted(&call.via, revoked, hears, now);
        found.extend(not_granted.map(|why| {
            (
                Invariant::Granted,
                format!("{shown} of {source:?} ran on {run}: {why}"),
            )
        }));
        if let Some(holder) = holder {
            let wrong = check::holds(&run, holder);
            found.extend(wrong.map(|why| (Invariant::OneHolder, format!("{shown}: {why}"))));
            log.last_holder = Some(boot);
        }
        log.trace
            .push(format!("{:07} {shown} runs on {run}", now.as_millis()));
        log.report(found);
    }

    /// Records that a call which took time is about to return.
    pub(super) fn answers(&self, id: u64, boot: Boot) {
        let mut log = self.lock();
        let is_stale = log.last_holder.is_some_and(|last| last != boot);
        if let Some(call) = log.calls.get_mut(id as usize)
            && let Some(run) = call.runs.iter_mut().rfind(|run| run.boot == boot)
        {
            run.is_stale = is_stale;
        }
    }

    pub(super) fn end(&self, id: u64, took: Duration, outcome: Result<u64, CallError>) {
        let mut log = self.lock();
        let now = log.now;
        let Some(call) = log.calls.get_mut(id as usize) else {
            return;
        };
        let outcome = outcome.map_err(|error| (error.ran(), error.to_string()));
        call.ended = Some(Ended {
            at: now,
            took,
            outcome,
        });
        let host = call.boot.host;
        let line = format!("{:07} {call} ends: {:?}", now.as_millis(), call.ended);
        let stopped = log.stopped.get(&host).copied();
        let found = log
            .calls
            .get(id as usize)
            .and_then(|call| check::ended(call, stopped));
        log.trace.push(line);
        log.report(found);
    }

    /// Records that the link of the guest may exist again.
    pub(super) fn granted(&self) {
        self.lock().revoked = None;
    }

    /// Records that the link of the guest is deleted.
    pub(super) fn revoked(&self) {
        let mut log = self.lock();
        log.revoked = Some(log.now);
    }

    pub(super) fn note(&self, what: impl fmt::Display) {
        let mut log = self.lock();
        let line = format!("{:07} {what}", log.now.as_millis());
        log.trace.push(line);
    }

    pub(super) fn report(&self, invariant: Invariant, what: impl Into<String>) {
        self.lock().report([(invariant, what.into())]);
    }

    /// Looks for calls of running boots that should have ended.
    pub(super) fn look_for_open(&self, running: impl Fn(HostIndex) -> Option<Boot>) {
        let mut log = self.lock();
        let open = |call: &CallRecord| {
            let is_lost = call.ended.is_some() || running(call.boot.host) != Some(call.boot);
            let stopped = log.stopped.get(&call.boot.host).copied();
            (!is_lost)
                .then(|| check::open(call, log.now, stopped))
                .flatten()
        };
        let found: Vec<_> = log.calls.iter().filter_map(open).collect();
        log.report(found);
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        let log = self.lock();
        let answered =
            |call: &&CallRecord| matches!(&call.ended, Some(ended) if ended.outcome.is_ok());
        Counts {
            calls: log.calls.len(),
            answered: log.calls.iter().filter(answered).count(),
            runs: log.calls.iter().map(|call| call.runs.len()).sum(),
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.lock().trace.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }
}

impl Log {
    fn report(&mut self, found: impl IntoIterator<Item = (Invariant, String)>) {
        let at = self.now;
        let found = found.into_iter().map(|(invariant, what)| Violation {
            invariant,
            at,
            what,
        });
        let room = MOST.saturating_sub(self.violations.len());
        self.violations.extend(found.take(room));
    }
}
