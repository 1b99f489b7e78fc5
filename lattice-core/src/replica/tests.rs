//! The replica over a store whose events are scripted.

use super::*;
use crate::{
    auth::{Auth, LatticeKey},
    link::{Link, LinkChange, LinkReports, LinkStatus},
    name::{HostId, LatticeName},
    store::{CommitError, Entry, Expect, MemoryStore, Op, Store, StoreKey, Watch},
};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use proptest::prelude::*;
use std::sync::Mutex;
use tokio::{sync::mpsc, time::Instant};

const BORN: Incarnation = Incarnation(7);

/// A store that can only be watched, and delivers scripted events.
#[derive(Debug)]
struct Scripted(Mutex<Option<mpsc::UnboundedReceiver<WatchEvent>>>);

impl Store for Scripted {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async { Ok(BORN) })
    }
    fn read(&self, _: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
    fn commit(&self, _: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Err(CommitError::Unknown) })
    }
    fn lease(
        &self,
        _: StoreKey,
        _: Bytes,
        _: Duration,
        _: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Err(CommitError::Unknown) })
    }
    fn watch(&self) -> BoxFuture<'_, Result<Watch, StoreError>> {
        let events = self.0.lock().expect("not poisoned").take();
        Box::pin(async {
            let events = events.ok_or_else(|| StoreError::Unavailable("watched before".into()))?;
            Ok(Watch::new(stream::unfold(events, async |mut events| {
                events.recv().await.map(|event| (event, events))
            })))
        })
    }
}

struct Script {
    events: mpsc::UnboundedSender<WatchEvent>,
    records: Records,
}

impl Script {
    fn new() -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let store = Arc::new(Scripted(Mutex::new(Some(receiver))));
        Self {
            events,
            records: Records::new(store, keyed("ours")),
        }
    }

    async fn follow(&self, revision: u64, entries: Vec<Entry>) -> Replica {
        self.snapshot(BORN, revision, entries);
        Replica::follow(self.records.clone())
            .await
            .expect("a snapshot waits")
    }

    fn say(&self, event: WatchEvent) {
        self.events.send(event).expect("the replica listens");
    }

    fn snapshot(&self, incarnation: Incarnation, revision: u64, entries: Vec<Entry>) {
        self.say(WatchEvent::Snapshot {
            incarnation,
            revision: Revision(revision),
            entries,
        });
    }

    fn delete(&self, link: &Link, revision: u64) {
        self.say(WatchEvent::Delete {
            key: key_of(link),
            revision: Revision(revision),
        });
    }

    fn entry(&self, link: &Link, revision: u64, generation: u64) -> Entry {
        let key = key_of(link);
        let value = self
            .records
            .encode(BORN, &key, generation, link)
            .expect("encodes");
        entry(key, revision, value)
    }
}

fn keyed(lattice: &str) -> Auth {
    let key = LatticeKey::from_hex(&"ab".repeat(32)).expect("a key");
    Auth::keyed(&LatticeName::new(lattice).expect("a name"), &key)
}

fn entry(key: StoreKey, revision: u64, value: impl Into<Bytes>) -> Entry {
    Entry {
        key,
        value: value.into(),
        revision: Revision(revision),
    }
}

fn link(source: &str, target: &str) -> Link {
    Link::new(source, "a:b/c@0.2.0", target).expect("valid")
}

fn key_of(link: &Link) -> StoreKey {
    StoreKey::link(&link.source, &link.interface, &link.name)
}

/// Waits until the replica has seen this revision.
async fn seen(replica: &Replica, revision: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let has_seen = |table: &LinkTable| table.revision() >= Revision(revision);
    assert!(
        replica.until(deadline, has_seen).await,
        "revision {revision} is not seen"
    );
}

fn grants(replica: &Replica, link: &Link) -> bool {
    replica
        .links()
        .entry(&link.key())
        .is_some_and(|entry| *entry.link == *link)
}

