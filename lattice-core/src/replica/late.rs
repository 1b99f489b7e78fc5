//! A store that is away when the process starts.

use crate::store::{StoreError, Watch, record::Records};
use std::time::Duration;

/// Pauses between attempts to watch a store that was never reached. They double from the first to
/// the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Watches a store that is away, once it can be reached; returns `None` when it was closed.
pub(super) async fn watch_at_last(records: &Records) -> Option<Watch> {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match records.store().watch().await {
            Ok(watch) => return Some(watch),
            Err(StoreError::Closed) => return None,
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
