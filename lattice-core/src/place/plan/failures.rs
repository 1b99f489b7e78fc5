//! Backoff: a failed start is retried, with growing pauses.

use crate::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pauses after failures in a row.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(250), Duration::from_mins(1));
/// How many failures in a row count as a crash loop.
pub(super) const LOOP: u32 = 3;
/// A replica that has served this long did not fail at its start, so earlier failures are
/// forgotten.
pub(super) const HEALTHY: Duration = Duration::from_mins(1);

/// Failures in a row of one generation.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Failures of the generation itself.
    count: u32,
    /// Starts that failed because the image was unavailable. They don't count against the
    /// generation.
    delays: u32,
    again: Option<Instant>,
}

impl Failures {
    /// Counts a failure. `jitter` is in [0, 1), so that hosts on which the same thing fails at the
    /// same time don't retry together.
    pub(super) fn add(&mut self, jitter: f64, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.wait(jitter, now);
    }

    /// Counts a start that failed because the image was unavailable.
    pub(super) fn delay(&mut self, jitter: f64, now: Instant) {
        self.delays = self.delays.saturating_add(1);
        self.wait(jitter, now);
    }

    pub(super) fn wait(&mut self, jitter: f64, now: Instant) {
        self.again = Some(now + PAUSES.with_equal_jitter(self.tries(), jitter));
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns how many starts failed, for whatever reason.
    pub(super) fn tries(&self) -> u32 {
        self.count.saturating_add(self.delays)
    }

    /// Returns whether the image has been unavailable for several starts in a row.
    pub(super) fn is_delayed(&self) -> bool {
        self.delays >= LOOP
    }

    pub(super) fn is_loop(&self) -> bool {
        self.count >= LOOP
    }

    /// Returns when the next try is due, or `None` if it is due already.
    pub(super) fn again(&self, now: Instant) -> Option<Instant> {
        self.again.filter(|again| *again > now)
    }
}
