//! How many calls may be retried: a share of recent calls, so that retries never multiply an
//! overload.

use std::time::Duration;
use tokio::time::Instant;

/// Retries per call made.
const SHARE: f64 = 0.2;
/// Retries per second in addition, so that rare calls can be retried too.
const TRICKLE: f64 = 10.0;
/// The most retries that are saved up. When a host dies with this many calls in flight, each of
/// them can be tried elsewhere.
const SAVED: f64 = 1_024.0;
/// Retries at the start.
const FIRST: f64 = 256.0;

/// A bucket that calls fill and retries empty.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget(Option<Filled>);

#[derive(Debug)]
struct Filled {
    retries: f64,
    calls: u64,
    at: Instant,
}

impl RetryBudget {
    /// Takes a retry, if there is one left after `calls` calls so far.
    pub(crate) fn take(&mut self, calls: u64, now: Instant) -> bool {
        let filled = self.0.get_or_insert(Filled {
            retries: FIRST,
            calls,
            at: now,
        });
        let made = calls.saturating_sub(filled.calls) as f64;
        let passed: Duration = now.saturating_duration_since(filled.at);
        let earned = made * SHARE + passed.as_secs_f64() * TRICKLE;
        *filled = Filled {
            retries: (filled.retries + earned).min(SAVED),
            calls,
            at: now,
        };
        let left = filled.retries - 1.0;
        if left >= 0.0 {
            filled.retries = left;
        }
        left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn when_every_call_fails_one_in_five_is_retried() {
        let (mut budget, now) = (RetryBudget::default(), Instant::now());
        let retries = (0..100_000_u64)
            .filter(|calls| budget.take(*calls, now))
            .count();
        assert!((20_000..20_000 + 300).contains(&retries), "{retries}");
    }

    #[test]
    fn a_caller_with_few_calls_can_retry() {
        let (mut budget, start) = (RetryBudget::default(), Instant::now());
        while budget.take(0, start) {}
        assert!(!budget.take(0, start + Duration::from_millis(50)));
        assert!(budget.take(0, start + Duration::from_millis(150)));
    }

    proptest! {
        #[test]
        fn retries_never_exceed_the_earned_budget(
            steps in proptest::collection::vec((0..50_u64, 0..200_u64), 1..300),
        ) {
            let start = Instant::now();
            let (mut budget, mut calls, mut now, mut taken) = (RetryBudget::default(), 0, start, 0.0);
            for (made, ms) in steps {
                calls += made;
                now += Duration::from_millis(ms);
                if budget.take(calls, now) {
                    taken += 1.0;
                }
            }
            let most = FIRST + calls as f64 * SHARE + (now - start).as_secs_f64() * TRICKLE;
            prop_assert!(taken <= most + 1e-6, "{taken} of {most}");
        }
    }
}
