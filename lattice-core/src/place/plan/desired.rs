//! The desired state that a host has accepted.

use super::Generation;
use crate::{
    desired::Placement,
    name::ComponentId,
    place::Workload,
    store::{Incarnation, Revision},
};
use std::{collections::BTreeMap, sync::Arc};

/// Something that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which one: not a rejected one, but the one before it.
    pub generation: Generation,
    /// What ran before and is gone back to when this one is rejected.
    pub fallback: Option<Generation>,
    /// How many, and where.
    pub placement: Placement,
    /// Whether there may be several at a time.
    pub run: Run,
}

/// Whether there may be several of a component at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// As many as its placement asks for.
    Replicas,
    /// One in the whole lattice, under a lease. Its placement says one.
    Once,
}

/// All that should run, as a store has it.
///
/// When the store is another one than before, or its desired state is older, a host believes neither that nothing nor that
/// something old is desired. It goes on with what it had until the desired state of *that* store is written again, or the one
/// that it had is back.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which life of the store.
    pub incarnation: Incarnation,
    /// The latest write of desired state in it.
    pub revision: Revision,
    /// The components that should run.
    pub wanted: Arc<BTreeMap<ComponentId, Arc<Wanted>>>,
}

impl Wanted {
    pub(super) fn workload<'a>(&'a self, id: &'a ComponentId) -> Workload<'a> {
        Workload {
            id,
            placement: &self.placement,
        }
    }
}

/// What was accepted, and what is not believed yet.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    current: Option<Snapshot>,
    /// What the store had when it was first seen to be another or older.
    doubted: Option<(Incarnation, Revision)>,
    nothing: Arc<BTreeMap<ComponentId, Arc<Wanted>>>,
}

impl Accepted {
    /// Accepts a snapshot, or doubts it and returns `false`.
    pub(super) fn offer(&mut self, snapshot: Snapshot) -> bool {
        let seen = (snapshot.incarnation, snapshot.revision);
        let follows = self.current.as_ref().is_none_or(|current| {
            current.incarnation == snapshot.incarnation && current.revision <= snapshot.revision
        });
        let applied = self.doubted.is_some_and(|(incarnation, revision)| {
            incarnation == snapshot.incarnation && revision < snapshot.revision
        });
        if follows || applied {
            self.current = Some(snapshot);
            self.doubted = None;
            return true;
        }
        if self
            .doubted
            .is_none_or(|(incarnation, revision)| incarnation != seen.0 || revision > seen.1)
        {
            self.doubted = Some(seen);
        }
        false
    }

    pub(super) fn wanted(&self) -> &Arc<BTreeMap<ComponentId, Arc<Wanted>>> {
        self.current
            .as_ref()
            .map_or(&self.nothing, |current| &current.wanted)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.doubted.is_some()
    }
}
