//! Reads and watches desired state.
//!
//! `desired` is a layer above [`Replica`] and [`Lattice`] that a program can be built without, so
//! the methods that return it are implemented here, on those types.

use super::{Desired, reader::DesiredReader};
use crate::{
    Lattice, ordered_watch,
    replica::{RecordTable, Replica, ReplicaHealth, ReplicaState},
    watch::Watch,
};
use futures_util::stream;
use std::sync::Arc;
use tokio::sync::watch::Receiver;

impl Lattice {
    /// Returns the desired state as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.replica().desired()
    }

    /// Returns a watch of the desired state as this process knows it. It ends when the store has
    /// been closed.
    pub fn watch_desired(&self) -> Watch<Arc<Desired>> {
        self.replica().watch_desired()
    }
}

impl Replica {
    /// Returns the desired state as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.extensions()
            .get_or_init(DesiredReader::default)
            .current(self)
    }

    /// Returns a watch of the desired state as this process knows it. It ends when the store has
    /// been closed.
    pub fn watch_desired(&self) -> Watch<Arc<Desired>> {
        let states = DesiredStates {
            tables: self.follow_record_table(),
            health: self.follow_health(),
            returned: None,
            replica: self.clone(),
        };
        let states = stream::unfold(states, async |mut states| {
            states.next().await.map(|desired| (desired, states))
        });
        let replica = self.clone();
        Watch::new(move || replica.desired(), states)
    }
}

struct DesiredStates {
    tables: Receiver<Arc<RecordTable>>,
    health: ordered_watch::Receiver<ReplicaHealth>,
    returned: Option<Arc<Desired>>,
    replica: Replica,
}

impl DesiredStates {
    async fn next(&mut self) -> Option<Arc<Desired>> {
        loop {
            if self.returned.is_some() {
                let closed = |health: &ReplicaHealth| health.state == ReplicaState::Closed;
                tokio::select! {
                    biased;
                    changed = self.tables.changed() => changed.ok()?,
                    _ = self.health.wait_for(closed) => return None,
                }
            }
            self.tables.mark_unchanged();
            let desired = self.replica.desired();
            // The state may already include a change whose notification comes later. That one then
            // brings nothing new.
            if self
                .returned
                .as_ref()
                .is_none_or(|last| !Arc::ptr_eq(last, &desired))
            {
                self.returned = Some(desired.clone());
                return Some(desired);
            }
        }
    }
}
