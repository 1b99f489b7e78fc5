//! Metrics of one component's calls: counts, and how long they took.
//!
//! Counting is one relaxed addition per call. Of calls that end at once, only one in [`SAMPLE`] is
//! timed. Those that take time are all timed: for them, reading the clock costs nothing. While
//! somebody reads the metrics of the node, all calls are timed, by method and error.
//!
//! The latest calls that have failed are kept.

use super::failures::Failures;
use crate::{
    call::CallError,
    measure::Methods,
    wire::{FunctionKey, Latency},
};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::time::Instant;

/// Of this many calls that end at once, one is timed and represents all of them.
const SAMPLE: u32 = 8;
/// Four buckets for each doubling of the time, up to an hour: a reported time is at most a quarter
/// too long.
const BUCKETS: usize = 124;

pub(crate) struct Meter {
    calls: AtomicU64,
    errors: AtomicU64,
    /// Those among them that were refused before they began.
    refused: AtomicU64,
    buckets: Box<[AtomicU32]>,
    /// Records calls by method, unless the component's calls are the node's own.
    methods: Option<Methods>,
    pub(super) failures: Failures,
}

/// A running call.
#[derive(Clone, Copy)]
pub(crate) struct CallTimer {
    began: Instant,
    /// How many calls its time represents.
    weight: u32,
    /// The function, if the call is recorded by method.
    recorded: Option<FunctionKey>,
}

/// How long calls took up to one moment. Only the difference of two is meaningful.
pub(crate) struct Times(Vec<u32>);

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            methods: None,
            failures: Failures::default(),
        }
    }

    /// Also records calls by method.
    pub(super) fn record_in(&mut self, methods: Methods) {
        self.methods = Some(methods);
    }

    /// Records the start of a call of this function that arrived at `began`.
    pub(crate) fn call(&self, began: Instant, function: FunctionKey) -> CallTimer {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let is_recorded = self.methods.as_ref().is_some_and(Methods::are_timed);
        let weight = if is_recorded {
            1
        } else if before.is_multiple_of(SAMPLE.into()) {
            SAMPLE
        } else {
            0
        };
        CallTimer {
            began,
            weight,
            recorded: is_recorded.then_some(function),
        }
    }

    /// Records a call that was refused before it began.
    pub(crate) fn refused(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a call, and returns its result.
    pub(crate) fn end<T>(
        &self,
        call: CallTimer,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if call.weight > 0 {
            return self.end_at(call, Instant::now(), outcome);
        }
        self.ended(&outcome);
        outcome
    }

    /// Records the end of a call that takes time, at `now`, and returns its result.
    pub(crate) fn end_at<T>(
        &self,
        call: CallTimer,
        now: Instant,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        let took = now.duration_since(call.began);
        self.buckets[bucket(took.as_micros())].fetch_add(call.weight, Ordering::Relaxed);
        if let (Some(function), Some(methods)) = (call.recorded, &self.methods) {
            methods.record(function, took, outcome.as_ref().err());
        }
        self.ended(&outcome);
        outcome
    }

    fn ended<T>(&self, outcome: &Result<T, CallError>) {
        if outcome.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls so far, and how many of them ended in an error.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let errors = self.errors.load(Ordering::Relaxed);
        (self.calls.load(Ordering::Relaxed), errors)
    }

    /// Calls so far that were refused before they began.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn times(&self) -> Times {
        let counts = self.buckets.iter();
        Times(counts.map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl CallTimer {
    /// When the call began.
    pub(crate) fn began(self) -> Instant {
        self.began
    }

    /// Whether the clock is read for it.
    pub(crate) fn is_timed(self) -> bool {
        self.weight > 0
    }

    /// Marks the call as one that takes time, so that it is timed.
    pub(crate) fn waits(self) -> Self {
        Self { weight: 1, ..self }
    }
}

impl Times {
    /// The times of no calls.
    pub(crate) fn zero() -> Self {
        Self(vec![0; BUCKETS])
    }

    /// How long the calls since `before` took.
    pub(crate) fn since(&self, before: &Self) -> Option<Latency> {
        // Counts wrap around.
        let counts = self.0.iter().zip(&before.0);
        let counts: Vec<u64> = counts
            .map(|(now, before)| now.wrapping_sub(*before).into())
            .collect();
        let all: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            let mut left = (all * percent).div_ceil(100);
            counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            })
        };
        (all > 0).then(|| Latency {
            p50_us: quantile(50).map_or(0, most),
            p99_us: quantile(99).map_or(0, most),
        })
    }
}

/// Returns the bucket of a time in microseconds: up to 3 the time itself, then by the highest bit
/// and the two bits after it.
fn bucket(micros: u128) -> usize {
    let micros = u32::try_from(micros).unwrap_or(u32::MAX);
    if micros < 4 {
        return micros as usize;
    }
    let octave = micros.ilog2();
    let quarter = micros >> (octave - 2) & 3;
    ((octave - 1) * 4 + quarter) as usize
}

/// Returns the longest time of a bucket.
fn most(bucket: usize) -> u32 {
    if bucket < 4 {
        return bucket as u32;
    }
    let (octave, quarter) = (bucket as u32 / 4 + 1, bucket as u64 % 4);
    let end = (4 + quarter + 1) << (octave - 2);
    u32::try_from(end - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallError, Ran};
    use bytes::Bytes;
    use std::time::Duration;

    const FUNCTION: FunctionKey = FunctionKey(1);

    #[test]
    fn buckets_are_in_order_and_a_quarter_wide() {
        for micros in (0..5_000).chain((0..32).flat_map(|bit| [1 << bit, (1 << bit) + 1])) {
            let most = u128::from(most(bucket(micros)));
            assert!(most >= micros && most * 4 <= micros * 5 + 4, "{micros}");
            assert!(bucket(micros + 1) - bucket(micros) <= 1, "{micros}");
        }
        assert_eq!(bucket(u128::MAX), BUCKETS - 1);
        assert_eq!(most(BUCKETS - 1), u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_errors_and_durations_are_counted() {
        let meter = Meter::new();
        let fails = || Err(CallError::DeadlineExceeded { ran: Ran::No });
        for number in 1..=100 {
            let call = meter.call(Instant::now(), FUNCTION).waits();
            let takes = if number > 98 { 1_000 } else { 1 };
            tokio::time::advance(Duration::from_millis(takes)).await;
            let _ = meter.end(
                call,
                if number > 95 {
                    fails()
                } else {
                    Ok(Bytes::new())
                },
            );
        }
        meter.refused();
        assert_eq!((meter.counts(), meter.refusals()), ((101, 6), 1));
        let latency = meter.times().since(&Times::zero()).expect("measured");
        assert!((1_000..1_250).contains(&latency.p50_us), "{latency:?}");
        assert!(
            (1_000_000..1_250_000).contains(&latency.p99_us),
            "{latency:?}"
        );
        assert_eq!(meter.times().since(&meter.times()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn short_calls_are_sampled() {
        let meter = Meter::new();
        for _ in 0..u64::from(SAMPLE) * 3 {
            let call = meter.call(Instant::now(), FUNCTION);
            let _ = meter.end(call, Ok(Bytes::new()));
        }
        let Times(counts) = meter.times();
        assert_eq!(counts[0], SAMPLE * 3);
    }
}
