//! The way of one process to the store, which tests cut.

use futures_util::future::BoxFuture;
use lattice_core::store::{
    CommitError, Entry, Expect, Incarnation, MemoryStore, Op, Revision, Store, StoreError,
    StoreKey, StoreWatch,
};
use lattice_provider_sdk::Bytes;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What becomes of a process's requests to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Reads and writes fail, and have no effect.
    Fails,
    /// Every other write has its effect, and its answer is lost.
    LosesAnswers,
    /// Steps of a series are taken, which is never answered.
    HoldsAnswers,
}

/// A way to the store. Clones are the same way.
#[derive(Debug, Clone)]
pub(super) struct Way {
    store: MemoryStore,
    fault: Arc<Mutex<Fault>>,
    writes: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
}

impl Way {
    pub(super) fn to(store: &MemoryStore) -> Self {
        Self {
            store: store.clone(),
            fault: Arc::new(Mutex::new(Fault::None)),
            writes: Arc::default(),
            held: Arc::default(),
        }
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no panic holds it") = fault;
    }

    fn check(&self) -> Result<(), StoreError> {
        match *self.fault.lock().expect("no panic holds it") {
            Fault::Fails => Err(StoreError::Unavailable("cut off".to_owned())),
            Fault::None | Fault::LosesAnswers | Fault::HoldsAnswers => Ok(()),
        }
    }

    /// Returns how many answers are held.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns never if this answer is held.
    async fn hold(&self, key: &str) {
        let fault = *self.fault.lock().expect("no panic holds it");
        if fault == Fault::HoldsAnswers && key.starts_with("series.") {
            self.held.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        }
    }

    fn answered(&self, answer: Result<Revision, CommitError>) -> Result<Revision, CommitError> {
        let is_lost = *self.fault.lock().expect("no panic holds it") == Fault::LosesAnswers
            && self
                .writes
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(2);
        if is_lost {
            Err(CommitError::Unknown)
        } else {
            answer
        }
    }
}

impl Store for Way {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.incarnation().await
        })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.read(key).await
        })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            self.check()?;
            self.answered(self.store.commit(ops).await)
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
            self.check()?;
            let name = key.to_string();
            let answer = self.store.lease(key, value, ttl, expect).await;
            self.hold(&name).await;
            self.answered(answer)
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.store.watch()
    }
}
