//! How a host's signs of life are judged: shared by routing (`membership`), placement
//! (`place::members`) and views.

use std::time::Duration;
use tokio::time::Instant;

/// Intervals of silence after which a host is taken for dead.
pub const MISSED: u32 = 3;
/// A host may not claim to send more often than this, or [`MISSED`] intervals would be noise.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Nor so seldom that its death is never noticed.
pub const MAX_INTERVAL: Duration = Duration::from_mins(1);

/// An older boot of a host that goes on sending although a later one is there: when that lasts, two
/// hosts have one id.
#[derive(Debug, Clone, Copy)]
pub struct RivalBoot {
    /// Its epoch.
    pub epoch: u64,
    /// Signs of life that were counted.
    pub signs: u32,
    /// When the last one came, or when it began to be watched.
    pub last: Instant,
}

impl RivalBoot {
    /// Watches for signs of life of this epoch.
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

    /// Returns whether nothing came for longer than `silence`.
    pub fn is_silent(&self, silence: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > silence
    }
}
