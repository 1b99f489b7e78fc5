//! The contract of `Store`, for every implementation, and what only one of them can show.

use futures_util::StreamExt;
use lattice_core::store::{
    Expect, MemoryStore, Op, Revision, Store, StoreError, StoreKey, WatchEvent, conformance,
};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn memory_store_keeps_the_contract() {
    conformance::run(async || {
        let store = MemoryStore::new();
        (Arc::new(store.clone()) as _, Arc::new(store) as _)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn memory_store_out_of_reach_says_so_and_comes_back_whole() {
    let store = MemoryStore::new();
    let key = StoreKey::for_test("a");
    let put = |value: &'static str| vec![Op::put(key.clone(), value, Expect::Any)];
    store.commit(put("1")).await.expect("in reach");
    let mut watch = store.watch().await.expect("in reach");
    watch.next().await.expect("a snapshot");

    store.disconnect();
    assert_eq!(watch.next().await, Some(WatchEvent::Lost));
    assert!(matches!(
        store.read(key.clone()).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(store.commit(put("2")).await.is_err());
    assert!(store.watch().await.is_err());
    let silent = tokio::time::timeout(std::time::Duration::from_secs(60), watch.next()).await;
    assert!(silent.is_err(), "lost is said once: {silent:?}");

    store.reconnect();
    let Some(WatchEvent::Snapshot {
        incarnation,
        revision,
        entries,
    }) = watch.next().await
    else {
        panic!("a snapshot when it is back");
    };
    assert_eq!((revision, entries.len()), (Revision(1), 1));
    assert_eq!(entries[0].value, "1");

    store.wipe();
    let Some(WatchEvent::Snapshot {
        incarnation: next,
        revision,
        entries,
    }) = watch.next().await
    else {
        panic!("a snapshot of the new life");
    };
    assert!(next > incarnation);
    assert_eq!((revision, entries), (Revision(0), Vec::new()));
    assert_eq!(store.commit(put("3")).await.expect("in reach"), Revision(1));
    assert!(matches!(watch.next().await, Some(WatchEvent::Put(_))));
}
