//! A window on the bytes of bulk calls that are not answered yet, so that small calls beside them stay quick.
//!
//! It only closes while small calls pass, to whomever: alone, bulk may fill the connection. What waits for it waits in its own
//! caller, by that caller's deadline, and in the order in which it came.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout},
};

/// Most unanswered bytes beside small calls. What measured best of 64 to 256 KiB: less starves bulk, more makes small calls
/// wait.
const WINDOW: usize = 128 * 1024;
/// Small calls pass as long as the last one is not longer ago than this.
const ACTIVE: Duration = Duration::from_millis(10);

/// The window of one line.
#[derive(Debug)]
pub(crate) struct Window {
    unanswered: AtomicUsize,
    freed: Notify,
    /// Whoever is next.
    turn: Mutex<()>,
    small: SmallCalls,
    /// How many small calls there were when it was looked last, and when more were seen.
    seen: std::sync::Mutex<(usize, Option<Instant>)>,
}

/// Counts the small calls of one node, for all of its windows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SmallCalls(Arc<AtomicUsize>);

impl SmallCalls {
    /// One is on its way.
    pub(crate) fn pass(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call's bytes in the window, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'w> {
    window: &'w Window,
    size: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.window
            .unanswered
            .fetch_sub(self.size, Ordering::Relaxed);
        self.window.freed.notify_one();
    }
}

impl Window {
    /// An open window that closes beside those small calls.
    pub(crate) fn new(small: SmallCalls) -> Self {
        Self {
            unanswered: AtomicUsize::new(0),
            freed: Notify::new(),
            turn: Mutex::new(()),
            small,
            seen: std::sync::Mutex::default(),
        }
    }

    /// Waits for room; a call that is larger than the window gets it alone.
    pub(crate) async fn enter(&self, size: usize) -> Share<'_> {
        let _turn = self.turn.lock().await;
        loop {
            let unanswered = self.unanswered.load(Ordering::Relaxed);
            let fits = unanswered == 0 || unanswered + size <= WINDOW;
            if fits || !self.small_active(Instant::now()) {
                self.unanswered.fetch_add(size, Ordering::Relaxed);
                return Share { window: self, size };
            }
            // Room comes with an answer, or when the small calls have passed.
            let _ = timeout(ACTIVE, self.freed.notified()).await;
        }
    }

    fn small_active(&self, now: Instant) -> bool {
        let small = self.small.0.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
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
    async fn bulk_alone_is_not_held_up() {
        let window = Window::new(SmallCalls::default());
        let mut shares = Vec::new();
        for _ in 0..32 {
            shares.push(window.enter(WINDOW).now_or_never().expect("open"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_small_calls_bulk_waits_for_answers_in_order() {
        let small = SmallCalls::default();
        let window = Window::new(small.clone());
        small.pass();
        let whole = window.enter(WINDOW * 2).now_or_never();
        assert!(whole.is_some(), "one call always fits");
        let mut first = Box::pin(window.enter(WINDOW / 2));
        let mut second = Box::pin(window.enter(WINDOW));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(whole);
        let first = (&mut first).now_or_never();
        assert!(first.is_some(), "it came first");
        small.pass();
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!((&mut second).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_opens_when_no_small_call_came_for_a_while() {
        let small = SmallCalls::default();
        let window = Window::new(small.clone());
        small.pass();
        let _whole = window.enter(WINDOW).await;
        let begun = Instant::now();
        let _next = window.enter(WINDOW).await;
        let waited = begun.elapsed();
        assert!(waited >= ACTIVE && waited < ACTIVE * 3, "{waited:?}");
    }
}
