//! Limits how much one actor writes to the log.

use std::time::{Duration, Instant};

/// Messages that may arrive in a burst.
const BURST: u32 = 1_000;
/// Messages per second after that: a rate that is still readable, and cheap to write.
const PER_SECOND: u32 = 1_000;

/// A token bucket for messages.
#[derive(Debug)]
pub(super) struct LogLimit {
    left: u32,
    filled: Instant,
    dropped: u64,
}

/// What to do with one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Pass it on.
    Pass,
    /// Pass it on, and report the number of messages that were dropped before it.
    PassAfter(u64),
    /// Drop it.
    Drop,
}

impl LogLimit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
            dropped: 0,
        }
    }

    pub(super) fn admit(&mut self, now: Instant) -> Verdict {
        self.fill(now);
        if self.left == 0 {
            self.dropped += 1;
            return Verdict::Drop;
        }
        self.left -= 1;
        match std::mem::take(&mut self.dropped) {
            0 => Verdict::Pass,
            dropped => Verdict::PassAfter(dropped),
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled);
        let earned = since.as_millis().saturating_mul(PER_SECOND.into()) / 1_000;
        if earned == 0 {
            return;
        }
        self.left = self
            .left
            .saturating_add(u32::try_from(earned).unwrap_or(u32::MAX))
            .min(BURST);
        // Keeps the part of the time that is too short for a message.
        self.filled = if since > Duration::from_mins(1) {
            now
        } else {
            self.filled + time_for(earned)
        };
    }
}

fn time_for(messages: u128) -> Duration {
    Duration::from_millis(
        u64::try_from(messages * 1_000 / u128::from(PER_SECOND)).unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_over_the_limit_are_dropped_and_counted_until_time_has_passed() {
        let mut now = Instant::now();
        let mut limit = LogLimit::new(now);
        for _ in 0..BURST {
            assert_eq!(limit.admit(now), Verdict::Pass);
        }
        for _ in 0..5 {
            assert_eq!(limit.admit(now), Verdict::Drop);
        }
        now += Duration::from_millis(2);
        assert_eq!(limit.admit(now), Verdict::PassAfter(5));
        assert_eq!(limit.admit(now), Verdict::Pass);
        assert_eq!(limit.admit(now), Verdict::Drop);
        now += Duration::from_secs(1_000);
        for _ in 0..BURST {
            assert_ne!(limit.admit(now), Verdict::Drop);
        }
        assert_eq!(limit.admit(now), Verdict::Drop);
    }
}
