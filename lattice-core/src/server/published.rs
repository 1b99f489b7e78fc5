//! Keeps the types of this node's components published, even if the store loses them.

use super::Server;
use crate::{replica::ReplicaHealth, store::Incarnation, type_store::PublishError};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// The pause after a failed attempt.
const RETRY: Duration = Duration::from_secs(5);

/// One life of the store, as the replica counts them. A new one begins when the store goes back to
/// an earlier state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreEpoch {
    incarnation: Incarnation,
    rewound: u64,
}

impl StoreEpoch {
    /// `None` while the store is not followed.
    pub(super) fn of(health: &ReplicaHealth) -> Option<Self> {
        health.state.is_live().then_some(Self {
            incarnation: health.incarnation,
            rewound: health.rewound,
        })
    }
}

/// Publishes everything again in each new life of the store. In the current one, components publish
/// their types when they come into service.
pub(crate) async fn run(server: Arc<Server>) {
    let mut health = server.connection.replica.follow_health();
    let mut done = StoreEpoch::of(&health.borrow_and_update());
    loop {
        let now = StoreEpoch::of(&health.borrow_and_update());
        if now.is_some() && now != done {
            if !publish_all(&server).await {
                sleep(RETRY).await;
                continue;
            }
            done = now;
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Returns false if the store went away meanwhile. Types that it rejects stay unpublished, as when
/// a component starts.
async fn publish_all(server: &Server) -> bool {
    let all = server.registry.snapshot();
    let own = all
        .iter()
        .filter(|(_, component)| !component.life.is_elsewhere());
    for (id, component) in own {
        let published = server
            .connection
            .types
            .publish(id, &component.exports.types);
        if let Err(error) = published.await {
            tracing::warn!(component = %id, %error, "the store has lost a component's types, and they could not be published again");
            if matches!(error, PublishError::Store { .. }) {
                return false;
            }
        }
    }
    true
}
