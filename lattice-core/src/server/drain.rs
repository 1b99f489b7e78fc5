//! A node's leave: nothing that was sent to it is lost.
//!
//! ```text
//! goodbye ──► calls that run end ──► nothing is taken any more ──► stragglers are answered ──► gone
//! ```
//! Who has heard the goodbye sends no more calls. What was sent before, and is still under way, is answered that it did not run,
//! so that its caller goes elsewhere. When nothing has come for a while, nothing more will.

use crate::node::Inner;
use crate::node::Node;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// When nothing has come for that long, whoever calls has heard the goodbye.
const QUIET: Duration = Duration::from_millis(100);
/// Callers that go on for longer have not heard it, and never will.
const STRAGGLERS: Duration = Duration::from_secs(2);
/// How long the last replies may take to be sent.
const FLUSH: Duration = Duration::from_secs(1);

impl Node {
    /// Says goodbye, takes no new work, and finishes what it has, for at most `grace`. False when some calls were still
    /// running then. What comes afterwards is answered for a moment more, that it was not run.
    pub async fn leave(&self, grace: Duration) -> bool {
        let inner = self.inner();
        inner.leaving.store(true, Ordering::Release);
        inner.say_goodbye(grace).await;
        let served: Vec<_> = inner.served.load().values().cloned().collect();
        for served in &served {
            served.finish_up();
        }
        let all_idle = async {
            // A call that ends may have been what another component's call waited for: look again.
            while served.iter().any(|served| served.in_flight() > 0) {
                futures_util::future::join_all(served.iter().map(|served| served.idle())).await;
            }
        };
        let done = timeout(grace, all_idle).await.is_ok();
        for served in &served {
            served.stop();
        }
        inner.answer_stragglers().await;
        // What was answered last may still be in an outbox.
        inner.flush_replies(FLUSH).await;
        done
    }
}

impl Inner {
    /// Waits until no more calls come.
    async fn answer_stragglers(&self) {
        let deadline = Instant::now() + STRAGGLERS;
        while Instant::now() < deadline {
            let before = self.taken.load(Ordering::Relaxed);
            sleep(QUIET).await;
            if self.taken.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}
