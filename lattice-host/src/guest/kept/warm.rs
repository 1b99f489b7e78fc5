//! Kept instances of an actor whose instances are warm. They wait for other calls when nothing uses
//! them.

use super::{
    CallingInstance,
    driven::Driven,
    home::{Home, Use},
};
use crate::guest::{HostedActor, settings::Instances};
use lattice_core::sync::ByThread;
use std::{
    mem,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What the kept instances of one actor have in common, if they are warm.
pub(super) struct Warm {
    actor: Arc<HostedActor>,
    most: NonZeroUsize,
    /// How long an unused one is kept.
    pub(super) idle: Duration,
    /// How many instances there are.
    open: AtomicUsize,
    /// Instances that nothing used when a call in them had ended, each where the thread of that
    /// call looks first. Most of them are still unused.
    rested: ByThread<Vec<(Arc<Driven>, Arc<Home>)>>,
}

impl Warm {
    /// `None` if the actor's instances aren't warm.
    pub(super) fn of(actor: &Arc<HostedActor>) -> Option<Arc<Self>> {
        let Instances::Warm { most, idle } = actor.context.settings.instances else {
            return None;
        };
        Some(Arc::new(Self {
            actor: actor.clone(),
            most,
            idle: idle.max(Instances::SHORTEST_IDLE),
            open: AtomicUsize::new(0),
            rested: ByThread::default(),
        }))
    }

    /// Forgets the instances that have rested. Each of them refers to this.
    pub(super) fn forget(&self) {
        for part in self.rested.parts() {
            let rested = mem::take(&mut *part.lock());
            drop(rested);
        }
    }

    /// Records how many instances there are.
    pub(super) fn are_open(&self, count: usize) {
        self.open.store(count, Ordering::Relaxed);
    }

    /// Whether an unused instance may wait for another call.
    pub(super) fn has_room(&self) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        open <= self.most.get() && !self.actor.tenant.is_pressed()
    }

    /// Begins a call in an instance that nothing uses, if one is known.
    pub(super) fn enter(&self, caller: Option<&CallingInstance>) -> Option<(Arc<Driven>, Use)> {
        loop {
            let (driven, home) = self.rested.pop()?;
            if let Some(used) = home.enter_unused(caller) {
                return Some((driven, used));
            }
        }
    }

    /// Ends a call in an instance.
    pub(super) fn has_ended(&self, driven: Arc<Driven>, used: Use) {
        let home = used.home().clone();
        drop(used);
        if home.is_in_use() {
            return;
        }
        let mut rested = self.rested.own().lock();
        // Some may be known several times, because another thread has used them meanwhile.
        if rested.len() < self.most.get() {
            rested.push((driven, home));
        }
    }
}
