//! Changes of the link table.

use super::{Replica, ReplicaHealth, ReplicaState};
use crate::{
    link::{LinkChange, LinkTable},
    ordered_watch,
};
use std::{collections::VecDeque, sync::Arc};

/// Link changes, from [`Replica::changes`]. It compares the table of its last change
/// with the present one, so a slow reader misses what came and went in between, and no queue is
/// needed.
#[derive(Debug)]
pub(crate) struct LinkChanges {
    replica: Replica,
    health: ordered_watch::Receiver<ReplicaHealth>,
    reported: Arc<LinkTable>,
    pending: VecDeque<LinkChange>,
}

impl LinkChanges {
    pub(super) fn new(replica: Replica) -> Self {
        Self {
            health: replica.shared.health.subscribe(),
            replica,
            reported: Arc::default(),
            pending: VecDeque::new(),
        }
    }

    /// Waits for the next change. Returns `None` when the store was closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<LinkChange> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Some(change);
            }
            let closed = self.health.borrow_and_update().state == ReplicaState::Closed;
            // Read after the mark: anything published from here on wakes the wait below.
            let now = self.replica.snapshot();
            if !Arc::ptr_eq(&self.reported, &now) {
                self.pending.extend(self.reported.diff(&now));
                self.reported = now;
            } else if closed || self.health.changed().await.is_err() {
                return None;
            }
        }
    }
}
