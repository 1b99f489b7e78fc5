//! What runs once: never without its lease, and never beside another.

use super::{
    Action, Desk, Moment,
    part::{Part, Replica},
};
use crate::name::ComponentId;
use std::time::Duration;
use tokio::time::Instant;

/// How long after the lease was refused or lost it is asked for again, at most.
const RETRY: Duration = Duration::from_secs(1);

/// Where a host is with the lease of a component.
#[derive(Debug, Default)]
pub(super) enum Lease {
    /// It has none and asks for none.
    #[default]
    None,
    /// It was refused, and asks again then.
    Later(Instant),
    /// It has asked.
    Asked,
    /// It has it.
    Held { fence: u64 },
}

impl Lease {
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None | Self::Later(_))
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Asked | Self::Later(_))
    }

    pub(super) fn again(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Later(again) if *again > now => Some(*again),
            _ => None,
        }
    }

    pub(super) fn give_back(&mut self, component: &ComponentId, desk: &mut Desk) {
        if let Self::Held { .. } = self {
            desk.act(Action::ReleaseLease(component.clone()));
            *self = Self::None;
        }
    }
}

impl Part {
    pub(super) fn lease_held(&mut self, fence: u64) {
        self.lease = Lease::Held { fence };
    }

    pub(super) fn lease_lost(&mut self, jitter: f64, now: Instant, desk: &mut Desk) {
        self.lease = Lease::Later(now + RETRY.mul_f64(0.5 + jitter / 2.0));
        for replica in &mut self.replicas {
            replica.stop(desk);
        }
    }

    pub(super) fn step_once(&mut self, moment: Moment, desk: &mut Desk) {
        let generation = self
            .generation()
            .filter(|_| self.need() > 0 && !moment.leave);
        let held = matches!(self.lease, Lease::Held { .. });
        let other = |replica: &&mut Replica| !held || Some(replica.generation) != generation;
        let others = self.replicas.iter_mut().filter(other);
        others.for_each(|replica| replica.drain(desk));
        let Some(generation) = generation else {
            if self.replicas.is_empty() {
                self.lease.give_back(&self.id, desk);
            }
            return;
        };
        match self.lease {
            Lease::Asked => {}
            Lease::Held { fence } => {
                let free = self.replicas.is_empty() && self.failures.again(moment.now).is_none();
                if free && !self.reject(desk, moment.now) {
                    self.start(generation, Some(fence), moment.now, desk);
                }
            }
            Lease::None | Lease::Later(_) => {
                if !moment.quiet && self.lease.again(moment.now).is_none() {
                    self.lease = Lease::Asked;
                    desk.act(Action::AcquireLease(self.id.clone()));
                }
            }
        }
    }
}
