//! What is counted of the instances of one actor.

use lattice_core::{
    call::CallError,
    sync::Mutex,
    telemetry::metrics::{
        Metrics,
        instruments::{self as is, COMPONENT},
    },
    trace::error_type,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts the instances of an actor on a host, over all of its versions.
#[derive(Debug, Default)]
pub(crate) struct InstanceFigures {
    started: AtomicU64,
    ended: AtomicU64,
    /// Those that ended with an error, by its type.
    failed: Mutex<BTreeMap<&'static str, u64>>,
}

/// An instance that is there as long as this is.
pub(super) struct LiveInstance(Arc<InstanceFigures>);

/// The instances of an actor that serve no call.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbusy {
    /// They wait for the next one.
    pub(crate) idle: usize,
    /// They stay for what they have given away, whether they serve a call or not.
    pub(crate) kept: usize,
}

impl InstanceFigures {
    pub(super) fn start(self: &Arc<Self>) -> LiveInstance {
        self.started.fetch_add(1, Ordering::Relaxed);
        LiveInstance(self.clone())
    }

    /// Counts an instance that ended with this error.
    pub(super) fn failed(&self, error: &CallError) {
        *self.failed.lock().entry(error_type(error)).or_default() += 1;
    }

    fn live(&self) -> u64 {
        // In this order, because an instance ends after it has started.
        let ended = self.ended.load(Ordering::Acquire);
        self.started.load(Ordering::Acquire).saturating_sub(ended)
    }

    /// Adds the metrics of an actor's instances, of which these serve no call.
    pub(crate) fn add_metrics(&self, component: &str, unbusy: Unbusy, metrics: &mut Metrics) {
        let of = || (COMPONENT, component.to_owned());
        let (idle, kept) = (unbusy.idle as u64, unbusy.kept as u64);
        // They were not counted at the same time.
        let busy = self.live().saturating_sub(idle + kept);
        let instances = metrics.family(&is::INSTANCES);
        for (state, count) in [("busy", busy), ("idle", idle), ("kept", kept)] {
            instances.add([of(), ("lattice.instance.state", state.to_owned())], count);
        }
        let started = self.started.load(Ordering::Relaxed);
        let family = metrics.family(&is::INSTANCES_STARTED);
        family.add([of()], started);
        let failed = metrics.family(&is::INSTANCES_FAILED);
        for (error, count) in &*self.failed.lock() {
            failed.add([of(), ("error.type", (*error).to_owned())], *count);
        }
    }
}

impl Drop for LiveInstance {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

impl std::ops::AddAssign for Unbusy {
    fn add_assign(&mut self, other: Self) {
        self.idle += other.idle;
        self.kept += other.kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn instances_are_busy_unless_something_else_is_known_of_them() {
        let figures = Arc::<InstanceFigures>::default();
        let live: Vec<LiveInstance> = (0..5).map(|_| figures.start()).collect();
        let trap = CallError::CalleeFailed {
            reason: "it trapped".to_owned(),
        };
        figures.failed(&trap);
        let count = |unbusy| {
            let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
            figures.add_metrics("a", unbusy, &mut metrics);
            metrics
        };
        let metrics = count(Unbusy { idle: 2, kept: 1 });
        let state = |state| metrics.total(is::INSTANCES.name, &[("lattice.instance.state", state)]);
        assert_eq!(
            ["busy", "idle", "kept"].map(state),
            [2.0, 2.0, 1.0].map(Some)
        );
        assert_eq!(metrics.total(is::INSTANCES_STARTED.name, &[]), Some(5.0));
        let failed = [("error.type", "callee-failed")];
        assert_eq!(metrics.total(is::INSTANCES_FAILED.name, &failed), Some(1.0));
        drop(live);
        let metrics = count(Unbusy::default());
        assert_eq!(metrics.total(is::INSTANCES.name, &[]), Some(0.0));
    }
}
