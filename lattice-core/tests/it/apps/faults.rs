//! Stores that lose responses, and stores that are unavailable.

use super::*;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::store::{
    CommitError, Entry, Expect, Incarnation, Op, Revision, StoreError, StoreKey, StoreWatch,
};
use lattice_sim::fault::FaultStore;
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// What happens to the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is written, and the response is lost.
    AnswerLost,
    /// It isn't written, and the response is lost.
    RequestLost,
    /// Another process applies the app first, and the response is lost.
    Overtaken,
}

/// Applies these faults to the first commits, and then works normally.
#[derive(Debug)]
struct Fated {
    store: MemoryStore,
    fates: Vec<Fate>,
    commits: AtomicUsize,
}

impl Fated {
    fn new(fates: &[Fate]) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            fates: fates.to_vec(),
            commits: AtomicUsize::new(0),
        })
    }
}

impl Store for Fated {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.store.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.store.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async {
            match self.fates.get(self.commits.fetch_add(1, Relaxed)) {
                None => self.store.commit(ops).await,
                Some(Fate::AnswerLost) => {
                    self.store.commit(ops).await?;
                    Err(CommitError::Unknown)
                }
                Some(Fate::RequestLost) => Err(CommitError::Unknown),
                Some(Fate::Overtaken) => {
                    let last = ops.last().expect("a commit").key.clone();
                    let theirs = Op::put(last, "theirs", Expect::Any);
                    self.store.commit(vec![theirs]).await?;
                    Err(CommitError::Unknown)
                }
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
        self.store.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.store.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_is_resolved_by_a_read_and_nothing_is_written_twice() {
    use Fate::*;
    for (fates, commits) in [
        (&[AnswerLost][..], 1),
        (&[RequestLost], 2),
        (&[RequestLost, AnswerLost], 2),
    ] {
        let store = Fated::new(fates);
        let lattice = over(store.clone()).await;
        let applied = lattice
            .apply(&actors("shop", &["a"]))
            .await
            .expect("applied");
        assert_eq!(
            (applied.revision, store.commits.load(Relaxed)),
            (Some(Revision(2)), commits)
        );
        assert_eq!(lattice.desired().actors.len(), 1);
    }
    for (fates, commits) in [(&[AnswerLost][..], 1), (&[RequestLost], 2)] {
        let store = Fated::new(fates);
        let other = join(&store.store).await;
        other.apply(&actors("shop", &["a"])).await.expect("applied");
        let lattice = over(store.clone()).await;
        lattice.delete_app(&name("shop")).await.expect("deleted");
        assert_eq!(store.commits.load(Relaxed), commits);
        assert!(lattice.desired().actors.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_writer_receives_a_conflict_even_when_the_response_was_lost() {
    let store = Fated::new(&[Fate::Overtaken]);
    let lattice = over(store.clone()).await;
    let error = lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect_err("overtaken");
    assert!(matches!(error, ApplyError::Conflict { .. }), "{error}");
    lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect("the next time");
}

#[tokio::test(start_paused = true)]
async fn operations_on_a_silent_store_end_in_time() {
    let store = Fated::new(&[Fate::RequestLost; 1_000]);
    let lattice = over(store.clone()).await;
    let begin = tokio::time::Instant::now();
    let error = lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect_err("lost");
    assert!(
        matches!(error, ApplyError::Unknown { .. }) && error.is_retryable(),
        "{error}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_changes_nothing_and_known_state_stays() {
    let store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), 1));
    let lattice = over(store.clone()).await;
    lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect("applied");
    store.partition();
    let error = lattice
        .apply(&actors("shop", &["b"]))
        .await
        .expect_err("away");
    assert!(
        matches!(error, ApplyError::Store { .. }) && error.is_retryable(),
        "{error}"
    );
    assert_eq!(lattice.desired().actors.len(), 1);
    store.heal();
    lattice.apply(&actors("shop", &["b"])).await.expect("back");
    assert!(lattice.desired().actors.contains_key(&id("b")));
}
