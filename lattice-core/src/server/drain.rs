//! The orderly end of a node's components: nothing that was sent to them is lost.
//!
//! ```text
//! goodbye ──► running calls and streams end ──► no call is taken any more ──► late calls are refused ──► services stop ──► gone
//! ```
//! Hosts that have received the goodbye send no more calls. A call that was sent before and is
//! still on its way is refused as not run, so that its caller tries another host. When no call has
//! come for a while, none will.

use super::{Server, component::RunningComponent};
use crate::drained::{CutOff, Drained};
use futures_util::future::join_all;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// If no call has come for this long, every caller has received the goodbye.
const QUIET: Duration = Duration::from_millis(100);
/// Callers that still send calls after this time have missed the goodbye.
const STRAGGLERS: Duration = Duration::from_secs(2);
/// How long the last replies may take to be sent.
const FLUSH: Duration = Duration::from_secs(1);

impl Server {
    /// Lets running calls finish, and open streams, for at most `grace`. Then breaks off the
    /// streams that are still open, takes no more calls, and refuses late ones for a moment. Then
    /// cuts off what still runs, and stops the services.
    pub(crate) async fn drain(&self, grace: Duration) -> Drained {
        let components: Vec<_> = self.registry.load().values().cloned().collect();
        for component in &components {
            component.finish_up();
        }
        let all_idle = async {
            // A call that ends may have been what another component's call waited for: look again.
            let streams = &self.transport.streams;
            loop {
                join_all(components.iter().map(|one| one.idle())).await;
                streams.idle().await;
                join_all(components.iter().map(|one| one.streams_ended())).await;
                if components.iter().all(|one| one.in_flight() == 0) && streams.open() == 0 {
                    break;
                }
            }
        };
        let drained = if timeout(grace, all_idle).await.is_ok() {
            Drained::Clean
        } else {
            let cut_off = self.unfinished(&components);
            // Their other ends are told now, and not when the services have stopped.
            self.transport.streams.cancel();
            Drained::CutOff(cut_off)
        };
        for component in &components {
            component.stop();
        }
        self.refuse_stragglers().await;
        // The last replies may still be in a send queue.
        self.transport.flush_replies(FLUSH).await;
        futures_util::future::join_all(components.iter().map(|one| one.end_life())).await;
        drained
    }

    /// Returns what would be cut off now of these components. A provider's streams may be among
    /// those to other hosts, whose number is known.
    fn unfinished(&self, components: &[Arc<RunningComponent>]) -> CutOff {
        let all = components.iter().map(|component| component.unfinished());
        let mut sum = all.fold(CutOff::default(), CutOff::and);
        sum.streams = sum.streams.max(self.transport.streams.open());
        sum
    }

    /// Waits until no more calls come.
    async fn refuse_stragglers(&self) {
        let deadline = Instant::now() + STRAGGLERS;
        while Instant::now() < deadline {
            let before = self.frames.load(Ordering::Relaxed);
            sleep(QUIET).await;
            let is_handled = self.handled.load(Ordering::Relaxed) == before;
            if is_handled && self.frames.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}
