//! Gives calls their CPU time anew, for what moves in their bodies and streams.

#[cfg(feature = "http")]
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;
use tokio::time::Instant;

/// A guest that has passed on this much has its CPU time anew. Copying it takes a small part of the
/// time that it has by default.
pub(super) const PER_BUDGET: u64 = 64 << 20;
/// A guest that goes on for this long has its CPU time anew, so that one that sends something now
/// and then can go on for as long as it likes.
pub(super) const RENEWED_EVERY: Duration = Duration::from_mins(1);

/// Gives a call all of its CPU time anew, from outside of its store. Cheap to clone.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Default)]
pub(super) struct Renewal(Arc<AtomicBool>);

#[cfg(feature = "http")]
impl Renewal {
    pub(super) fn renew(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the CPU time was renewed since this was called last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// What had moved in the streams of an instance when the CPU time of its calls was renewed last.
#[derive(Debug)]
pub(super) struct Renewed {
    moved: u64,
    at: Instant,
}

impl Default for Renewed {
    fn default() -> Self {
        Self {
            moved: 0,
            at: Instant::now(),
        }
    }
}

impl Renewed {
    /// Returns whether the CPU time is to be renewed, when so much has moved in all.
    pub(super) fn renews(&mut self, moved: u64) -> bool {
        let more = moved.wrapping_sub(self.moved);
        if more < PER_BUDGET && (more == 0 || self.at.elapsed() < RENEWED_EVERY) {
            return false;
        }
        *self = Self {
            moved,
            at: Instant::now(),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "http")]
    #[test]
    fn a_renewal_counts_once() {
        let renewal = Renewal::default();
        assert!(!renewal.take());
        let other = renewal.clone();
        other.renew();
        other.renew();
        assert!(renewal.take());
        assert!(!renewal.take());
    }

    #[tokio::test(start_paused = true)]
    async fn cpu_time_is_renewed_by_what_moves_and_not_by_time_alone() {
        let mut renewed = Renewed::default();
        assert!(!renewed.renews(0) && !renewed.renews(PER_BUDGET - 1));
        assert!(renewed.renews(PER_BUDGET));
        assert!(!renewed.renews(2 * PER_BUDGET - 1), "since the last time");
        tokio::time::advance(RENEWED_EVERY).await;
        assert!(renewed.renews(2 * PER_BUDGET - 1), "a minute has passed");
        for _ in 0..3 {
            tokio::time::advance(RENEWED_EVERY).await;
            assert!(!renewed.renews(2 * PER_BUDGET - 1), "nothing has moved");
        }
        assert!(renewed.renews(2 * PER_BUDGET), "something has moved");
        assert!(!renewed.renews(2 * PER_BUDGET + 1));
    }
}
