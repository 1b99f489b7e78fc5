//! Runs the previous generation while the image of the new one is unavailable.
//!
//! A new generation that can't be fetched is not rejected, because the failure may have nothing to
//! do with it. Where the previous generation serves, it continues to serve. A host that has just
//! started runs the previous generation until the new one can be fetched, unless the new one has
//! served before.

use super::{Effects, Generation, component::ComponentReconciler};
use tokio::time::Instant;

impl ComponentReconciler {
    /// Returns the generation to run in place of the wanted one, if fetching that has failed
    /// repeatedly and it has never served.
    pub(super) fn fallback(&self) -> Option<Generation> {
        let wanted = self.wanted.as_ref()?;
        let never_served = !wanted.has_served
            && self.serving_of(wanted.generation) == 0
            && !self.others.serve(wanted.generation);
        wanted
            .fallback
            .filter(|_| never_served && self.failures.is_delayed())
    }

    /// Starts as many replicas of the fallback as this host's share lacks.
    pub(super) fn start_fallbacks(&mut self, now: Instant, effects: &mut Effects) {
        let Some(before) = self.fallback() else {
            return;
        };
        if self.fallback_failures.again(now).is_some() {
            return;
        }
        let up = self.serving() + self.starting();
        for _ in up..self.need() {
            self.start(before, None, now, effects);
        }
    }
}
