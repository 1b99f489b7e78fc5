//! Components that run once. They never run without the lease, and never in two replicas at a time.

use super::{
    Action, Effects, StepContext,
    component::{ComponentReconciler, Replica},
};
use crate::{backoff::Backoff, name::ComponentId};
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause before a host requests again a lease that was refused or lost.
const RETRY: Backoff = Backoff::constant(Duration::from_secs(1));
/// How long a holder keeps a component that is assigned to another host by now. The other host
/// takes a lease only after it has followed the store for a whole term, so without this delay
/// nothing would serve while a host that has just returned waits for that.
pub(crate) const KEEP: Duration = Duration::from_secs(7);

/// The state of a component's lease on this host.
#[derive(Debug, Default)]
pub(super) enum LeaseState {
    /// The host does not hold the lease and has not requested it.
    #[default]
    None,
    /// The lease was refused or lost. The host requests it again at this time.
    Later(Instant),
    /// The host has requested the lease.
    Asked,
    /// The host holds the lease.
    Held {
        fence: u64,
        /// When it gives the lease up, if the component is assigned to another host.
        moves_at: Option<Instant>,
    },
}

impl LeaseState {
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None | Self::Later(_))
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Asked | Self::Later(_))
    }

    /// Returns when the host requests the lease again, or gives it up, if that is still to come.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let due = match self {
            Self::Later(again) => Some(*again),
            Self::Held { moves_at, .. } => *moves_at,
            Self::None | Self::Asked => None,
        };
        due.filter(|due| *due > now)
    }

    pub(super) fn give_back(&mut self, component: &ComponentId, effects: &mut Effects) {
        if let Self::Held { .. } = self {
            effects.act(Action::ReleaseLease(component.clone()));
            *self = Self::None;
        }
    }
}

impl ComponentReconciler {
    pub(super) fn lease_held(&mut self, fence: u64) {
        self.lease = LeaseState::Held {
            fence,
            moves_at: None,
        };
    }

    pub(super) fn lease_lost(&mut self, jitter: f64, now: Instant, effects: &mut Effects) {
        self.lease = LeaseState::Later(now + RETRY.with_equal_jitter(1, jitter));
        for replica in &mut self.replicas {
            replica.stop(effects);
        }
    }

    /// Returns whether this host keeps a component that is assigned to another one, until that one
    /// can take the lease.
    fn keeps(&mut self, context: StepContext) -> bool {
        let serves_for_others = self.wanted.is_some() && self.need() == 0 && self.serving() > 0;
        let LeaseState::Held { moves_at, .. } = &mut self.lease else {
            return false;
        };
        if !serves_for_others || context.leaving {
            *moves_at = None;
            return false;
        }
        context.now < *moves_at.get_or_insert(context.now + KEEP)
    }

    pub(super) fn step_once(&mut self, context: StepContext, effects: &mut Effects) {
        let stays = self.keeps(context) || self.need() > 0;
        let generation = self.generation().filter(|_| stays && !context.leave);
        let held = matches!(self.lease, LeaseState::Held { .. });
        let other = |replica: &&mut Replica| !held || Some(replica.generation) != generation;
        let others = self.replicas.iter_mut().filter(other);
        others.for_each(|replica| replica.drain(effects));
        let Some(generation) = generation else {
            if self.replicas.is_empty() {
                self.lease.give_back(&self.id, effects);
            }
            return;
        };
        match self.lease {
            LeaseState::Asked => {}
            LeaseState::Held { fence, .. } => {
                let free = self.replicas.is_empty() && self.failures.again(context.now).is_none();
                if free && !self.reject(effects, context.now) {
                    self.start(generation, Some(fence), context.now, effects);
                }
            }
            LeaseState::None | LeaseState::Later(_) => {
                if !context.quiet && self.lease.due(context.now).is_none() {
                    self.lease = LeaseState::Asked;
                    effects.act(Action::AcquireLease(self.id.clone()));
                }
            }
        }
    }
}
