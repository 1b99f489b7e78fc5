//! Closes connections to and from hosts that are not used.

use super::Transport;
use std::{sync::Arc, time::Duration};

/// How long a connection may stay unused.
const UNUSED: Duration = Duration::from_mins(1);

/// Cleans up for as long as the node lives.
pub(crate) async fn run(transport: Arc<Transport>) {
    loop {
        tokio::time::sleep(UNUSED).await;
        transport.replies.close_unused();
        transport.peers.close_unused();
    }
}
