//! The replica over a store whose events are scripted.

mod lost;
mod readers;
mod removed;
mod untrusted;
#[cfg(feature = "apps")]
mod writers;

use super::*;
use crate::{
    auth::{Auth, LatticeKey},
    link::{Link, LinkReports, LinkStatus},
    name::{HostId, LatticeName},
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Revision, Store, StoreKey, StoreWatch,
        WatchEvent,
    },
};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
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
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        let events = self.0.lock().expect("not poisoned").take();
        Box::pin(async {
            let events = events.ok_or_else(|| StoreError::Unavailable("watched before".into()))?;
            Ok(StoreWatch::new(stream::unfold(
                events,
                async |mut events| events.recv().await.map(|event| (event, events)),
            )))
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

    fn send(&self, event: WatchEvent) {
        self.events
            .send(event)
            .expect("the replica receives events");
    }

    fn snapshot(&self, incarnation: Incarnation, revision: u64, entries: Vec<Entry>) {
        self.send(WatchEvent::Snapshot {
            incarnation,
            revision: Revision(revision),
            entries,
        });
    }

    fn delete(&self, link: &Link, revision: u64) {
        self.send(WatchEvent::Delete {
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

async fn until(replica: &Replica, holds: impl Fn(&ReplicaHealth) -> bool) -> ReplicaHealth {
    let mut health = replica.shared.health.subscribe();
    let found = tokio::time::timeout(Duration::from_secs(5), health.wait_for(holds)).await;
    found.expect("in time").expect("it lives")
}

#[tokio::test(start_paused = true)]
async fn the_table_contains_the_snapshot_and_later_changes() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(4, vec![script.entry(&a, 2, 1)]).await;
    assert!(grants(&replica, &a) && !grants(&replica, &b));
    script.send(WatchEvent::Put(script.entry(&b, 5, 4)));
    script.delete(&a, 6);
    seen(&replica, 6).await;
    assert!(!grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.health().state, ReplicaState::Following);
    assert_eq!(replica.links().by_target(&b.target).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_only_for_its_own_revision() {
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
    script.send(WatchEvent::Put(entry(key.clone(), 2, value)));
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
    script.send(WatchEvent::Put(script.entry(&a, 3, 2)));
    seen(&replica, 3).await;
    assert_eq!(status(), LinkStatus::Pending);
    script.send(WatchEvent::Put(entry(key, 4, "garbage")));
    seen(&replica, 4).await;
    assert_eq!(replica.health().refused, 1);
}