#[tokio::test(start_paused = true)]
async fn what_the_store_holds_and_then_says_is_in_the_table() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(4, vec![script.entry(&a, 2, 1)]).await;
    assert!(grants(&replica, &a) && !grants(&replica, &b));
    script.say(WatchEvent::Put(script.entry(&b, 5, 4)));
    script.delete(&a, 6);
    seen(&replica, 6).await;
    assert!(!grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.health().state, ReplicaState::Following);
    assert_eq!(replica.links().by_target(&b.target).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn forged_garbled_and_copied_values_grant_nothing_and_are_counted() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let good = script.entry(&a, 1, 0);
    let theirs = Records::new(script.records.store().clone(), keyed("theirs"));
    let forged = theirs.encode(BORN, &key_of(&b), 5, &b).expect("encodes");
    let wrong_link = script
        .records
        .encode(BORN, &key_of(&b), 6, &a)
        .expect("encodes");
    let other_life = script
        .records
        .encode(Incarnation(8), &key_of(&b), 7, &b)
        .expect("encodes");
    let mut cut = script.entry(&b, 0, 8).value.to_vec();
    cut.pop();
    let bad: Vec<Bytes> = vec![
        forged,
        good.value.clone(),
        wrong_link,
        other_life,
        cut.into(),
        Bytes::new(),
        Bytes::from_static(b"{\"json\": true}"),
    ];
    let refused = bad.len() as u64;
    let replica = script.follow(1, vec![good]).await;
    for (n, value) in bad.into_iter().enumerate() {
        let revision = 10 + n as u64;
        script.say(WatchEvent::Put(entry(key_of(&b), revision, value)));
        seen(&replica, revision).await;
        assert!(!grants(&replica, &b), "{n}");
        assert_eq!(replica.health().refused, 1 + n as u64);
    }
    script.say(WatchEvent::Put(script.entry(&b, 50, 40)));
    seen(&replica, 50).await;
    assert!(grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.health().refused, refused);
}

#[tokio::test(start_paused = true)]
async fn a_store_in_which_nothing_but_others_values_stands_has_another_key() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let theirs = Records::new(script.records.store().clone(), keyed("theirs"));
    let forged = |link, revision| {
        let value = theirs.encode(BORN, &key_of(link), revision, link);
        entry(key_of(link), revision, value.expect("encodes"))
    };
    let replica = script.follow(1, vec![forged(&a, 1)]).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 1 }));
    script.say(WatchEvent::Put(forged(&b, 2)));
    script.say(WatchEvent::Put(forged(&b, 3)));
    seen(&replica, 3).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 2 }));
    // Noise does not count as written with another key.
    script.say(WatchEvent::Put(entry(key_of(&b), 4, "noise")));
    seen(&replica, 4).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 1 }));
    script.delete(&a, 5);
    seen(&replica, 5).await;
    assert_eq!(replica.check_key(), Ok(()));
    script.snapshot(BORN, 6, vec![forged(&a, 6)]);
    seen(&replica, 6).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 1 }));
    // Once a value with this key was seen, values with another key don't count until the store is
    // another one.
    script.say(WatchEvent::Put(script.entry(&b, 7, 6)));
    script.delete(&b, 8);
    seen(&replica, 8).await;
    assert_eq!(replica.check_key(), Ok(()));
    let life = Incarnation(BORN.0 + 1);
    script.snapshot(life, 1, vec![forged(&a, 1)]);
    let mut health = replica.shared.health.subscribe();
    let told = health.wait_for(|health| health.other_key == 1);
    tokio::time::timeout(Duration::from_secs(5), told)
        .await
        .expect("told")
        .expect("lives");
}

#[tokio::test(start_paused = true)]
async fn a_link_overwritten_by_garbage_is_gone() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    script.say(WatchEvent::Put(entry(key_of(&a), 2, "garbage")));
    seen(&replica, 2).await;
    assert!(!grants(&replica, &a));
    // A replay of the last good value is refused.
    script.say(WatchEvent::Put(script.entry(&a, 3, 0)));
    seen(&replica, 3).await;
    assert!(!grants(&replica, &a));
    script.say(WatchEvent::Put(script.entry(&a, 4, 3)));
    seen(&replica, 4).await;
    assert!(grants(&replica, &a));
}

