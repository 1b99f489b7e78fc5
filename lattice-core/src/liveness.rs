//! Evaluates the heartbeats of hosts, for routing (`membership`), placement (`place::members`) and
//! views.

use std::time::Duration;
use tokio::time::Instant;

/// Intervals of silence after which a host is considered dead.
pub const MISSED_BEATS: u32 = 3;
/// Shortest interval that a host may announce. With a shorter one, [`MISSED_BEATS`] intervals would
/// be within the noise.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Longest interval that a host may announce. With a longer one, its death would go unnoticed for
/// too long.
pub const MAX_INTERVAL: Duration = Duration::from_mins(1);

/// An older boot of a host that keeps sending although a later one exists. When that lasts, two
/// hosts have the same id.
#[derive(Debug, Clone, Copy)]
pub struct RivalBoot {
    /// Its boot epoch.
    pub epoch: u64,
    /// Signs of life that were counted.
    pub signs: u32,
    /// When the last one came, or when the watch began.
    pub last: Instant,
}

impl RivalBoot {
    /// Starts to watch for signs of life of this epoch.
    pub fn new(epoch: u64, now: Instant) -> Self {
        Self {
            epoch,
            signs: 0,
            last: now,
        }
    }

    /// Counts a sign of life.
    pub fn count(&mut self, now: Instant) {
        self.signs = self.signs.saturating_add(1);
        self.last = now;
    }

    /// Returns whether none came for longer than `silence`.
    pub fn is_silent(&self, silence: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > silence
    }
}
