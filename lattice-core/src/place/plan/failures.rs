//! What has failed is tried again, later each time.

use std::time::Duration;
use tokio::time::Instant;

/// After the first failure, at most; twice as long after each further one.
const FIRST: Duration = Duration::from_millis(250);
/// But never longer.
const LONGEST: Duration = Duration::from_mins(1);
/// Failures in a row that are a crash loop.
pub(super) const LOOP: u32 = 3;
/// A replica that served so long has not failed at its start: its failures are forgotten.
pub(super) const HEALTHY: Duration = Duration::from_mins(1);

/// Failures in a row of one generation.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    again: Option<Instant>,
}

impl Failures {
    /// One more. `jitter` is in [0, 1): hosts on which the same fails at the same time don't come back together.
    pub(super) fn add(&mut self, jitter: f64, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.wait(jitter, now);
    }

    pub(super) fn wait(&mut self, jitter: f64, now: Instant) {
        let doubled = FIRST * (1 << self.count.saturating_sub(1).min(16));
        self.again = Some(now + doubled.min(LONGEST).mul_f64(0.5 + jitter / 2.0));
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn is_loop(&self) -> bool {
        self.count >= LOOP
    }

    /// When the next try is, unless it is already.
    pub(super) fn again(&self, now: Instant) -> Option<Instant> {
        self.again.filter(|again| *again > now)
    }
}
