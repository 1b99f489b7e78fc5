//! Reads and follows desired state.
//!
//! `desired` is a layer above [`Replica`] and [`Lattice`] that a program can be built without, so
//! the methods that return it are implemented here, on those types.

use super::{Desired, reader::DesiredReader};
use crate::{
    Lattice,
    replica::{RecordTable, Replica, ReplicaHealth, ReplicaState},
};
use futures_util::{Stream, stream};
use std::sync::Arc;
use tokio::sync::watch;

impl Lattice {
    /// Returns the desired state as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.replica().desired()
    }

    /// Returns a watch of the desired state as this process knows it.
    pub fn follow_desired(&self) -> DesiredWatch {
        self.replica().follow_desired()
    }
}

impl Replica {
    /// Returns the desired state as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.extensions()
            .get_or_init(DesiredReader::default)
            .current(self)
    }

    /// Returns a watch of the desired state as this process knows it. A slow reader may miss states
    /// in between, but never the latest one.
    pub fn follow_desired(&self) -> DesiredWatch {
        DesiredWatch {
            tables: self.follow_record_table(),
            health: self.follow_health(),
            returned: None,
            replica: self.clone(),
        }
    }
}

/// Follows the desired state; returned by
/// [`Lattice::follow_desired`](crate::Lattice::follow_desired). States are not queued for a slow
/// reader: it gets the latest one.
#[derive(Debug)]
pub struct DesiredWatch {
    tables: watch::Receiver<Arc<RecordTable>>,
    health: watch::Receiver<ReplicaHealth>,
    returned: Option<Arc<Desired>>,
    replica: Replica,
}

impl DesiredWatch {
    /// Returns the desired state: at once the first time, and then whenever it has changed. Returns
    /// `None` when the store has been closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Desired>> {
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

    /// Returns the same states as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Arc<Desired>> + Send {
        stream::unfold(self, async |mut watch| {
            watch.next().await.map(|desired| (desired, watch))
        })
    }
}
