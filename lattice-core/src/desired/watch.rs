//! Following desired state.

use super::Desired;
use crate::replica::{Replica, ReplicaHealth, ReplicaState};
use futures_util::{Stream, stream};
use std::sync::Arc;
use tokio::sync::watch;

/// The desired state each time that it is another, from [`Lattice::follow_desired`](crate::Lattice::follow_desired). Nothing
/// piles up for a slow reader: it gets the latest.
#[derive(Debug)]
pub struct DesiredWatch {
    states: watch::Receiver<Arc<Desired>>,
    health: watch::Receiver<ReplicaHealth>,
    is_first: bool,
    _replica: Replica,
}

impl DesiredWatch {
    pub(crate) fn new(
        replica: Replica,
        states: watch::Receiver<Arc<Desired>>,
        health: watch::Receiver<ReplicaHealth>,
    ) -> Self {
        Self {
            states,
            health,
            is_first: true,
            _replica: replica,
        }
    }

    /// What should be: at once the first time, afterwards when it has changed. `None` when the store was closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Desired>> {
        if !self.is_first {
            let closed = |health: &ReplicaHealth| health.state == ReplicaState::Closed;
            tokio::select! {
                biased;
                changed = self.states.changed() => changed.ok()?,
                _ = self.health.wait_for(closed) => return None,
            }
        }
        self.is_first = false;
        Some(self.states.borrow_and_update().clone())
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Arc<Desired>> + Send {
        stream::unfold(self, async |mut watch| {
            watch.next().await.map(|desired| (desired, watch))
        })
    }
}
