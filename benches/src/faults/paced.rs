//! Makes calls at a fixed rate, however long each takes.

use crate::faults::way::Way;
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How late the timer may be by itself. The time of a call starts when it was due, because a delay
/// of the caller delays its calls.
const TIMER: Duration = Duration::from_millis(2);

/// A stream of calls.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) per_second: u32,
    pub(crate) body: Bytes,
    pub(crate) deadline: Duration,
}

/// The outcomes of a stream of calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    /// A failed call counts with its full deadline.
    all: Vec<Duration>,
    pub(crate) failed: usize,
}

impl Pace {
    /// Makes calls for this long, then waits for the last reply.
    pub(crate) async fn run<W: Way>(&self, way: &Arc<W>, time: Duration) -> Latencies {
        let period = Duration::from_secs(1) / self.per_second;
        let mut ticks = tokio::time::interval(period);
        let start = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0.. {
            ticks.tick().await;
            let due = start + period * number;
            if due - start >= time {
                break;
            }
            let (way, pace) = (way.clone(), self.clone());
            calls.spawn(async move {
                let began = Instant::now().min(due + TIMER);
                let outcome = way.call(&pace.body, pace.deadline).await;
                outcome.map(|()| began.elapsed())
            });
        }
        let mut latencies = Latencies::default();
        for outcome in calls.join_all().await {
            latencies.failed += usize::from(outcome.is_err());
            latencies.all.push(outcome.unwrap_or(self.deadline));
        }
        latencies
    }
}

impl Latencies {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.all.append(&mut other.all);
        self.failed += other.failed;
    }

    /// Returns the 99th percentile in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        let mut all = self.all.clone();
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        all.get(last * 99 / 100)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::way::Failed;

    #[test]
    fn the_slowest_percent_is_excluded() {
        let all = (1..=201).rev().map(Duration::from_millis).collect();
        let latencies = Latencies { all, failed: 0 };
        assert!((latencies.p99() - 199.0).abs() < 1e-9);
        assert!(Latencies::default().p99().is_nan());
    }

    struct Never;

    impl Way for Never {
        async fn call(&self, _: &Bytes, _: Duration) -> Result<(), Failed> {
            Err(Failed("no".to_owned()))
        }
    }

    #[tokio::test]
    async fn a_failed_call_counts_with_its_longest_possible_duration() {
        let pace = Pace {
            per_second: 1_000,
            body: Bytes::new(),
            deadline: Duration::from_secs(7),
        };
        let latencies = pace.run(&Arc::new(Never), Duration::from_millis(20)).await;
        assert_eq!((latencies.failed, latencies.all.len()), (20, 20));
        assert!((latencies.p99() - 7_000.0).abs() < 1e-9);
    }
}
