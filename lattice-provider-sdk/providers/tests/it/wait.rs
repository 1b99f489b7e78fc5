//! Waits for something, and fails with its name if that takes too long.

use std::time::Duration;

/// Much longer than any step takes, so that a test that hangs fails with the name of the step.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that happens soon.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: no end within {PATIENCE:?}"))
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
