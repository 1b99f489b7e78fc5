//! Reading and following desired state.
//!
//! `desired` is a layer above [`Replica`] and [`Lattice`] that a program can be built without, so the
//! methods that return it are implemented here, on those types.

use super::{Desired, reader::DesiredReader};
use crate::{
    Lattice,
    replica::{RecordTable, Replica, ReplicaHealth, ReplicaState},
};
use futures_util::{Stream, stream};
use std::sync::Arc;
use tokio::sync::watch;

impl Lattice {
    /// Returns what should be, as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.replica().desired()
    }

    /// Returns what should be, now and whenever it changes.
    pub fn follow_desired(&self) -> DesiredWatch {
        self.replica().follow_desired()
    }
}

impl Replica {
    /// Returns what should be, as this process knows it.
    pub fn desired(&self) -> Arc<Desired> {
        self.extensions()
            .get_or_init(DesiredReader::default)
            .current(self)
    }

    /// Returns what should be, now and whenever it changes. A slow reader misses states in between,
    /// never the last one.
    pub fn follow_desired(&self) -> DesiredWatch {
        DesiredWatch {
            tables: self.follow_record_table(),
            health: self.follow_health(),
            returned: None,
            replica: self.clone(),
        }
    }
}

/// The desired state each time that it has changed, from
/// [`Lattice::follow_desired`](crate::Lattice::follow_desired). Nothing piles up for a slow reader: it
/// gets the latest.
#[derive(Debug)]
pub struct DesiredWatch {
    tables: watch::Receiver<Arc<RecordTable>>,
    health: watch::Receiver<ReplicaHealth>,
    returned: Option<Arc<Desired>>,
    replica: Replica,
}

impl DesiredWatch {
    /// Returns what should be: at once the first time, afterwards when it has changed. `None` when the
    /// store was closed.
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
            // What is returned may be newer than the change that was waited for, which is over then.
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

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Arc<Desired>> + Send {
        stream::unfold(self, async |mut watch| {
            watch.next().await.map(|desired| (desired, watch))
        })
    }
}
