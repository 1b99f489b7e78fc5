//! One stream of events.

use super::history::History;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// A comment of server-sent events. It shows proxies and both ends that the connection lives.
const KEEP_ALIVE: &[u8] = b":\n\n";
/// How soon a browser connects again, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";
/// The last event of a service that stops.
const BYE: &[u8] = b"event: bye\ndata: {\"why\":\"the page was stopped where it was started\"}\n\n";

/// What one page is sent: text of server-sent events, piece by piece. It does nothing while nobody
/// asks for the next piece.
#[derive(Debug)]
pub(crate) struct Reader {
    history: Arc<History>,
    latest: watch::Receiver<u64>,
    /// The number of the last batch that was sent.
    after: Option<u64>,
    keep_alive: Duration,
    stop: CancellationToken,
    is_first: bool,
    is_over: bool,
}

impl Reader {
    pub(super) fn new(
        history: Arc<History>,
        last: Option<&str>,
        keep_alive: Duration,
        stop: CancellationToken,
    ) -> Self {
        let after = last.and_then(|id| history.number(id));
        Self {
            latest: history.latest(),
            after,
            history,
            keep_alive,
            stop,
            is_first: true,
            is_over: false,
        }
    }

    /// Waits for the next piece. `None` after the last.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_first) {
            return Some(Bytes::from_static(RETRY.as_bytes()));
        }
        loop {
            if self.is_over {
                return None;
            }
            if self.stop.is_cancelled() {
                self.is_over = true;
                return Some(Bytes::from_static(BYE));
            }
            // Seen before the history is read: what is added meanwhile wakes this up again.
            self.latest.borrow_and_update();
            if let Some((number, piece)) = self.history.next(self.after) {
                self.after = Some(number);
                return Some(piece);
            }
            tokio::select! {
                _ = self.latest.changed() => {}
                () = self.stop.cancelled() => {}
                () = self.history.over().cancelled() => self.is_over = true,
                () = sleep(self.keep_alive) => return Some(Bytes::from_static(KEEP_ALIVE)),
            }
        }
    }
}
