//! Features of the memory store only.

use super::{key, next, put, snapshot, value};
use futures_util::StreamExt;
use lattice_core::store::{Expect, MemoryStore, Revision, Store, StoreError, WatchEvent};
use lattice_sim::conformance;
use std::{sync::Arc, time::Duration};

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    conformance::store::run(async || {
        let store = MemoryStore::new();
        (Arc::new(store.clone()) as _, Arc::new(store) as _)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_store_reports_the_outage_and_returns_complete() {
    let store = MemoryStore::new();
    store
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("in reach");
    let mut watch = store.watch().await.expect("in reach");
    let (first_life, ..) = snapshot(&mut watch).await;

    store.disconnect();
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    assert!(matches!(
        store.read(key("a")).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(store.commit(put("a", "2", Expect::Any)).await.is_err());
    assert!(store.watch().await.is_err());
    let silence = tokio::time::timeout(Duration::from_mins(1), watch.next()).await;
    assert!(silence.is_err(), "a loss is reported once: {silence:?}");

    store.reconnect();
    let (incarnation, revision, entries) = snapshot(&mut watch).await;
    assert_eq!(
        (incarnation, revision, entries.len()),
        (first_life, Revision(1), 1)
    );
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));

    store.wipe();
    let (incarnation, revision, entries) = snapshot(&mut watch).await;
    assert!(incarnation > first_life);
    assert_eq!((revision, entries), (Revision(0), Vec::new()));
    let again = store.commit(put("a", "3", Expect::Absent)).await;
    assert_eq!(again.expect("in reach"), Revision(1));
    assert!(matches!(next(&mut watch).await, WatchEvent::Put(_)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_during_an_outage() {
    let store = MemoryStore::new();
    let ttl = Duration::from_secs(3);
    let taken = store.lease(key("job"), "A".into(), ttl, Expect::Absent);
    taken.await.expect("free");
    store.disconnect();
    tokio::time::advance(ttl).await;
    store.reconnect();
    assert_eq!(value(&store, "job").await, None);
}
