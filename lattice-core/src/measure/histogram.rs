//! Durations, counted by how long they are.

use std::{
    cell::Cell,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

/// The upper bounds of durations in seconds: those that OpenTelemetry advises for calls, from 5 ms
/// to 10 s, and four below them, because a call within a host takes microseconds.
pub const SECONDS: &[f64] = &[
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0,
];

/// How many counts a shard has: one for each bound, and one for what is above all of them.
const COUNTS: usize = SECONDS.len() + 1;
/// Most shards. With more, a reading costs more than threads that meet in one.
const MOST_SHARDS: usize = 8;

/// Counts durations. Threads count in different cache lines, so that a busy histogram doesn't make
/// them wait for each other.
pub struct Histogram {
    shards: Box<[Shard]>,
}

/// Aligned to two cache lines, which processors fetch together.
#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; COUNTS],
    nanos: AtomicU64,
}

/// The durations that a [`Histogram`] has counted so far.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// The upper bounds of the buckets in seconds, ascending. A duration that equals a bound is in
    /// its bucket.
    pub bounds: &'static [f64],
    /// How many durations are in each bucket. The last one, for which there is no bound, has those
    /// above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all durations in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Creates a histogram with the bounds of [`SECONDS`].
    pub fn new() -> Self {
        let shards = (0..*SHARDS).map(|_| Shard {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            nanos: AtomicU64::new(0),
        });
        Self {
            shards: shards.collect(),
        }
    }

    /// Counts a duration.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        let shard = &self.shards[shard_of_thread() % self.shards.len()];
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        shard.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns what was counted so far. Durations that are counted meanwhile may be in it in part:
    /// in the counts and not in the sum, or the other way round.
    pub fn read(&self) -> Distribution {
        let mut read = Distribution::empty();
        let mut nanos = 0_u128;
        for shard in &self.shards {
            for (all, count) in read.counts.iter_mut().zip(&shard.counts) {
                *all += count.load(Ordering::Relaxed);
            }
            nanos += u128::from(shard.nanos.load(Ordering::Relaxed));
        }
        read.sum = nanos as f64 / 1e9;
        read
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.read().count())
            .finish_non_exhaustive()
    }
}

impl Distribution {
    /// Returns a distribution without durations.
    pub fn empty() -> Self {
        Self {
            bounds: SECONDS,
            counts: vec![0; COUNTS],
            sum: 0.0,
        }
    }

    /// Returns how many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the durations of another one, which has the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

static SHARDS: LazyLock<usize> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from);
    threads.clamp(1, MOST_SHARDS)
});

/// Returns a number of this thread, by which it has a shard of each histogram.
fn shard_of_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let new = THREADS.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_duration_is_counted_up_to_its_bound_and_all_of_them_by_all_threads() {
        assert!(SECONDS.is_sorted());
        let histogram = Histogram::new();
        for millis in [5, 6, 20_000] {
            histogram.record(Duration::from_millis(millis));
        }
        let read = histogram.read();
        let bucket = |bound: f64| SECONDS.iter().position(|one| *one >= bound);
        assert_eq!(read.counts[bucket(0.005).expect("there is one")], 1);
        assert_eq!(read.counts[bucket(0.01).expect("there is one")], 1);
        assert_eq!(read.counts.last(), Some(&1));
        assert!((read.sum - 20.011).abs() < 1e-9, "{}", read.sum);

        thread::scope(|scope| {
            for _ in 0..2 * MOST_SHARDS {
                scope.spawn(|| (0..1_000).for_each(|_| histogram.record(Duration::ZERO)));
            }
        });
        let read = histogram.read();
        assert_eq!(read.count(), 3 + 2 * MOST_SHARDS as u64 * 1_000);
        let mut twice = read.clone();
        twice.add(&read);
        assert_eq!(twice.count(), 2 * read.count());
    }

    #[test]
    fn a_duration_of_any_length_is_counted() {
        let histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.read().counts.last(), Some(&1));
    }
}
