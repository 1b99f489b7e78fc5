//! What an agent counts for metrics.

use super::{Agent, AgentState, ComponentState, Phase};
use crate::telemetry::metrics::{
    Metrics,
    instruments::{self as is, COMPONENT},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// What the task of an agent counts, beside the state that it publishes.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// How long the last computation of the placement took, in nanoseconds.
    planned_in: AtomicU64,
    /// Leases that are held.
    leases: AtomicUsize,
}

/// The replicas of one component on this host.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Replicas {
    wanted: u64,
    serving: u64,
    failed: u64,
}

impl Figures {
    pub(super) fn planned(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.planned_in.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn hold_leases(&self, count: usize) {
        self.leases.store(count, Ordering::Relaxed);
    }
}

impl Agent {
    /// Adds the metrics of placement on this host: its share, what of it serves, and its leases.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        let assignment = self.assignment.borrow().clone();
        let shares = assignment.of(&self.host);
        let wanted = shares.map(|share| (share.component.to_string(), share.slots.len() as u64));
        let replicas = replicas(wanted, &self.state());
        let family = metrics.family(&is::PLACEMENT_REPLICAS);
        for (component, replicas) in replicas {
            let states = [
                ("wanted", replicas.wanted),
                ("serving", replicas.serving),
                ("failed", replicas.failed),
            ];
            for (state, count) in states {
                let of = (COMPONENT, component.clone());
                family.add([of, ("lattice.replica.state", state.to_owned())], count);
            }
        }
        let planned_in = Duration::from_nanos(self.figures.planned_in.load(Ordering::Relaxed));
        metrics.set(&is::PLACEMENT_PLAN, planned_in.as_secs_f64());
        let leases = self.figures.leases.load(Ordering::Relaxed);
        metrics.set(&is::PLACEMENT_LEASES, leases);
    }
}

/// Returns the replicas of each component that this host runs or should run.
fn replicas(
    wanted: impl Iterator<Item = (String, u64)>,
    state: &AgentState,
) -> BTreeMap<String, Replicas> {
    let mut all = BTreeMap::<String, Replicas>::new();
    for (component, count) in wanted {
        all.entry(component).or_default().wanted = count;
    }
    for (component, ComponentState { status, .. }) in &state.components {
        let replicas = all.entry(component.to_string()).or_default();
        let serving = status.replica_counts.iter();
        replicas.serving = serving.map(|count| u64::from(count.serving)).sum();
        if matches!(status.phase, Phase::CrashLooping { .. }) {
            replicas.failed = replicas.wanted.saturating_sub(replicas.serving);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::ComponentId,
        place::plan::{ReplicaCount, Status},
    };
    use tokio::time::Instant;

    #[test]
    fn replicas_that_crash_are_those_of_the_share_that_do_not_serve() {
        let serving = |serving| ReplicaCount {
            generation: 1,
            serving,
            kept: serving,
        };
        let crashes = Phase::CrashLooping {
            failures: 3,
            again: Instant::now(),
        };
        let mut state = AgentState::default();
        for (id, phase, count) in [("a", Phase::Serving, 2), ("b", crashes, 1)] {
            let id = ComponentId::new(id).expect("valid");
            let status = Status {
                phase,
                replica_counts: vec![serving(count)],
            };
            let kept = ComponentState {
                status,
                reason: None,
            };
            state.components.insert(id, kept);
        }
        let wanted = [("a", 2), ("b", 3), ("c", 1)];
        let wanted = wanted.map(|(id, count)| (id.to_owned(), count));
        let found: Vec<_> = replicas(wanted.into_iter(), &state).into_values().collect();
        let expected = [(2, 2, 0), (3, 1, 2), (1, 0, 0)];
        let expected = expected.map(|(wanted, serving, failed)| Replicas {
            wanted,
            serving,
            failed,
        });
        assert_eq!(found, expected);
    }
}
