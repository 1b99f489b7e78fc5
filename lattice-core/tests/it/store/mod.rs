//! The store: every implementation against the contract, and NATS against a real server.

mod cluster;
mod disk;
mod disk_faults;
mod fault;
mod memory;
mod nats;
mod nats_faults;
mod nats_open;
mod nats_permissions;

use crate::{chance, nats as server, proxy};
use futures_util::StreamExt;
use lattice_core::store::{
    Entry, Expect, Incarnation, Op, Revision, Store, StoreKey, StoreWatch, WatchEvent,
};
use std::time::Duration;

/// Much longer than any step takes, so that a test that hangs fails with the name of the step.
const PATIENCE: Duration = Duration::from_mins(1);

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, work).await else {
        panic!("{what}: no end within {PATIENCE:?}");
    };
    done
}

async fn next(watch: &mut StoreWatch) -> WatchEvent {
    soon("the watch's next event", watch.next())
        .await
        .expect("the watch goes on")
}

/// Returns the next snapshot, and ignores earlier events.
async fn snapshot(watch: &mut StoreWatch) -> (Incarnation, Revision, Vec<Entry>) {
    loop {
        if let WatchEvent::Snapshot {
            incarnation,
            revision,
            entries,
        } = next(watch).await
        {
            return (incarnation, revision, entries);
        }
    }
}

fn key(name: &str) -> StoreKey {
    StoreKey::for_test(name)
}

fn put(name: &str, value: &str, expect: Expect) -> Vec<Op> {
    vec![Op::put(key(name), value.to_owned(), expect)]
}

async fn value(store: &dyn Store, name: &str) -> Option<String> {
    let entry = soon("a read", store.read(key(name)))
        .await
        .expect("in reach");
    entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}
