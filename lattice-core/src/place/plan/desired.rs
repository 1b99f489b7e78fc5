//! The desired state that a host has accepted.

use super::Generation;
use crate::{
    desired::Placement,
    name::ComponentId,
    place::Workload,
    store::{Incarnation, Revision},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A component that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The generation that should run. If the latest one was rejected, this is the previous one.
    pub generation: Generation,
    /// The previous generation. If this one is rejected, hosts return to it.
    pub fallback: Option<Generation>,
    /// Whether the store has a record that this generation has served. Then it is never rejected.
    pub has_served: bool,
    /// How many replicas run, and where.
    pub placement: Placement,
    /// Whether several replicas may run at a time.
    pub run: Run,
}

/// Whether several replicas of a component may run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// As many replicas run as its placement declares.
    Replicas,
    /// One runs in the whole lattice, under a lease. Its placement declares one.
    Once,
}

/// Everything that should run, as the store has it.
///
/// When the store was replaced, or its desired state is older than before, a host accepts neither
/// an empty nor an outdated desired state. It keeps its accepted state until the desired state of
/// *that* store is written again, or until the accepted state is back in the store.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The incarnation of the store.
    pub incarnation: Incarnation,
    /// The revision of the latest write of desired state in it.
    pub revision: Revision,
    /// The components that should run.
    pub wanted: Arc<BTreeMap<ComponentId, Arc<Wanted>>>,
    /// The components whose desired version is unknown, because a configuration that they refer to
    /// can't be read. Their last accepted version stays.
    pub frozen: Arc<BTreeSet<ComponentId>>,
}

impl Wanted {
    pub(super) fn workload<'a>(&'a self, id: &'a ComponentId) -> Workload<'a> {
        Workload {
            id,
            placement: &self.placement,
            needs_lease: self.run == Run::Once,
        }
    }
}

/// The desired state that was accepted, and the one that is not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    current: Option<Snapshot>,
    /// The incarnation and revision of the store when it was first seen to be replaced or older.
    doubted: Option<(Incarnation, Revision)>,
    nothing: Arc<BTreeMap<ComponentId, Arc<Wanted>>>,
}

impl Accepted {
    /// Accepts a snapshot and returns `true`, or sets it aside and returns `false`.
    pub(super) fn offer(&mut self, mut snapshot: Snapshot) -> bool {
        let seen = (snapshot.incarnation, snapshot.revision);
        let follows = self.current.as_ref().is_none_or(|current| {
            current.incarnation == snapshot.incarnation && current.revision <= snapshot.revision
        });
        let applied = self.doubted.is_some_and(|(incarnation, revision)| {
            incarnation == snapshot.incarnation && revision < snapshot.revision
        });
        if follows || applied {
            self.keep_frozen(&mut snapshot);
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

    /// Keeps the last accepted version of components that are frozen now.
    fn keep_frozen(&self, snapshot: &mut Snapshot) {
        let Some(current) = &self.current else { return };
        for id in snapshot.frozen.iter() {
            if let Some(kept) = current.wanted.get(id) {
                Arc::make_mut(&mut snapshot.wanted).insert(id.clone(), kept.clone());
            }
        }
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
