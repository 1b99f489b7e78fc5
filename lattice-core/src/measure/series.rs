//! Histograms by key, of which there are at most so many.

use super::{Distribution, Histogram};
use crate::sync::Mutex;
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use std::{collections::HashMap, fmt, hash::Hash, sync::Arc, time::Duration};

/// Most series of one instrument. More are one series together.
pub const MOST_SERIES: usize = 1_000;

/// Durations by key. Keys that come when there are as many as there may be are counted together.
/// Each key has a label, which is made when the key is first seen.
pub struct DurationSeries<K, L> {
    series: ArcSwap<Series<K, L>>,
    most: usize,
    /// Held while a series is added. Readers never wait for it.
    adding: Mutex<()>,
    other: Histogram,
}

type Series<K, L> = HashMap<K, Arc<(L, Histogram)>, RandomState>;

/// What a [`DurationSeries`] has counted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recorded<K, L> {
    /// Each key with its label and its durations, in no order.
    pub series: Vec<(K, L, Distribution)>,
    /// The durations of all other keys, if there were more keys than may be.
    pub other: Option<Distribution>,
}

impl<K: Clone + Eq + Hash, L: Clone> DurationSeries<K, L> {
    /// Creates one of at most `most` series.
    pub fn new(most: usize) -> Self {
        Self {
            series: ArcSwap::default(),
            most,
            adding: Mutex::new(()),
            other: Histogram::new(),
        }
    }

    /// Counts a duration.
    pub fn record(&self, key: &K, took: Duration, label: impl FnOnce() -> L) {
        if let Some(series) = self.series.load().get(key) {
            return series.1.record(took);
        }
        match self.added(key, label) {
            Some(series) => series.1.record(took),
            None => self.other.record(took),
        }
    }

    /// Returns the series of a key, which is added if there may be one more.
    fn added(&self, key: &K, label: impl FnOnce() -> L) -> Option<Arc<(L, Histogram)>> {
        // Once it is full, which it stays, no call waits for another one.
        if self.series.load().len() >= self.most {
            return None;
        }
        let _adding = self.adding.lock();
        let series = self.series.load();
        if let Some(there) = series.get(key) {
            return Some(there.clone());
        }
        if series.len() >= self.most {
            return None;
        }
        let new = Arc::new((label(), Histogram::new()));
        let mut more = Series::clone(&series);
        more.insert(key.clone(), new.clone());
        self.series.store(Arc::new(more));
        Some(new)
    }

    /// Returns what was counted so far.
    pub fn read(&self) -> Recorded<K, L> {
        let series = self.series.load();
        let series = series
            .iter()
            .map(|(key, series)| (key.clone(), series.0.clone(), series.1.read()));
        let other = self.other.read();
        Recorded {
            series: series.collect(),
            other: (other.count() > 0).then_some(other),
        }
    }
}

impl<K, L> fmt::Debug for DurationSeries<K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurationSeries")
            .field("series", &self.series.load().len())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_most_so_many_series_and_nothing_is_lost() {
        let series = DurationSeries::new(3);
        for key in (0..10).chain(0..10) {
            series.record(&key, Duration::from_millis(1), || format!("the {key}th"));
        }
        let recorded = series.read();
        assert_eq!(recorded.series.len(), 3);
        for (key, label, durations) in &recorded.series {
            assert_eq!(*label, format!("the {key}th"));
            assert_eq!(durations.count(), 2);
        }
        assert_eq!(recorded.other.as_ref().map(Distribution::count), Some(14));
    }

    #[test]
    fn a_series_that_many_threads_add_at_once_is_one() {
        let series = DurationSeries::new(100);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for key in 0..50 {
                        series.record(&key, Duration::ZERO, || ());
                    }
                });
            }
        });
        let recorded = series.read();
        assert_eq!((recorded.series.len(), recorded.other), (50, None));
        assert!(recorded.series.iter().all(|(_, (), one)| one.count() == 8));
    }
}
