//! The store of a lattice that lives in one process.
//!
//! It has one lock and no task: a watch notices the end of a lease when it is polled, and every
//! call does before it returns.

use super::{
    CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError, StoreKey,
    StoreWatch,
    check::{check_ops, check_ttl},
    state::{Cursor, Followed, Look, StoreContents, follow},
};
use crate::sync::Mutex;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// A [`Store`] in this process's memory. Cheap to clone: clones are handles to one store, which
/// every host of an in-memory lattice shares. Its entries are gone once the last handle and the
/// last watch are dropped.
///
/// ```
/// # use lattice_core::store::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), CommitError> {
/// let store = MemoryStore::new();
/// let key = StoreKey::for_test("color");
/// let first = store.commit(vec![Op::put(key.clone(), "red", Expect::Absent)]).await?;
/// store.commit(vec![Op::put(key.clone(), "blue", Expect::At(first))]).await?;
/// assert_eq!(store.read(key).await?.expect("put above").value, "blue");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<WatchedContents>);

struct WatchedContents {
    state: Mutex<StoreContents>,
    changed: watch::Sender<()>,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self(Arc::new(WatchedContents {
            state: Mutex::new(StoreContents::new()),
            changed: watch::Sender::new(()),
        }))
    }

    /// Puts the store out of reach, for every handle and watch, until
    /// [`reconnect`](Self::reconnect). Calls fail with [`StoreError::Unavailable`] and watches
    /// deliver [`WatchEvent::Lost`](super::WatchEvent::Lost). For tests and demos of an outage.
    pub fn disconnect(&self) {
        self.0.change(StoreContents::disconnect);
    }

    /// Ends an outage that [`disconnect`](Self::disconnect) began. Nothing is lost, and watches
    /// deliver a snapshot.
    pub fn reconnect(&self) {
        self.0.change(StoreContents::reconnect);
    }

    /// Deletes the store and creates it again: it has no entries, its revisions start at 1, and it
    /// has a new [`Incarnation`]. For tests and demos.
    pub fn wipe(&self) {
        self.0.change(StoreContents::wipe);
    }

    /// Runs `work` on the state as it is now. Fails when the store is out of reach.
    fn with<T>(&self, work: impl FnOnce(&mut StoreContents) -> T) -> Result<T, StoreError> {
        let mut state = self.0.state.lock();
        if state.is_out_of_reach() {
            return Err(StoreError::Unavailable("it was disconnected".into()));
        }
        state.expire(Instant::now());
        Ok(work(&mut state))
    }

    fn write(&self, ops: Vec<Op>, ttl: Option<Duration>) -> Result<Revision, CommitError> {
        check_ops(&ops)?;
        let revision = self.with(|state| state.commit(ops, ttl, Instant::now()))??;
        self.0.changed.send_replace(());
        Ok(revision)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async { self.with(|state| state.incarnation()) })
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async { self.with(|state| state.position()) })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.with(|state| state.read(&key)) })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.write(ops, None) })
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            check_ttl(ttl)?;
            self.write(vec![Op::put(key, value, expect)], Some(ttl))
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            self.with(|_| ())?;
            Ok(follow(Arc::clone(&self.0)))
        })
    }
}

impl WatchedContents {
    fn change(&self, how: impl FnOnce(&mut StoreContents)) {
        how(&mut self.state.lock());
        self.changed.send_replace(());
    }
}

impl Followed for WatchedContents {
    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn look(&self, cursor: &mut Cursor) -> Look {
        let mut state = self.state.lock();
        state.expire(Instant::now());
        match state.next(cursor) {
            Some(event) => Look::Event(event),
            None => Look::Wait(state.next_expiry()),
        }
    }
}
