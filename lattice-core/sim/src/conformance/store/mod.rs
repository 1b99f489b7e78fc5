//! Checks the sentences of the [contract](lattice_core::store) of a [`Store`] that can be checked
//! from outside, for any implementation.
//!
//! Outages aren't among them: how to cause one differs by store, so each has its own tests for
//! that.

mod leases;
mod watches;
mod writes;

use bytes::Bytes;
use futures_util::StreamExt;
use lattice_core::store::{
    CommitError, Entry, Expect, Op, Revision, Store, StoreKey, StoreWatch, WatchEvent,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Two handles to one new, empty store, of different connections where the store has such.
pub type Pair = (Arc<dyn Store>, Arc<dyn Store>);

/// Far more than any step takes. A suite that hangs fails by this, and names the step.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs the whole suite; `make` returns a new pair for each part.
///
/// # Panics
/// When the store breaks its contract; the message names the sentence.
pub async fn run(make: impl AsyncFn() -> Pair) {
    writes::run(&make).await;
    watches::run(&make).await;
    leases::run(&make).await;
}

fn key(text: &str) -> StoreKey {
    StoreKey::for_test(text)
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, work).await else {
        panic!("{what}: no end within {PATIENCE:?}");
    };
    done
}

async fn commit(store: &Arc<dyn Store>, ops: Vec<Op>) -> Result<Revision, CommitError> {
    soon("a commit", store.commit(ops)).await
}

async fn put(store: &Arc<dyn Store>, name: &str, value: &str, expect: Expect) -> Revision {
    let op = Op::put(key(name), value.to_owned(), expect);
    match commit(store, vec![op]).await {
        Ok(revision) => revision,
        Err(error) => panic!("put {name}={value} expecting {expect:?}: {error}"),
    }
}

async fn delete(store: &Arc<dyn Store>, name: &str, expect: Expect) -> Revision {
    match commit(store, vec![Op::delete(key(name), expect)]).await {
        Ok(revision) => revision,
        Err(error) => panic!("delete {name} expecting {expect:?}: {error}"),
    }
}

async fn read(store: &Arc<dyn Store>, name: &str) -> Option<Entry> {
    match soon("a read", store.read(key(name))).await {
        Ok(entry) => entry,
        Err(error) => panic!("read {name}: {error}"),
    }
}

async fn value(store: &Arc<dyn Store>, name: &str) -> Option<Bytes> {
    read(store, name).await.map(|entry| entry.value)
}

fn assert_conflict(result: Result<Revision, CommitError>, name: &str, what: &str) {
    match result {
        Err(CommitError::Conflict { key: found }) => {
            assert_eq!(found, key(name), "{what}: the key that differed");
        }
        other => panic!("{what}: expected a conflict, found {other:?}"),
    }
}

async fn open(store: &Arc<dyn Store>) -> StoreWatch {
    match soon("opening a watch", store.watch()).await {
        Ok(watch) => watch,
        Err(error) => panic!("watch: {error}"),
    }
}

async fn next(watch: &mut StoreWatch) -> WatchEvent {
    soon("the watch's next event", watch.next())
        .await
        .expect("a watch does not end while its store lives")
}

/// The events that a follower of a watch has received.
#[derive(Debug, Default)]
struct Copy {
    entries: BTreeMap<StoreKey, (Bytes, Revision)>,
    revision: Revision,
    snapshots: u64,
}

impl Copy {
    fn apply(&mut self, event: WatchEvent) {
        let revision = match event {
            WatchEvent::Snapshot {
                revision, entries, ..
            } => {
                assert!(entries.is_sorted_by(|a, b| a.key < b.key), "ordered by key");
                self.entries = entries
                    .into_iter()
                    .map(|e| (e.key, (e.value, e.revision)))
                    .collect();
                self.snapshots += 1;
                assert!(
                    revision >= self.revision,
                    "no snapshot goes back: {revision:?}"
                );
                self.revision = revision;
                return;
            }
            WatchEvent::Put(entry) => {
                self.entries
                    .insert(entry.key, (entry.value, entry.revision));
                entry.revision
            }
            WatchEvent::Delete { key, revision } => {
                self.entries.remove(&key);
                revision
            }
            WatchEvent::Commit(changes) => {
                assert!(changes.len() > 1, "a single change is an event of its own");
                return changes.into_iter().for_each(|change| self.apply(change));
            }
            WatchEvent::Lost => return,
        };
        assert!(self.snapshots > 0, "the first event is a snapshot");
        assert!(revision > self.revision, "changes come in revision order");
        self.revision = revision;
    }

    /// Follows `watch` up to `revision`.
    async fn follow(&mut self, watch: &mut StoreWatch, revision: Revision) {
        while self.revision < revision {
            let event = next(watch).await;
            self.apply(event);
        }
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(&key(name)).map(|(value, _)| &value[..])
    }
}
