//! Flow control of bulk calls and of sessions: a window on the bytes in flight, so that concurrent
//! small calls stay fast.
//!
//! The window only closes while this node makes small calls, to any peer: otherwise bulk calls may
//! fill the connection. A bulk call waits for room in its caller's own future, by that caller's
//! deadline, in the order of arrival.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout},
};

/// Most bytes in flight while there are small calls. It measured best of 64 to 256 KiB: less
/// starves bulk calls, more delays small ones.
const WINDOW: usize = 128 * 1024;
/// Most bytes of sessions that are in flight to a peer otherwise. More would only wait in the
/// queues before a slow link.
const OPEN: usize = 4 * 1024 * 1024;
/// How long after the last small call the window stays closed.
const ACTIVE: Duration = Duration::from_millis(10);

/// The window of one peer.
#[derive(Debug)]
pub(crate) struct FlowControl {
    unanswered: AtomicUsize,
    freed: Notify,
    /// Held by the call that is next.
    turn: Mutex<()>,
    small: SmallCallCount,
    /// The number of small calls when it was last read, and when it last grew.
    seen: crate::sync::Mutex<(usize, Option<Instant>)>,
}

/// Counts the small calls of one node, for the windows of all its peers. Cheap to clone; clones
/// share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct SmallCallCount(Arc<AtomicUsize>);

impl SmallCallCount {
    /// Counts a small call.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A bulk call's bytes in the window, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'w> {
    flow: &'w FlowControl,
    size: usize,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.flow.unanswered.fetch_sub(self.size, Ordering::Relaxed);
        self.flow.freed.notify_one();
    }
}

impl FlowControl {
    /// An open window that closes while those small calls are made.
    pub(crate) fn new(small: SmallCallCount) -> Self {
        Self {
            unanswered: AtomicUsize::new(0),
            freed: Notify::new(),
            turn: Mutex::new(()),
            small,
            seen: crate::sync::Mutex::default(),
        }
    }

    /// Waits for room for a call of `size` bytes. A call that is larger than the window gets it
    /// alone.
    pub(crate) async fn acquire(&self, size: usize) -> Permit<'_> {
        let _turn = self.turn.lock().await;
        loop {
            let unanswered = self.unanswered.load(Ordering::Relaxed);
            let fits = unanswered == 0 || unanswered + size <= WINDOW;
            if fits || !self.has_small_calls(Instant::now()) {
                self.unanswered.fetch_add(size, Ordering::Relaxed);
                return Permit { flow: self, size };
            }
            // There is room after a reply, or when small calls have stopped.
            let _ = timeout(ACTIVE, self.freed.notified()).await;
        }
    }

    /// Most bytes that sessions may have in flight now.
    pub(super) fn limit(&self, now: Instant) -> usize {
        if self.has_small_calls(now) {
            WINDOW
        } else {
            OPEN
        }
    }

    fn has_small_calls(&self, now: Instant) -> bool {
        let small = self.small.0.load(Ordering::Relaxed);
        let mut seen = self.seen.lock();
        if seen.0 != small {
            *seen = (small, Some(now));
        }
        seen.1
            .is_some_and(|at| now.saturating_duration_since(at) < ACTIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn bulk_frames_alone_are_not_delayed() {
        let flow = FlowControl::new(SmallCallCount::default());
        let mut permits = Vec::new();
        for _ in 0..32 {
            permits.push(flow.acquire(WINDOW).now_or_never().expect("open"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_small_calls_in_flight_bulk_frames_wait_for_acknowledgements_in_order() {
        let small = SmallCallCount::default();
        let flow = FlowControl::new(small.clone());
        small.count();
        let whole = flow.acquire(WINDOW * 2).now_or_never();
        assert!(whole.is_some(), "one call always fits");
        let mut first = Box::pin(flow.acquire(WINDOW / 2));
        let mut second = Box::pin(flow.acquire(WINDOW));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(whole);
        let first = (&mut first).now_or_never();
        assert!(first.is_some(), "it was first in the queue");
        small.count();
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!((&mut second).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_opens_after_some_time_without_small_calls() {
        let small = SmallCallCount::default();
        let flow = FlowControl::new(small.clone());
        small.count();
        let _whole = flow.acquire(WINDOW).await;
        let begun = Instant::now();
        let _next = flow.acquire(WINDOW).await;
        let waited = begun.elapsed();
        assert!(waited >= ACTIVE && waited < ACTIVE * 3, "{waited:?}");
    }
}