#[tokio::test(start_paused = true)]
async fn an_older_value_of_the_same_key_can_not_be_played_again() {
    let script = Script::new();
    let (old, new) = (link("a", "x"), link("a", "y"));
    let replica = script.follow(1, vec![script.entry(&old, 1, 0)]).await;
    script.say(WatchEvent::Put(script.entry(&new, 2, 1)));
    seen(&replica, 2).await;
    assert!(grants(&replica, &new));
    // Replayed over the new value, after a deletion, and while the watch was away.
    script.say(WatchEvent::Put(script.entry(&old, 3, 0)));
    seen(&replica, 3).await;
    assert!(!grants(&replica, &old) && !grants(&replica, &new));
    script.delete(&old, 4);
    script.say(WatchEvent::Put(script.entry(&new, 5, 1)));
    seen(&replica, 5).await;
    assert!(!grants(&replica, &new));
    script.say(WatchEvent::Lost);
    script.snapshot(BORN, 6, vec![script.entry(&new, 6, 1)]);
    seen(&replica, 6).await;
    assert!(!grants(&replica, &new));
    assert_eq!(replica.health().refused, 3);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_a_snapshot_brings_again_is_no_replay() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let before = replica.snapshot();
    script.say(WatchEvent::Lost);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut health = replica.shared.health.subscribe();
    let lost = health.wait_for(|health| health.state == ReplicaState::Lost);
    tokio::time::timeout_at(deadline, lost)
        .await
        .expect("told")
        .expect("lives");
    assert!(grants(&replica, &a), "what is known stays");
    script.snapshot(BORN, 9, vec![script.entry(&a, 1, 0)]);
    seen(&replica, 9).await;
    assert!(grants(&replica, &a));
    assert_eq!(replica.health().refused, 0);
    assert!(before.diff(&replica.links()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_store_that_went_back_lacks_is_held_until_something_is_said_of_it() {
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
        "the store has seen it, and not any more"
    );

    // Other writes have raised the revision, after an outage: the held links were not deleted.
    script.say(WatchEvent::Lost);
    script.snapshot(BORN, 20, vec![script.entry(&a, 3, 2)]);
    seen(&replica, 20).await;
    assert_eq!(replica.health().held, 2);
    script.delete(&b, 21);
    seen(&replica, 21).await;
    assert!(!grants(&replica, &b), "an operator deleted it");
    script.say(WatchEvent::Put(script.entry(&d, 22, 21)));
    seen(&replica, 22).await;
    let health = replica.health();
    assert_eq!((health.state, health.held), (ReplicaState::Following, 0));
    script.delete(&d, 23);
    seen(&replica, 23).await;
    script.say(WatchEvent::Lost);
    script.snapshot(BORN, 24, vec![script.entry(&a, 3, 2)]);
    seen(&replica, 24).await;
    let left: Vec<_> = replica
        .links()
        .entries()
        .map(|entry| entry.link.clone())
        .collect();
    assert_eq!(left, [Arc::new(a)], "what was deleted does not come back");
}

#[tokio::test(start_paused = true)]
async fn what_a_store_made_anew_lacks_is_held_and_what_it_refuses_is_not() {
    const ANEW: Incarnation = Incarnation(8);
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
    script.snapshot(ANEW, 1, vec![script.entry(&d, 1, 2)]);
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
        "who serves a held link hears of nothing: {changes:?}"
    );
    assert!(replica.links().is_held(&a.key()));

    let key = key_of(&a);
    let value = script.records.encode(ANEW, &key, 1, &a).expect("encodes");
    script.say(WatchEvent::Put(entry(key, 2, value.clone())));
    seen(&replica, 2).await;
    assert!(grants(&replica, &a) && !replica.links().is_held(&a.key()));
    // The first store is back. Links that it lacks were deleted there; it does not know those that
    // were put meanwhile.
    script.snapshot(BORN, 12, vec![script.entry(&b, 9, 8)]);
    let health = until(&replica, |health| health.recreated == 2).await;
    assert_eq!(
        (health.state, health.held),
        (ReplicaState::StoreReplaced, 1)
    );
    assert!(grants(&replica, &a) && grants(&replica, &b));
    assert!(
        !grants(&replica, &c),
        "deleted while another store was there"
    );

    replica.accept();
    let health = until(&replica, |health| health.held == 0).await;
    assert_eq!(health.state, ReplicaState::Following);
    assert!(!grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.links().by_target(&a.target).count(), 1);
}

/// The copy that an earlier process left.
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
async fn a_store_that_is_away_at_the_start_is_followed_when_it_is_back() {
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
        .expect("something is known");
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
        "deleted meanwhile"
    );
    let noted = left.noted.lock().expect("not poisoned").len();
    assert_eq!(noted, 1, "what the store says is kept for the next process");

    store.disconnect();
    let without = Replica::follow_from(records, None).await;
    assert!(matches!(without, Err(FollowError::Store(_))), "{without:?}");
}

