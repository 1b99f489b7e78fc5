//! What is recent: the calls since one or two intervals ago.

use crate::{
    server::meter::{Tally, Times},
    wire::Latency,
};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// The shortest time after which counts are given as recent. Divided by less, a few calls look like
/// many per second.
const SHORTEST: Duration = Duration::from_secs(1);

/// The state of tallies one and two intervals ago. What is recent has come since the latter.
#[derive(Debug)]
pub(super) struct Periods {
    older: Instant,
    newer: Instant,
    /// By the address of the tally. It can't become another one's: the weak reference keeps it.
    of: HashMap<usize, Period>,
}

#[derive(Debug)]
struct Period {
    /// Weak, so that the tally of a stopped component or a deleted link isn't kept. One that takes
    /// its place begins at zero.
    of: Weak<Tally>,
    older: Mark,
    newer: Mark,
}

/// A tally at one moment.
#[derive(Debug)]
struct Mark {
    counts: (u64, u64),
    times: Times,
}

/// What a tally has counted recently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) calls: u64,
    /// How many calls ended in an error. They may have begun before.
    pub(super) errors: u64,
    pub(super) latency: Option<Latency>,
}

impl Periods {
    /// Those of a node that has begun at `start`, with tallies of zero.
    pub(super) fn since(start: Instant) -> Self {
        Self {
            older: start,
            newer: start,
            of: HashMap::new(),
        }
    }

    /// How long what is recent reaches back at `now`; `None` if that is too short to say something.
    pub(super) fn covered(&self, now: Instant) -> Option<Duration> {
        let covered = now.saturating_duration_since(self.older);
        (covered >= SHORTEST).then_some(covered)
    }

    /// Returns what a tally has counted recently.
    pub(super) fn recent(&mut self, tally: &Arc<Tally>) -> Recent {
        let period = self.of.entry(Arc::as_ptr(tally).addr()).or_insert_with(|| {
            // It is new: its first calls came after the last turn.
            Period {
                of: Arc::downgrade(tally),
                older: Mark::zero(),
                newer: Mark::zero(),
            }
        });
        let ((calls, errors), before) = (tally.counts(), period.older.counts);
        Recent {
            calls: calls - before.0,
            errors: errors - before.1,
            latency: tally.times().since(&period.older.times),
        }
    }

    /// When the present interval is over.
    pub(super) fn end(&self, interval: Duration) -> Instant {
        self.newer + interval
    }

    /// Handles the end of an interval, if it is over. Forgets the tallies that are gone.
    pub(super) fn turn(&mut self, now: Instant, interval: Duration) {
        if now < self.end(interval) {
            return;
        }
        self.older = std::mem::replace(&mut self.newer, now);
        self.of.retain(|_, period| {
            let Some(tally) = period.of.upgrade() else {
                return false;
            };
            period.older = std::mem::replace(&mut period.newer, Mark::of(&tally));
            true
        });
    }
}

impl Mark {
    fn zero() -> Self {
        Self {
            counts: (0, 0),
            times: Times::zero(),
        }
    }

    fn of(tally: &Tally) -> Self {
        Self {
            counts: tally.counts(),
            times: tally.times(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn calls(periods: &mut Periods, tally: &Arc<Tally>) -> (u64, u64) {
        let recent = periods.recent(tally);
        (recent.calls, recent.errors)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_recent_for_one_or_two_intervals() {
        let start = Instant::now();
        let (mut periods, tally) = (Periods::since(start), Arc::<Tally>::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(periods.covered(after(0)), None, "too short");
        tally.refused();
        assert_eq!(calls(&mut periods, &tally), (1, 1));
        assert_eq!(periods.covered(after(4)), Some(Duration::from_secs(4)));
        periods.turn(after(4), INTERVAL);
        tally.refused();
        assert_eq!(calls(&mut periods, &tally), (2, 2), "no interval is over");
        periods.turn(after(5), INTERVAL);
        tally.refused();
        assert_eq!(calls(&mut periods, &tally), (3, 3));
        assert_eq!(periods.covered(after(9)), Some(Duration::from_secs(9)));
        // The first two were before the interval that has ended now.
        periods.turn(after(10), INTERVAL);
        assert_eq!(calls(&mut periods, &tally), (1, 1));
        assert_eq!(periods.covered(after(10)), Some(INTERVAL));
        periods.turn(after(15), INTERVAL);
        assert_eq!(calls(&mut periods, &tally), (0, 0));
        assert_eq!(periods.recent(&tally).latency, None);
    }

    #[tokio::test(start_paused = true)]
    async fn tallies_that_are_gone_are_forgotten_and_new_ones_begin_at_zero() {
        let mut periods = Periods::since(Instant::now());
        for number in 1..=100 {
            let tally = Arc::<Tally>::default();
            tally.refused();
            assert_eq!(calls(&mut periods, &tally), (1, 1), "number {number}");
        }
        periods.turn(Instant::now() + INTERVAL, INTERVAL);
        assert!(periods.of.is_empty());
    }
}
