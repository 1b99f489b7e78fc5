//! What the sessions with all peers know of the way that their chunks have in common.
//!
//! All frames of a node leave through one connection to the bus, in order. On a slow one, a chunk
//! for one peer may wait for a long time behind those for others. To send it again would only make
//! the queue longer. So what one peer acknowledges tells the sessions with the others how far that
//! queue has come.

use super::round_trip::RoundTrip;
use crate::sync::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is known of the queue of one node. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uplink(Arc<Mutex<Progress>>);

/// How far the queue has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// When any peer last acknowledged anything new.
    heard: Option<Instant>,
    /// When the newest part was queued that any peer has acknowledged. One that was sent again
    /// doesn't count, because the peer may have got the earlier one.
    newest: Option<Instant>,
    /// Of all peers.
    pub(super) round_trip: RoundTrip,
}

impl Uplink {
    /// A peer acknowledges a part that was queued at `queued`. With `is_sample`, it was sent once.
    pub(super) fn acknowledged(&self, queued: Instant, is_sample: bool, now: Instant) {
        let mut progress = self.0.lock();
        progress.heard = progress.heard.max(Some(now));
        if is_sample {
            progress.newest = progress.newest.max(Some(queued));
            let time = now.saturating_duration_since(queued);
            progress.round_trip.sample(time);
        }
    }

    pub(super) fn progress(&self) -> Progress {
        *self.0.lock()
    }
}

impl Progress {
    /// Whether something was acknowledged that had been queued after a part left for the bus. Then
    /// that part doesn't wait in this node any more.
    pub(super) fn is_past(&self, left: Instant) -> bool {
        self.newest.is_some_and(|newest| newest > left)
    }

    /// When any peer last acknowledged anything new.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Whether that was less than `time` ago.
    pub(super) fn is_moving(&self, now: Instant, time: Duration) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.heard.is_some_and(|at| since(at) < time)
    }
}