async fn until(replica: &Replica, holds: impl Fn(&ReplicaHealth) -> bool) -> ReplicaHealth {
    let mut health = replica.shared.health.subscribe();
    let found = tokio::time::timeout(Duration::from_secs(5), health.wait_for(holds)).await;
    *found.expect("in time").expect("it lives")
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_revision_comes_and_not_later_than_its_bounds() {
    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let start = Instant::now();
    let hour = start + Duration::from_hours(1);
    assert_eq!(replica.wait_for(BORN, Revision(1), start).await, Ok(()));
    assert_eq!(
        replica.wait_for(Incarnation(6), Revision(99), start).await,
        Ok(())
    );
    assert_eq!(start.elapsed(), Duration::ZERO);

    let not_yet = Err(Behind::NotYet {
        seen: Revision(1),
        wanted: Revision(2),
    });
    assert_eq!(replica.wait_for(BORN, Revision(2), hour).await, not_yet);
    assert_eq!(start.elapsed().as_millis(), MAX_WAIT.as_millis());
    let soon = Instant::now() + Duration::from_millis(30);
    assert_eq!(replica.wait_for(BORN, Revision(2), soon).await, not_yet);
    assert_eq!(start.elapsed().as_millis(), MAX_WAIT.as_millis() + 30);
    let other = Err(Behind::OtherIncarnation);
    assert_eq!(
        replica.wait_for(Incarnation(8), Revision(1), soon).await,
        other
    );

    let wait = replica.wait_for(BORN, Revision(2), hour);
    let come = async { script.delete(&link("a", "x"), 2) };
    assert_eq!(tokio::join!(wait, come).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_and_those_that_are_dropped_make_room() {
    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let hour = Instant::now() + Duration::from_hours(1);
    let mut waiting: Vec<_> = (0..MAX_WAITERS)
        .map(|_| Box::pin(replica.wait_for(BORN, Revision(2), hour)))
        .collect();
    for wait in &mut waiting {
        assert!(wait.now_or_never().is_none());
    }
    let one_more = replica.wait_for(BORN, Revision(2), hour).await;
    assert_eq!(one_more, Err(Behind::TooManyWaiters));
    assert_eq!(
        replica.wait_for(BORN, Revision(1), hour).await,
        Ok(()),
        "nothing to wait for"
    );
    waiting.pop();
    let wait = replica.wait_for(BORN, Revision(2), hour);
    let come = async { script.delete(&link("a", "x"), 2) };
    assert_eq!(tokio::join!(wait, come).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_store_leaves_what_is_known_and_ends_waits_and_changes() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let mut changes = replica.changes();
    let wait = replica.wait_for(
        BORN,
        Revision(2),
        Instant::now() + Duration::from_millis(900),
    );
    let start = Instant::now();
    let close = async { drop(script) };
    assert_eq!(tokio::join!(wait, close).0, Err(Behind::Closed));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(grants(&replica, &a));
    assert!(matches!(changes.next().await, Some(LinkChange::Added(_))));
    assert_eq!(changes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_is_an_error_and_the_last_handle_ends_the_task() {
    let script = Script::new();
    let start = Instant::now();
    let error = Replica::follow(script.records.clone())
        .await
        .expect_err("silent");
    assert!(matches!(error, FollowError::NoSnapshot), "{error}");
    assert_eq!(start.elapsed().as_millis(), FIRST_SNAPSHOT.as_millis());

    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let clone = replica.clone();
    drop(replica);
    assert!(!script.events.is_closed());
    drop(clone);
    let gone = tokio::time::timeout(Duration::from_secs(5), script.events.closed());
    gone.await.expect("the task is gone, and its watch with it");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_changes_gets_the_last_state_of_each_link() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let mut changes = replica.changes();
    assert!(matches!(changes.next().await, Some(LinkChange::Added(entry)) if *entry.link == a));
    for n in 1..1_000 {
        script.say(WatchEvent::Put(script.entry(
            &link("a", &format!("t{n}")),
            n * 2,
            n,
        )));
        script.say(WatchEvent::Put(script.entry(&b, n * 2 + 1, n)));
    }
    script.delete(&b, 2_000);
    seen(&replica, 2_000).await;
    // The states of b in between are skipped: it is absent, as before.
    let change = changes.next().await.expect("a change");
    let LinkChange::Changed { before, after } = change else {
        panic!("{change:?}")
    };
    assert_eq!(
        (before.link.target.as_str(), after.link.target.as_str()),
        ("x", "t999")
    );
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_for_the_revision_that_it_speaks_of() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let key = StoreKey::link_status(&a.source, &a.interface, &a.name);
    let host = HostId::new("h").expect("valid");
    let reports = LinkReports::default()
        .with(Revision(1), &host, LinkStatus::Active)
        .expect("a change");
    let value = script
        .records
        .encode(BORN, &key, 1, &reports)
        .expect("encodes");
    script.say(WatchEvent::Put(entry(key.clone(), 2, value)));
    seen(&replica, 2).await;
    let status = || {
        replica
            .links()
            .entry(&a.key())
            .expect("there")
            .status
            .clone()
    };
    assert_eq!(status(), LinkStatus::Active);
    script.say(WatchEvent::Put(script.entry(&a, 3, 2)));
    seen(&replica, 3).await;
    assert_eq!(status(), LinkStatus::Pending);
    script.say(WatchEvent::Put(entry(key, 4, "garbage")));
    seen(&replica, 4).await;
    assert_eq!(replica.health().refused, 1);
}

fn any_key() -> impl Strategy<Value = StoreKey> {
    prop_oneof![
        Just(key_of(&link("a", "x"))),
        Just(StoreKey::link_status(
            &link("a", "x").source,
            &link("a", "x").interface,
            &link("a", "x").name
        )),
        "[a-z.=0-9]{0,40}".prop_map(|text| StoreKey::from_store(&text)),
        "(link|status|types|component)\\.[ -~]{0,30}".prop_map(|text| StoreKey::from_store(&text)),
    ]
}

proptest! {
    #[test]
    fn no_bytes_in_any_key_harm(
        entries in proptest::collection::vec((any_key(), proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
        at_once in any::<bool>(),
    ) {
        let script = Script::new();
        // Untagged bytes reach the decoder only without a key.
        let trusting = Records::new(script.records.store().clone(), Auth::trusting());
        for records in [script.records.clone(), trusting] {
            let mut intake = Intake::new(records, Arc::default());
            let mut table = LinkTable::default();
            let entries: Vec<Entry> = entries
                .iter()
                .enumerate()
                .map(|(n, (key, value))| {
                    let mut value = value.clone();
                    value.extend([0; 16]);
                    entry(key.clone(), n as u64 + 1, value)
                })
                .collect();
            let count = entries.len() as u64;
            let events: Vec<WatchEvent> = if at_once {
                vec![WatchEvent::Snapshot { incarnation: BORN, revision: Revision(count), entries }]
            } else {
                entries.into_iter().map(WatchEvent::Put).collect()
            };
            for event in events {
                if let Some(event) = intake.take(event) {
                    table.apply(event);
                }
            }
            prop_assert_eq!(table.revision(), Revision(count));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_closes_right_after_a_change_is_closed_with_it() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    script.say(WatchEvent::Put(script.entry(&b, 2, 0)));
    drop(script);
    until(&replica, |health| health.state == ReplicaState::Closed).await;
    assert!(grants(&replica, &a) && grants(&replica, &b));
}
