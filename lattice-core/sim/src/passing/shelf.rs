//! The owner of the desks of one component.

use super::DESK;
use crate::{bug::InjectedBug, holdings::Holdings, store::Boot};
use lattice_core::{
    id::Origin,
    name::ComponentId,
    stream::{Holder, InstanceRef, Owned, Owner, ResourceRef, Stale, next_instance},
};
use std::sync::Arc;

/// Keeps its records where the simulation sees them.
pub(super) struct Shelf {
    at: InstanceRef,
    boot: Boot,
    holdings: Holdings,
    bug: Option<InjectedBug>,
}

impl Shelf {
    pub(super) fn new(
        (component, on): (&ComponentId, &Origin),
        boot: Boot,
        holdings: Holdings,
        bug: Option<InjectedBug>,
    ) -> Arc<Self> {
        Arc::new(Self {
            at: InstanceRef {
                origin: on.clone(),
                component: component.clone(),
                instance: next_instance(),
            },
            boot,
            holdings,
            bug,
        })
    }

    /// Opens a desk. Returns it with its number.
    pub(super) fn open(self: &Arc<Self>, holder: Holder) -> (Owned, u64) {
        let id = self.holdings.open(self.boot, holder);
        let desk = ResourceRef::new(self.clone(), id, DESK.into());
        (Owned::new(desk), id)
    }
}

impl Owner for Shelf {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        self.holdings.hand_over(id, from, to)
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        self.holdings.lend(id, from, to)
    }

    fn give_back(&self, id: u64, by: &Holder) {
        self.holdings.give_back(id, by);
    }

    fn dropped(&self, id: u64) {
        if self.bug != Some(InjectedBug::KeepsDropped) {
            self.holdings.dropped(id);
        }
    }
}
