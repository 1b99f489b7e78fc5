use super::*;
use crate::{
    auth::Auth,
    store::{MemoryStore, Store, StoreKey, StoreWatch},
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A store that loses the answer to its first commit.
#[derive(Debug, Default)]
struct Losing {
    inner: MemoryStore,
    has_lost: AtomicBool,
}

impl Store for Losing {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.inner.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.inner.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async {
            let revision = self.inner.commit(ops).await?;
            if self.has_lost.swap(true, Ordering::Relaxed) {
                Ok(revision)
            } else {
                Err(CommitError::Unknown)
            }
        })
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.inner.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.inner.watch()
    }
}

fn key() -> StoreKey {
    StoreKey::for_test("count")
}

fn records(store: impl Store) -> Records {
    Records::new(Arc::new(store), Auth::trusting())
}

async fn read(records: &Records) -> (Incarnation, Option<Entry>) {
    let store = records.store();
    let incarnation = store.incarnation().await.expect("in reach");
    (incarnation, store.read(key()).await.expect("in reach"))
}

async fn count(records: &Records) -> u64 {
    let (incarnation, entry) = read(records).await;
    let current = records.current::<u64>(incarnation, entry.as_ref());
    let record = current.expect("not newer").record();
    record.map_or(0, |record| record.body)
}

/// Adds one to the count at the key.
async fn add(records: &Records, rewrite: &mut Rewrite) -> Result<(), RewriteError> {
    loop {
        let (incarnation, entry) = read(records).await;
        let current = records.current::<u64>(incarnation, entry.as_ref());
        let before = current.expect("not newer").record();
        let after = before.map_or(0, |record| record.body) + 1;
        let value = records.encode(incarnation, &key(), after, &after);
        let put = Op::put(key(), value.expect("encodes"), Expect::of(entry.as_ref()));
        // Lets the other writers read the same value.
        tokio::task::yield_now().await;
        if rewrite.commit(records, vec![put]).await?.is_some() {
            return Ok(());
        }
        rewrite.again().await?;
    }
}

#[tokio::test(start_paused = true)]
async fn of_writers_at_the_same_time_none_overwrites_another() {
    let records = records(MemoryStore::new());
    let pauses = Backoff::doubling(Duration::from_millis(4), Duration::from_millis(200));
    let added = join_all((0..16).map(async |_| {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut rewrite = Rewrite::until(deadline, pauses);
        add(&records, &mut rewrite).await
    }));
    let added = added.await;
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    assert_eq!(count(&records).await, 16);
}

#[tokio::test(start_paused = true)]
async fn attempts_end_at_their_bound() {
    let mut three = Rewrite::at_most(3);
    assert!(three.again().await.is_ok() && three.again().await.is_ok());
    assert!(matches!(three.again().await, Err(RewriteError::Contended)));

    let begun = Instant::now();
    let pauses = Backoff::constant(Duration::from_millis(10));
    let mut second = Rewrite::until(begun + Duration::from_secs(1), pauses);
    let mut attempts = 0;
    while second.again().await.is_ok() {
        attempts += 1;
        assert!(attempts < 10_000, "there are no pauses");
    }
    let took = begun.elapsed().as_millis();
    assert!((1_000..=1_012).contains(&took), "{took}");
}

#[tokio::test]
async fn a_conflict_and_a_lost_answer_lead_to_another_attempt_and_an_error_does_not() {
    let losing = records(Losing::default());
    let mut rewrite = Rewrite::at_most(3);
    add(&losing, &mut rewrite).await.expect("added");
    assert!(rewrite.may_have_written());
    assert_eq!(count(&losing).await, 2, "the lost one was written as well");

    let mut rewrite = Rewrite::at_most(3);
    let stale = vec![Op::put(key(), "late", Expect::Absent)];
    let conflict = rewrite.commit(&losing, stale).await;
    assert!(matches!(conflict, Ok(None)), "{conflict:?}");
    assert!(!rewrite.may_have_written());
    let refused = rewrite.commit(&losing, Vec::new()).await;
    assert!(
        matches!(refused, Err(RewriteError::Refused(_))),
        "{refused:?}"
    );
    let store = MemoryStore::new();
    store.disconnect();
    let put = vec![Op::put(key(), "x", Expect::Any)];
    let away = rewrite.commit(&records(store), put).await;
    assert!(matches!(away, Err(RewriteError::Store(_))), "{away:?}");
}

#[tokio::test]
async fn garbage_may_be_replaced_and_what_a_newer_version_wrote_may_not() {
    let records = records(MemoryStore::new());
    let life = records.store().incarnation().await.expect("in reach");
    let entry = |value: Vec<u8>| Entry {
        key: key(),
        value: value.into(),
        revision: Revision(7),
    };
    let current = |entry: Option<&Entry>| records.current::<u64>(life, entry);
    assert_eq!(current(None), Ok(Current::Absent));
    assert_eq!(Expect::of(None), Expect::Absent);

    let good = records.encode(life, &key(), 3, &5_u64).expect("encodes");
    let good_entry = entry(good.to_vec());
    let record = current(Some(&good_entry)).expect("not newer").record();
    let record = record.expect("valid");
    assert_eq!((record.generation, record.body), (3, 5));
    assert_eq!(Expect::of(Some(&good_entry)), Expect::At(Revision(7)));

    let garbage = current(Some(&entry(b"garbage".to_vec())));
    assert!(matches!(garbage, Ok(Current::Garbage(_))), "{garbage:?}");
    assert_eq!(garbage.expect("not newer").record(), None);

    let mut newer = good.to_vec();
    newer[0] = 9;
    let newer = current(Some(&entry(newer)));
    assert!(matches!(newer, Err(RecordError::Newer { .. })), "{newer:?}");
}
