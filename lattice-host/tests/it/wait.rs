//! Waits for a condition.

use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The deadline of a wait. It suffices on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `holds` returns true, which `what` describes.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waited)
        .await
        .unwrap_or_else(|_| panic!("timed out waiting until {what}"));
}
