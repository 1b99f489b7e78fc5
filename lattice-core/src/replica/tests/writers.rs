//! Writers whose copy of the store is too old.

use super::*;
use crate::{
    replica::NotCommitted,
    store::{MemoryStore, Position, generation::Basis},
};
use tokio::time::sleep;

/// A store that doesn't report its last revision.
#[derive(Debug)]
struct Silent(MemoryStore);

impl Store for Silent {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.0.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.0.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.0.commit(ops)
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.0.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.0.watch()
    }
}

/// Commits a record that was decided after `generation` writes of 20,000. Returns the result, and
/// whether anything was written.
async fn committed(
    store: Arc<dyn Store>,
    generation: u64,
) -> (Result<Revision, NotCommitted>, bool) {
    let records = Records::new(store, keyed("ours"));
    let op = |n| Op::put(StoreKey::for_test(&format!("k{n}")), "x", Expect::Any);
    for _ in 0..20 {
        let writes = records.store().commit((0..1_000).map(op).collect());
        writes.await.expect("in reach");
    }
    let replica = Replica::follow(records.clone()).await.expect("in reach");
    let basis = Basis {
        incarnation: replica.links().incarnation(),
        generation,
    };
    let link = link("a", "x");
    let value = records.encode(basis.incarnation, &key_of(&link), generation, &link);
    let put = Op::put(key_of(&link), value.expect("encodes"), Expect::Absent);
    let result = replica.commit(&records, basis, vec![put]).await;
    let read = records.store().read(key_of(&link)).await;
    let is_written = read.expect("in reach").is_some();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(grants(&replica, &link), result.is_ok(), "{result:?}");
    (result, is_written)
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_made_only_if_every_process_will_accept_it() {
    let (result, is_written) = committed(Arc::new(MemoryStore::new()), 15_000).await;
    assert!(result.is_ok() && is_written, "{result:?}");
    let (result, is_written) = committed(Arc::new(MemoryStore::new()), 14_999).await;
    let behind = Behind::NotYet {
        seen: Revision(14_999),
        wanted: Revision(20_000),
    };
    assert!(
        matches!(&result, Err(NotCommitted::Behind(found)) if *found == behind),
        "{result:?}"
    );
    assert!(!is_written);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_every_process_refuses_is_reported_as_refused() {
    let silent = || Arc::new(Silent(MemoryStore::new()));
    let (result, is_written) = committed(silent(), 10_001).await;
    assert!(result.is_ok() && is_written, "{result:?}");
    let (result, is_written) = committed(silent(), 10_000).await;
    assert!(
        matches!(result, Err(NotCommitted::Outdated { unseen: 10_001 })),
        "{result:?}"
    );
    assert!(is_written);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_follow_the_store_decides_no_write() {
    let script = Script::new();
    let replica = script.follow(3, vec![]).await;
    let basis = Basis {
        incarnation: BORN,
        generation: 3,
    };
    let at = |incarnation, newest| Position {
        incarnation,
        newest: Some(Revision(newest)),
    };
    assert_eq!(replica.check_recent(basis, at(BORN, 3)), Ok(()));
    let gone_back = replica.check_recent(basis, at(BORN, 2));
    assert_eq!(gone_back, Err(Behind::OtherIncarnation));
    let other = at(Incarnation(8), 3);
    assert_eq!(
        replica.check_recent(basis, other),
        Err(Behind::OtherIncarnation)
    );
    script.send(WatchEvent::Lost);
    until(&replica, |health| health.state == ReplicaState::Lost).await;
    let seen = Revision(3);
    assert_eq!(
        replica.check_recent(basis, at(BORN, 3)),
        Err(Behind::NotFollowing { seen })
    );
    drop(script);
    until(&replica, |health| health.state == ReplicaState::Closed).await;
    assert_eq!(
        replica.check_recent(basis, at(BORN, 3)),
        Err(Behind::Closed)
    );
}
