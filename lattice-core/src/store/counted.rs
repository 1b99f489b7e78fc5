//! A store that times what is asked of it.

use super::{
    CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError, StoreKey,
    StoreWatch, WatchEvent,
};
use crate::measure::{DurationSeries, MOST_SERIES, Recorded};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Read,
    Commit,
    Lease,
}

impl Operation {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Commit => "commit",
            Self::Lease => "lease",
        }
    }
}

/// An operation, and what it failed with.
pub(crate) type Asked = (Operation, Option<&'static str>);

/// What was asked of a store, and how far it has come as far as this process knows.
#[derive(Debug)]
pub(crate) struct StoreCounts {
    times: DurationSeries<Asked, ()>,
    newest: AtomicU64,
}

impl Default for StoreCounts {
    fn default() -> Self {
        Self {
            times: DurationSeries::new(MOST_SERIES),
            newest: AtomicU64::new(0),
        }
    }
}

impl StoreCounts {
    /// The operations so far.
    pub(crate) fn read(&self) -> Recorded<Asked, ()> {
        self.times.read()
    }

    /// The newest revision that an operation or a snapshot has returned.
    pub(crate) fn newest(&self) -> Revision {
        Revision(self.newest.load(Ordering::Relaxed))
    }

    fn ended(&self, operation: Operation, took: Duration, error: Option<&'static str>) {
        self.times.record(&(operation, error), took, || ());
    }

    fn committed(
        &self,
        (operation, began): (Operation, Instant),
        result: &Result<Revision, CommitError>,
    ) {
        let error = result.as_ref().err().map(commit_error);
        self.ended(operation, began.elapsed(), error);
        if let Ok(revision) = result {
            self.newest.fetch_max(revision.0, Ordering::Relaxed);
        }
    }

    fn seen(&self, event: &WatchEvent) {
        // A store that was replaced or went back begins anew.
        if let WatchEvent::Snapshot { revision, .. } = event {
            self.newest.store(revision.0, Ordering::Relaxed);
        }
    }
}

/// A store that times. It changes nothing else of the one that it wraps.
#[derive(Debug)]
pub(crate) struct CountedStore {
    store: Arc<dyn Store>,
    counts: Arc<StoreCounts>,
}

impl CountedStore {
    pub(crate) fn around(store: Arc<dyn Store>, counts: &Arc<StoreCounts>) -> Arc<dyn Store> {
        let counts = counts.clone();
        Arc::new(Self { store, counts })
    }
}

impl Store for CountedStore {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.store.incarnation()
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        self.store.position()
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            let began = Instant::now();
            let read = self.store.read(key).await;
            let error = read.as_ref().err().map(store_error);
            self.counts.ended(Operation::Read, began.elapsed(), error);
            read
        })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let began = Instant::now();
            let committed = self.store.commit(ops).await;
            let counts = &self.counts;
            counts.committed((Operation::Commit, began), &committed);
            committed
        })
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let began = Instant::now();
            let leased = self.store.lease(key, value, ttl, expect).await;
            self.counts.committed((Operation::Lease, began), &leased);
            leased
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async move {
            let events = self.store.watch().await?;
            let counts = self.counts.clone();
            Ok(StoreWatch::new(
                events.inspect(move |event| counts.seen(event)),
            ))
        })
    }
}

fn store_error(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Limit(_) => "limit",
        StoreError::Forbidden(_) => "forbidden",
        StoreError::Full(_) => "full",
        StoreError::Closed => "closed",
        StoreError::Unsupported(_) => "unsupported",
    }
}

fn commit_error(error: &CommitError) -> &'static str {
    match error {
        CommitError::Conflict { .. } => "conflict",
        CommitError::Invalid(_) => "invalid",
        CommitError::Store(error) => store_error(error),
        CommitError::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn operations_are_counted_with_what_they_failed_with() {
        let counts = Arc::<StoreCounts>::default();
        let store = CountedStore::around(Arc::new(MemoryStore::new()), &counts);
        let key = StoreKey::for_test("one");
        let put = || vec![Op::put(key.clone(), "value", Expect::Absent)];
        let revision = store.commit(put()).await.expect("it is absent");
        let conflict = store.commit(put()).await;
        assert!(matches!(conflict, Err(CommitError::Conflict { .. })));
        let ttl = Duration::from_secs(1);
        let lease = store.lease(StoreKey::for_test("two"), Bytes::new(), ttl, Expect::Any);
        let newest = lease.await.expect("it is free");
        store.read(key).await.expect("it can be read");
        let mut asked: Vec<_> = counts
            .read()
            .series
            .into_iter()
            .map(|((operation, error), (), times)| (operation.name(), error, times.count()))
            .collect();
        asked.sort_unstable();
        assert_eq!(
            asked,
            [
                ("commit", None, 1),
                ("commit", Some("conflict"), 1),
                ("lease", None, 1),
                ("read", None, 1),
            ]
        );
        assert!(newest > revision);
        assert_eq!(counts.newest(), newest);
    }
}
