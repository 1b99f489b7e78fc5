//! Stores that were away, went back, or were created again.

use super::*;
use crate::{link::LinkChange, store::MemoryStore};
use std::time::SystemTime;

#[tokio::test(start_paused = true)]
async fn a_link_repeated_by_a_snapshot_is_not_a_replay() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let before = replica.snapshot();
    script.send(WatchEvent::Lost);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut health = replica.shared.health.subscribe();
    let lost = health.wait_for(|health| health.state == ReplicaState::Lost);
    tokio::time::timeout_at(deadline, lost)
        .await
        .expect("reported")
        .expect("lives");
    assert!(grants(&replica, &a), "known links stay");
    script.snapshot(BORN, 9, vec![script.entry(&a, 1, 0)]);
    seen(&replica, 9).await;
    assert!(grants(&replica, &a));
    assert_eq!(replica.health().refused, 0);
    assert!(before.diff(&replica.links()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn links_missing_from_a_rolled_back_store_are_held_until_they_are_written_or_deleted() {
    let script = Script::new();
    let (a, b, c, d) = (
        link("a", "x"),
        link("b", "x"),
        link("c", "x"),
        link("d", "x"),
    );
    let entries = [(&a, 3), (&b, 9), (&c, 4), (&d, 8)];
    let entries = entries.map(|(link, revision)| script.entry(link, revision, revision - 1));
    let replica = script.follow(9, entries.to_vec()).await;
    script.snapshot(BORN, 5, vec![script.entry(&a, 3, 2)]);
    let health = until(&replica, |health| health.rewound == 1).await;
    assert_eq!(
        (health.state, health.held),
        (ReplicaState::StoreWentBack, 2)
    );
    assert!(grants(&replica, &a) && grants(&replica, &b) && grants(&replica, &d));
    assert!(
        !grants(&replica, &c),
        "the store has contained it, and has removed it"
    );

    // Other writes have raised the revision, after an outage: the held links were not deleted.
    script.send(WatchEvent::Lost);
    script.snapshot(BORN, 20, vec![script.entry(&a, 3, 2)]);
    seen(&replica, 20).await;
    assert_eq!(replica.health().held, 2);
    script.delete(&b, 21);
    seen(&replica, 21).await;
    assert!(!grants(&replica, &b), "it was deleted by an operator");
    script.send(WatchEvent::Put(script.entry(&d, 22, 21)));
    seen(&replica, 22).await;
    let health = replica.health();
    assert_eq!((health.state, health.held), (ReplicaState::Following, 0));
    script.delete(&d, 23);
    seen(&replica, 23).await;
    script.send(WatchEvent::Lost);
    script.snapshot(BORN, 24, vec![script.entry(&a, 3, 2)]);
    seen(&replica, 24).await;
    let left: Vec<_> = replica
        .links()
        .entries()
        .map(|entry| entry.link.clone())
        .collect();
    assert_eq!(left, [Arc::new(a)], "deleted links don't return");
}

#[tokio::test(start_paused = true)]
async fn links_missing_from_a_recreated_store_are_held_unless_their_keys_contain_other_values() {
    const RECREATED: Incarnation = Incarnation(8);
    let script = Script::new();
    let (a, b, c, d) = (
        link("a", "x"),
        link("b", "x"),
        link("c", "x"),
        link("d", "x"),
    );
    let entries = [(&a, 3), (&b, 9), (&c, 4), (&d, 5)];
    let entries = entries.map(|(link, revision)| script.entry(link, revision, revision - 1));
    let replica = script.follow(9, entries.to_vec()).await;
    let before = replica.snapshot();
    // In the new incarnation revisions start again, and values of the old one are invalid.
    script.snapshot(RECREATED, 1, vec![script.entry(&d, 1, 2)]);
    let health = until(&replica, |health| health.recreated == 1).await;
    assert_eq!(
        (health.state, health.held),
        (ReplicaState::StoreReplaced, 3)
    );
    assert_eq!(health.refused, 1);
    assert!(!grants(&replica, &d));
    let changes = before.diff(&replica.links());
    assert!(
        matches!(&changes[..], [LinkChange::Removed(entry)] if *entry.link == d),
        "held links cause no changes: {changes:?}"
    );
    assert!(replica.links().is_held(&a.key()));

    let key = key_of(&a);
    let value = script
        .records
        .encode(RECREATED, &key, 1, &a)
        .expect("encodes");
    script.send(WatchEvent::Put(entry(key, 2, value.clone())));
    seen(&replica, 2).await;
    assert!(grants(&replica, &a) && !replica.links().is_held(&a.key()));
    // The first store is back. Links that it lacks were deleted there. It never contained those
    // that were put meanwhile.
    script.snapshot(BORN, 12, vec![script.entry(&b, 9, 8)]);
    let health = until(&replica, |health| health.recreated == 2).await;
    assert_eq!(
        (health.state, health.held),
        (ReplicaState::StoreReplaced, 1)
    );
    assert!(grants(&replica, &a) && grants(&replica, &b));
    assert!(
        !grants(&replica, &c),
        "deleted while another store was in use"
    );

    replica.accept();
    let health = until(&replica, |health| health.held == 0).await;
    assert_eq!(health.state, ReplicaState::Following);
    assert!(!grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.links().by_target(&a.target).count(), 1);
}

/// The snapshot that an earlier process saved.
#[derive(Debug)]
struct Left {
    snapshot: WatchEvent,
    noted: Mutex<Vec<WatchEvent>>,
}

impl LastKnown for Left {
    fn snapshot(&self) -> Option<(SystemTime, WatchEvent)> {
        Some((SystemTime::UNIX_EPOCH, self.snapshot.clone()))
    }
    fn incarnation(&self) -> Option<Incarnation> {
        None
    }
    fn entry(&self, _: &StoreKey) -> Option<Entry> {
        None
    }
    fn note(&self, event: &WatchEvent) {
        self.noted.lock().expect("not poisoned").push(event.clone());
    }
    fn hosts(&self) -> Option<Bytes> {
        None
    }
    fn note_hosts(&self, _: Bytes) {}
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unavailable_at_start_is_followed_when_it_returns() {
    let store = MemoryStore::new();
    let life = store.incarnation().await.expect("in reach");
    let records = Records::new(Arc::new(store.clone()), keyed("ours"));
    let (a, b) = (link("a", "x"), link("b", "x"));
    let mut entries = Vec::new();
    for link in [&a, &b] {
        let key = key_of(link);
        let value = records.encode(life, &key, 0, link).expect("encodes");
        let op = Op::put(key.clone(), value.clone(), Expect::Absent);
        let revision = store.commit(vec![op]).await.expect("in reach");
        entries.push(Entry {
            key,
            value,
            revision,
        });
    }
    // One of the links that the earlier process knew was deleted since.
    store
        .commit(vec![Op::delete(key_of(&b), Expect::Any)])
        .await
        .expect("in reach");
    entries.push(entry(key_of(&link("c", "x")), 2, "forged"));
    let snapshot = WatchEvent::Snapshot {
        incarnation: life,
        revision: Revision(2),
        entries,
    };
    let left = Arc::new(Left {
        snapshot,
        noted: Mutex::default(),
    });

    store.disconnect();
    let start = Instant::now();
    let replica = Replica::follow_from(records.clone(), Some(left.clone()))
        .await
        .expect("the snapshot isn't empty");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let taken = SystemTime::UNIX_EPOCH;
    assert_eq!(replica.health().state, ReplicaState::Snapshot { taken });
    assert!(grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.health().refused, 1);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(replica.health().state, ReplicaState::Snapshot { taken });
    assert!(left.noted.lock().expect("not poisoned").is_empty());

    store.reconnect();
    let health = until(&replica, |health| health.state == ReplicaState::Following).await;
    assert_eq!((health.held, health.recreated, health.rewound), (0, 0, 0));
    assert!(
        grants(&replica, &a) && !grants(&replica, &b),
        "it was deleted meanwhile"
    );
    let noted = left.noted.lock().expect("not poisoned").len();
    assert_eq!(
        noted, 1,
        "the state of the store is saved for the next process"
    );

    store.disconnect();
    let without = Replica::follow_from(records, None).await;
    assert!(matches!(without, Err(FollowError::Store(_))), "{without:?}");
}
