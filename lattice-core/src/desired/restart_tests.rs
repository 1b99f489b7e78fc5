//! Processes that start from the last snapshot of an earlier one.

use super::Desired;
use crate::{
    auth::Auth,
    name::{ComponentId, LatticeName},
    replica::{Replica, ReplicaState},
    store::{
        Expect, LastKnown, MemoryStore, Op, Revision, Store as _, StoreKey, disk::Snapshot,
        record::Records,
    },
};
use bytes::Bytes;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// A store, and the file in which processes keep their last snapshot, one after the other.
struct Fixture {
    store: MemoryStore,
    records: Records,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = MemoryStore::new();
        Self {
            records: Records::new(Arc::new(store.clone()), Auth::trusting()),
            store,
            path: folder.path().join("last"),
            _folder: folder,
        }
    }

    /// Starts the next process. The one before must have ended.
    async fn start(&self) -> Replica {
        let name = LatticeName::new("dev").expect("valid");
        let snapshot = Snapshot::open(&self.path, &name, &Auth::trusting()).await;
        let last: Arc<dyn LastKnown> = Arc::new(snapshot.expect("it opens"));
        let replica = Replica::follow_from(self.records.clone(), Some(last)).await;
        replica.expect("it starts")
    }

    async fn write(&self, op: Op) -> Revision {
        self.store.commit(vec![op]).await.expect("in reach")
    }

    async fn put(&self, key: &StoreKey, generation: u64, image: &str) -> Revision {
        let life = self.store.incarnation().await.expect("in reach");
        let body = format!("{{\"image\":\"reg.example/{image}\"}}");
        let value = self.records.encode(life, key, generation, body.as_str());
        let value = value.expect("encodes");
        self.write(Op::put(key.clone(), value, Expect::Any)).await
    }

    async fn value(&self, key: &StoreKey) -> Bytes {
        let entry = self.store.read(key.clone()).await.expect("in reach");
        entry.expect("there").value
    }
}

fn actor(id: &str) -> (ComponentId, StoreKey) {
    let id = ComponentId::new(id).expect("valid");
    let key = StoreKey::actor(&id);
    (id, key)
}

/// Waits until the replica has seen a revision.
async fn sees(replica: &Replica, revision: Revision) -> Arc<Desired> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while replica.health().revision < revision || !replica.health().state.is_live() {
        assert!(Instant::now() < deadline, "{:?}", replica.health());
        sleep(Duration::from_millis(1)).await;
    }
    replica.desired()
}

fn images(desired: &Desired) -> Vec<String> {
    let actors = desired.actors.values();
    actors.map(|actor| actor.spec.image.to_string()).collect()
}

#[tokio::test]
async fn a_record_that_was_removed_without_the_key_stays_in_effect_after_a_restart() {
    let fixture = Fixture::new();
    let (id, key) = actor("a");
    let written = fixture.put(&key, 0, "a:1").await;
    let replica = fixture.start().await;
    let before = images(&replica.desired());
    assert_eq!(before.len(), 1);
    let removed = fixture.write(Op::delete(key.clone(), Expect::Any)).await;
    let desired = sees(&replica, removed).await;
    assert!(desired.unreadable[&key].is_absent);
    assert_eq!(images(&desired), before);
    drop((desired, replica));

    for _ in 0..2 {
        let replica = fixture.start().await;
        let desired = sees(&replica, removed).await;
        assert!(desired.unreadable[&key].is_absent, "{desired:?}");
        assert_eq!(desired.actors[&id].revision, written);
        assert_eq!(images(&desired), before);
    }

    fixture.store.disconnect();
    let replica = fixture.start().await;
    let state = replica.health().state;
    assert!(matches!(state, ReplicaState::Snapshot { .. }), "{state:?}");
    assert_eq!(images(&replica.desired()), before);
    fixture.store.reconnect();
    let desired = sees(&replica, removed).await;
    assert!(desired.unreadable[&key].is_absent, "{desired:?}");
    assert_eq!(images(&desired), before);

    // A deletion ends it, also for the next process.
    let life = fixture.store.incarnation().await.expect("in reach");
    let deletion = fixture.records.deletion(life, key, removed.0, Expect::Any);
    let deleted = fixture.write(deletion).await;
    let desired = sees(&replica, deleted).await;
    assert!(desired.actors.is_empty() && desired.unreadable.is_empty());
    drop((desired, replica));
    let desired = sees(&fixture.start().await, deleted).await;
    assert!(desired.actors.is_empty() && desired.unreadable.is_empty());
}

#[tokio::test]
async fn a_record_that_was_spoiled_while_no_process_ran_stays_in_effect() {
    let fixture = Fixture::new();
    let ((_, gone), (_, spoiled), (_, replayed)) = (actor("a"), actor("b"), actor("c"));
    for key in [&gone, &spoiled, &replayed] {
        fixture.put(key, 0, "a:1").await;
    }
    let old = fixture.value(&replayed).await;
    let last = fixture.put(&replayed, 3, "c:2").await;
    let replica = fixture.start().await;
    let desired = sees(&replica, last).await;
    let before = images(&desired);
    drop((desired, replica));
    fixture.write(Op::delete(gone.clone(), Expect::Any)).await;
    let garbage = Op::put(spoiled.clone(), "garbage", Expect::Any);
    fixture.write(garbage).await;
    let last = fixture
        .write(Op::put(replayed.clone(), old, Expect::Any))
        .await;
    for _ in 0..3 {
        let replica = fixture.start().await;
        let desired = sees(&replica, last).await;
        assert_eq!(images(&desired), before);
        let unreadable = desired.unreadable.keys();
        assert!(unreadable.eq([&gone, &spoiled, &replayed]), "{desired:?}");
    }
}
