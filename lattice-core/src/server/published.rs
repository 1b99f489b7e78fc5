//! Keeps the types of what this node serves published, also when the store loses them.

use crate::node::Inner;
use crate::{replica::ReplicaHealth, store::Incarnation, types::PublishError};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// After an attempt that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Which of the store's lives is meant, as the replica counts them. Going back to an earlier state begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    incarnation: Incarnation,
    rewound: u64,
}

impl Life {
    /// None while the store is not followed.
    pub(crate) fn of(health: &ReplicaHealth) -> Option<Self> {
        health.state.is_live().then_some(Self {
            incarnation: health.incarnation,
            rewound: health.rewound,
        })
    }
}

/// Publishes everything once more in each new life of the store. In the one that there is, whatever comes into service
/// publishes itself.
pub(crate) async fn keep_published(node: Arc<Inner>) {
    let mut health = node.connection.replica.follow_health();
    let mut done = Life::of(&health.borrow_and_update());
    loop {
        let now = Life::of(&health.borrow_and_update());
        if now.is_some() && now != done {
            if !publish_all(&node).await {
                sleep(AGAIN).await;
                continue;
            }
            done = now;
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// False when the store went away meanwhile. What it refuses stays unpublished, as when the component was started.
async fn publish_all(node: &Inner) -> bool {
    let all = node.served.load_full();
    for (component, served) in &*all {
        let published = node.connection.types.publish(component, &served.types);
        if let Err(error) = published.await {
            tracing::warn!(%component, %error, "its types are not in the store, which lost them");
            if matches!(error, PublishError::Store { .. }) {
                return false;
            }
        }
    }
    true
}
