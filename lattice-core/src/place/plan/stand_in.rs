//! The generation before stands in for a new one whose image is away.
//!
//! A new generation that can't be fetched is not rejected, because that says nothing about it. Where
//! the one before still serves, it serves on. A host that has just started runs it in the meantime,
//! unless the new one has served before.

use super::{Effects, Generation, component::ComponentReconciler};
use tokio::time::Instant;

impl ComponentReconciler {
    /// Returns the generation that stands in for the wanted one, if that has not been fetched for
    /// some time and never came up.
    pub(super) fn stand_in(&self) -> Option<Generation> {
        let wanted = self.wanted.as_ref()?;
        let never_served = !wanted.has_served
            && self.serving_of(wanted.generation) == 0
            && !self.others.serve(wanted.generation);
        wanted
            .fallback
            .filter(|_| never_served && self.failures.is_delayed())
    }

    /// Starts the replicas that stand in, as many as this host's share lacks.
    pub(super) fn start_stand_ins(&mut self, now: Instant, effects: &mut Effects) {
        let Some(before) = self.stand_in() else {
            return;
        };
        if self.stand_in_failures.again(now).is_some() {
            return;
        }
        let up = self.serving() + self.starting();
        for _ in up..self.need() {
            self.start(before, None, now, effects);
        }
    }
}
