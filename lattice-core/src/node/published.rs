//! Keeps the types of what this node serves published, also when the store loses them.

use super::Inner;
use crate::{replica::ReplicaHealth, store::Incarnation, types::PublishError};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// After an attempt that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Which of the store's lives is meant, as the replica counts them. Going back to an earlier state begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    incarnation: Incarnation,
    rewound: u64,
}

impl Life {
    /// None while the store is not followed.
    fn of(health: &ReplicaHealth) -> Option<Self> {
        health.state.is_live().then_some(Self {
            incarnation: health.incarnation,
            rewound: health.rewound,
        })
    }
}

/// Publishes everything once more in each new life of the store. In the one that there is, whatever comes into service
/// publishes itself.
pub(super) async fn keep_published(node: Arc<Inner>) {
    let mut health = node.connection.replica.follow_health();
    let mut done = Life::of(&health.borrow_and_update());
    loop {
        let now = Life::of(&health.borrow_and_update());
        if now.is_some() && now != done {
            if let Err(error) = publish_all(&node).await {
                tracing::warn!(%error, "the types of what is served here are not in the store");
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

async fn publish_all(node: &Inner) -> Result<(), PublishError> {
    let all = node.served.load_full();
    for (component, served) in &*all {
        node.connection
            .types
            .publish(component, &served.types)
            .await?;
    }
    Ok(())
}
