//! Reporting messages that a subscription dropped because it was full.

use std::time::Duration;
use tokio::time::Instant;

/// How long nothing more is reported after a report.
const QUIET: Duration = Duration::from_secs(10);

/// What was reported of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    reported: u64,
    at: Option<Instant>,
}

impl Overflow {
    /// Logs that messages were dropped, once for each burst. `dropped` is how many in total.
    pub(crate) fn report(&mut self, dropped: u64, of: &str) {
        if let Some(messages) = self.new(dropped, Instant::now) {
            tracing::warn!(
                messages,
                "{of} were dropped because more arrived than this process holds; it is overloaded or flooded: send less to it, or raise `message_memory` of its connection"
            );
        }
    }

    /// Returns how many to report now.
    fn new(&mut self, dropped: u64, now: impl FnOnce() -> Instant) -> Option<u64> {
        if dropped == self.reported {
            return None;
        }
        let now = now();
        if self
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < QUIET)
        {
            return None;
        }
        self.at = Some(now);
        let new = dropped.saturating_sub(self.reported);
        self.reported = dropped;
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_reported_once() {
        let (mut overflow, start) = (Overflow::default(), Instant::now());
        let mut at = |dropped, after| overflow.new(dropped, || start + after);
        assert_eq!(at(0, Duration::ZERO), None);
        assert_eq!(at(3, Duration::ZERO), Some(3));
        assert_eq!(at(3, QUIET), None);
        assert_eq!(at(9, QUIET / 2), None);
        assert_eq!(at(9, QUIET), Some(6));
    }
}
