//! Metrics of one component's calls: counts, and how long they took, of all calls and of those over
//! each link to it.
//!
//! Counting is one relaxed addition per call, and for its link one more and a clone of an [`Arc`].
//! Of calls that end before they wait for anything, only one in [`SAMPLE`] is timed, and as many
//! for each link. Those that wait are all timed: for them, it costs nothing. While somebody reads
//! the metrics of the node, all calls are timed, by method and error.
//!
//! The latest calls that have failed are kept.

use super::failures::Failures;
use crate::{
    call::CallError,
    measure::Methods,
    sync::Count,
    wire::{FunctionKey, Latency},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Of this many calls that don't wait, one is timed and represents all of them.
const SAMPLE: u8 = 8;
/// Four buckets for each doubling of the time, up to an hour: a reported time is at most a quarter
/// too long.
const BUCKETS: usize = 124;

/// Counts of calls, and of how long they took: of all calls of a component, or of those over one
/// link.
#[derive(Debug)]
pub(crate) struct Tally {
    calls: Count,
    errors: AtomicU64,
    buckets: Box<[AtomicU32]>,
}

pub(crate) struct Meter {
    all: Arc<Tally>,
    /// Calls that were refused before they began. They are among the errors, too.
    refused: AtomicU64,
    /// Records calls by method, unless the component's calls are the node's own.
    methods: Option<Methods>,
    pub(super) failures: Failures,
}

/// A running call.
#[derive(Debug)]
pub(crate) struct CallTimer {
    began: Instant,
    /// How many calls its time represents, among all of its component.
    weight: u8,
    /// The same among those over its link.
    link_weight: u8,
    /// The function, if the call is recorded by method.
    recorded: Option<FunctionKey>,
    /// The calls over its link, if it has one that the component knows.
    link: Option<Arc<Tally>>,
}

/// How long calls took up to one moment. Only the difference of two is meaningful.
#[derive(Debug)]
pub(crate) struct Times(Vec<u32>);

impl Tally {
    /// Counts a call that begins, and returns how many calls its time represents if it doesn't
    /// wait.
    fn begin(&self) -> u8 {
        let before = self.calls.add_one();
        if before.is_multiple_of(SAMPLE.into()) {
            SAMPLE
        } else {
            0
        }
    }

    /// Counts a call that was refused before it began.
    pub(crate) fn refused(&self) {
        self.calls.add_one();
        self.failed();
    }

    fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn took(&self, time: Duration, weight: u8) {
        if weight > 0 {
            self.buckets[bucket(time.as_micros())].fetch_add(weight.into(), Ordering::Relaxed);
        }
    }

    /// Calls so far, and how many of them ended in an error.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let errors = self.errors.load(Ordering::Relaxed);
        (self.calls.sum(), errors)
    }

    pub(crate) fn times(&self) -> Times {
        let counts = self.buckets.iter();
        Times(counts.map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            calls: Count::new(),
            errors: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            all: Arc::default(),
            refused: AtomicU64::new(0),
            methods: None,
            failures: Failures::default(),
        }
    }

    /// Also records calls by method.
    pub(super) fn record_in(&mut self, methods: Methods) {
        self.methods = Some(methods);
    }

    /// Records the start of a call of this function that arrived at `began`, also among the calls
    /// over its link.
    pub(crate) fn call(
        &self,
        began: Instant,
        function: FunctionKey,
        link: Option<Arc<Tally>>,
    ) -> CallTimer {
        let sampled = self.all.begin();
        let is_recorded = self.methods.as_ref().is_some_and(Methods::are_timed);
        CallTimer {
            began,
            weight: if is_recorded { 1 } else { sampled },
            // Sampled by themselves: of two links whose calls take turns, one would never be timed.
            link_weight: link.as_ref().map_or(0, |link| link.begin()),
            recorded: is_recorded.then_some(function),
            link,
        }
    }

    /// Records a call that was refused before it began.
    pub(crate) fn refused(&self) {
        self.all.refused();
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a call, and returns its result.
    pub(crate) fn end<T>(
        &self,
        call: &CallTimer,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if call.is_timed() {
            return self.end_at(call, Instant::now(), outcome);
        }
        self.ended(call, &outcome);
        outcome
    }

    /// Records the end of a call at `now`, and returns its result.
    pub(crate) fn end_at<T>(
        &self,
        call: &CallTimer,
        now: Instant,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        let took = now.duration_since(call.began);
        self.all.took(took, call.weight);
        if let Some(link) = &call.link {
            link.took(took, call.link_weight);
        }
        if let (Some(function), Some(methods)) = (call.recorded, &self.methods) {
            methods.record(function, took, outcome.as_ref().err());
        }
        self.ended(call, &outcome);
        outcome
    }

    fn ended<T>(&self, call: &CallTimer, outcome: &Result<T, CallError>) {
        if outcome.is_ok() {
            return;
        }
        self.all.failed();
        if let Some(link) = &call.link {
            link.failed();
        }
    }

    /// All calls of the component.
    pub(crate) fn all(&self) -> &Arc<Tally> {
        &self.all
    }

    /// Calls so far, and how many of them ended in an error.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.all.counts()
    }

    /// Calls so far that were refused before they began.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl CallTimer {
    /// When the call began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Whether the clock is read for it.
    pub(crate) fn is_timed(&self) -> bool {
        self.weight > 0 || self.link_weight > 0
    }

    /// Marks the call as one that waits, so that it is timed.
    pub(crate) fn waits(&mut self) {
        self.weight = 1;
        self.link_weight = 1;
    }

    /// Counts a call that waits among those over its link, if the link was not known when the call
    /// began.
    pub(super) fn goes_over(&mut self, link: &Arc<Tally>) {
        if self.link.is_none() {
            link.begin();
            self.link = Some(link.clone());
        }
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
            let mut call = meter.call(Instant::now(), FUNCTION, None);
            call.waits();
            let takes = if number > 98 { 1_000 } else { 1 };
            tokio::time::advance(Duration::from_millis(takes)).await;
            let _ = meter.end(
                &call,
                if number > 95 {
                    fails()
                } else {
                    Ok(Bytes::new())
                },
            );
        }
        meter.refused();
        assert_eq!((meter.counts(), meter.refusals()), ((101, 6), 1));
        let times = meter.all().times();
        let latency = times.since(&Times::zero()).expect("measured");
        assert!((1_000..1_250).contains(&latency.p50_us), "{latency:?}");
        assert!(
            (1_000_000..1_250_000).contains(&latency.p99_us),
            "{latency:?}"
        );
        assert_eq!(times.since(&meter.all().times()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn short_calls_are_sampled() {
        let meter = Meter::new();
        for _ in 0..u64::from(SAMPLE) * 3 {
            let call = meter.call(Instant::now(), FUNCTION, None);
            let _ = meter.end(&call, Ok(Bytes::new()));
        }
        let Times(counts) = meter.all().times();
        assert_eq!(counts[0], u32::from(SAMPLE) * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_over_two_links_are_counted_and_timed_apart() {
        let meter = Meter::new();
        let links = [Arc::<Tally>::default(), Arc::<Tally>::default()];
        for number in 0..usize::from(SAMPLE) * 4 {
            let link = links[number % 2].clone();
            let call = meter.call(Instant::now(), FUNCTION, Some(link));
            let fails = number % 2 == 1 && number < 6;
            let late = CallError::DeadlineExceeded { ran: Ran::No };
            let _ = meter.end(&call, if fails { Err(late) } else { Ok(Bytes::new()) });
        }
        // One that waits.
        let mut call = meter.call(Instant::now(), FUNCTION, Some(links[1].clone()));
        call.waits();
        tokio::time::advance(Duration::from_secs(1)).await;
        let _ = meter.end(&call, Ok(Bytes::new()));
        let each = u64::from(SAMPLE) * 2;
        assert_eq!(meter.counts(), (each * 2 + 1, 3));
        assert_eq!(
            links.each_ref().map(|link| link.counts()),
            [(each, 0), (each + 1, 3)]
        );
        let timed = links.each_ref().map(|link| {
            let Times(counts) = link.times();
            counts.iter().sum::<u32>()
        });
        // Although every call of the second link comes between two that the component samples.
        assert_eq!(timed, [u32::from(SAMPLE) * 2, u32::from(SAMPLE) * 2 + 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_link_becomes_known_is_counted_over_it_once() {
        let (meter, link) = (Meter::new(), Arc::<Tally>::default());
        let mut call = meter.call(Instant::now(), FUNCTION, None);
        call.waits();
        call.goes_over(&link);
        call.goes_over(&Arc::default());
        let late = CallError::DeadlineExceeded { ran: Ran::No };
        let _ = meter.end::<()>(&call, Err(late));
        assert_eq!((meter.counts(), link.counts()), ((1, 1), (1, 1)));
        assert!(link.times().since(&Times::zero()).is_some(), "it is timed");
    }
}
