//! Files that another program wrote, and a database that fails.

use super::*;
use redb::{Database, TableDefinition};

fn lattice() -> LatticeName {
    LatticeName::new("dev").expect("a name")
}

fn put(name: &str, value: &str) -> Vec<Op> {
    vec![Op::put(
        StoreKey::for_test(name),
        value.to_owned(),
        Expect::Any,
    )]
}

/// Returns a store's file after `change` was made to its database.
async fn changed(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    drop(
        DiskStore::open(path, &lattice())
            .await
            .expect("a new store"),
    );
    write(path, change);
}

fn write(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(path).expect("a database");
    let transaction = database.begin_write().expect("begun");
    change(&transaction);
    transaction.commit().expect("written");
}

#[tokio::test]
async fn a_file_of_another_format_returns_its_own_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    changed(&path, |transaction| {
        let numbers = TableDefinition::<&str, u64>::new("numbers");
        let mut numbers = transaction.open_table(numbers).expect("the table");
        numbers.insert("format", 2).expect("written");
    })
    .await;
    let error = DiskStore::open(&path, &lattice())
        .await
        .expect_err("a newer format");
    assert!(
        matches!(&error, OpenError::OtherFormat { found: 2, known: 1, path: at } if *at == path),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_invalid_entry_is_reported_as_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    changed(&path, |transaction| {
        let slots = TableDefinition::<&str, &[u8]>::new("slots");
        let mut slots = transaction.open_table(slots).expect("the table");
        slots.insert("test.a", &b"?"[..]).expect("written");
    })
    .await;
    let error = DiskStore::open(&path, &lattice())
        .await
        .expect_err("damage");
    assert!(
        matches!(&error, OpenError::Damaged { source, .. } if source.to_string().contains("test.a")),
        "{error:?}"
    );
}

#[tokio::test]
async fn another_programs_database_is_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("theirs");
    let theirs = TableDefinition::<&str, u64>::new("theirs");
    write(&path, |transaction| {
        let mut table = transaction.open_table(theirs).expect("a table");
        table.insert("a", 1).expect("written");
    });
    // A table of the same name and of another type.
    let similar = folder.path().join("similar");
    write(&similar, |transaction| {
        let numbers = TableDefinition::<u64, u64>::new("numbers");
        transaction.open_table(numbers).expect("a table");
    });
    for path in [path, similar] {
        let error = DiskStore::open(&path, &lattice())
            .await
            .expect_err("theirs");
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
    }
}

/// The state after an error of the disk: the journal is gone but the file is not.
#[tokio::test]
async fn after_a_failure_the_file_shows_whether_an_uncertain_commit_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = DiskStore::open(&path, &lattice()).await.expect("opened");
    let mut revision = store.commit(put("a", "0")).await.expect("written");
    for (round, arrives) in [(1, true), (2, false)] {
        let shared = Arc::clone(&store.0);
        tokio::task::spawn_blocking(move || {
            let mut place = shared.journal.lock();
            let commit = shared.held.lock().begin(put("a", &round.to_string()), None);
            let commit = commit.expect("possible");
            if arrives {
                let journal = place.as_ref().expect("open");
                journal.append(&commit.batch).expect("written");
            }
            *place = None;
            let now = Instant::now();
            shared.end(|held| held.doubt(commit, "test".to_owned(), now + RETRY));
        })
        .await
        .expect("no panic");
        let refused = store.read(StoreKey::for_test("a")).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        // A write does not wait for the next attempt.
        let written = store.commit(put("b", "")).await.expect("it is back");
        revision.0 += if arrives { 2 } else { 1 };
        assert_eq!(written, revision);
        let entry = store
            .read(StoreKey::for_test("a"))
            .await
            .expect("it is back");
        assert_eq!(entry.expect("written").value, "1");
    }
    drop(store);
    let store = DiskStore::open(&path, &lattice()).await.expect("opened");
    let entry = store.read(StoreKey::for_test("a")).await.expect("in reach");
    assert_eq!(entry.expect("written").value, "1");
}

/// A watch reopens a store without any write.
#[tokio::test]
async fn a_store_whose_file_was_opened_by_another_process_returns_an_error() {
    use futures_util::StreamExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = DiskStore::open(&path, &lattice()).await.expect("opened");
    let mut watch = store.watch().await.expect("in reach");
    watch.next().await.expect("a snapshot");
    let fail = |store: &DiskStore| {
        let mut place = store.0.journal.lock();
        let commit = store
            .0
            .held
            .lock()
            .begin(put("a", "1"), None)
            .expect("possible");
        *place = None;
        let now = Instant::now();
        store
            .0
            .end(|held| held.doubt(commit, "test".to_owned(), now));
    };
    fail(&store);
    let lost = watch.next().await.expect("the watch continues");
    assert_eq!(lost, crate::store::WatchEvent::Lost);
    let back = watch.next().await.expect("the watch continues");
    assert!(
        matches!(back, crate::store::WatchEvent::Snapshot { .. }),
        "{back:?}"
    );

    fail(&store);
    drop(
        DiskStore::open(&path, &lattice())
            .await
            .expect("it is free"),
    );
    let refused = store.commit(put("a", "2")).await.expect_err("not ours");
    assert!(refused.to_string().contains("another process"), "{refused}");
}

mod last_known {
    use super::{super::Snapshot, *};
    use crate::{
        auth::{Auth, LatticeKey},
        store::{LastKnown as _, MemoryStore, WatchEvent, record::Records},
    };

    const BORN: Incarnation = Incarnation(7);

    fn auth(key: u8) -> Auth {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        Auth::keyed(&lattice(), &key)
    }

    fn entry(name: &str, life: Incarnation, revision: u64) -> Entry {
        entry_at(StoreKey::for_test(name), life, revision)
    }

    fn entry_at(key: StoreKey, life: Incarnation, revision: u64) -> Entry {
        let records = Records::new(Arc::new(MemoryStore::new()), auth(1));
        let name = key.as_str().to_owned();
        Entry {
            value: records
                .encode(life, &key, revision, &name)
                .expect("encodes"),
            key,
            revision: Revision(revision),
        }
    }

    fn all(life: Incarnation, revision: u64, entries: Vec<Entry>) -> WatchEvent {
        WatchEvent::Snapshot {
            incarnation: life,
            revision: Revision(revision),
            entries,
        }
    }

    async fn open(path: &Path, key: u8) -> Snapshot {
        let opened = Snapshot::open(path, &lattice(), &auth(key)).await;
        opened.expect("it opens")
    }

    async fn found(path: &Path) -> WatchEvent {
        open(path, 1).await.snapshot().expect("taken").1
    }

    #[tokio::test]
    async fn the_next_process_reads_the_last_snapshot() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        assert_eq!(snapshot.snapshot(), None, "the snapshot is empty");
        assert_eq!(snapshot.incarnation(), None);
        let (a, b, c) = (
            entry("a", BORN, 2),
            entry("b", BORN, 3),
            entry("c", BORN, 6),
        );
        let mut forged = entry("forged", Incarnation(1), 4);
        snapshot.note(&all(BORN, 5, vec![a.clone(), b.clone(), forged.clone()]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 5, vec![a.clone(), b.clone()]));

        let snapshot = open(&path, 1).await;
        assert_eq!(snapshot.entry(&b.key), Some(b.clone()));
        snapshot.note(&WatchEvent::Put(c.clone()));
        snapshot.note(&WatchEvent::Delete {
            key: b.key.clone(),
            revision: Revision(7),
        });
        forged.key = a.key.clone();
        forged.revision = Revision(8);
        snapshot.note(&WatchEvent::Put(forged));
        snapshot.note(&WatchEvent::Lost);
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 8, vec![c]));

        let snapshot = open(&path, 1).await;
        let next = Incarnation(9);
        let d = entry("d", next, 1);
        snapshot.note(&all(next, 1, vec![d.clone()]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(next, 1, vec![d]));
    }

    #[tokio::test]
    async fn a_commit_is_noted_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        let (a, b) = (entry("a", BORN, 2), entry("b", BORN, 3));
        snapshot.note(&all(BORN, 2, vec![a.clone()]));
        let gone = WatchEvent::Delete {
            key: a.key.clone(),
            revision: Revision(4),
        };
        snapshot.note(&WatchEvent::Commit(vec![WatchEvent::Put(b.clone()), gone]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 4, vec![b]));
    }

    #[tokio::test]
    async fn a_spoiled_record_does_not_replace_what_was_declared() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        let declared = entry_at(StoreKey::from_store("actor.a"), BORN, 2);
        let link = StoreKey::from_store("link.a.a=3ab=2fc=400=2e2.default");
        let link = entry_at(link, BORN, 3);
        snapshot.note(&all(BORN, 3, vec![declared.clone(), link.clone()]));
        for (entry, revision) in [(&declared, 4), (&link, 5)] {
            snapshot.note(&WatchEvent::Put(Entry {
                key: entry.key.clone(),
                value: Bytes::from_static(b"garbage"),
                revision: Revision(revision),
            }));
        }
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 5, vec![declared.clone()]));
        // The same when the whole store is read again.
        let spoiled = Entry {
            value: Bytes::from_static(b"garbage"),
            revision: Revision(4),
            ..declared.clone()
        };
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 6, vec![spoiled]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 6, vec![declared.clone()]));
    }

    fn deletion(key: &StoreKey, revision: u64) -> Entry {
        let records = Records::new(Arc::new(MemoryStore::new()), auth(1));
        let op = records.deletion(BORN, key.clone(), revision, Expect::Any);
        Entry {
            key: key.clone(),
            value: op.value.expect("a value"),
            revision: Revision(revision),
        }
    }

    fn removal(key: &StoreKey, revision: u64) -> WatchEvent {
        WatchEvent::Delete {
            key: key.clone(),
            revision: Revision(revision),
        }
    }

    #[tokio::test]
    async fn a_declared_record_stays_until_its_deletion_is_in_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let declared = entry_at(StoreKey::from_store("actor.a"), BORN, 2);
        let link = StoreKey::from_store("link.a.a=3ab=2fc=400=2e2.default");
        let link = entry_at(link, BORN, 3);
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 3, vec![declared.clone(), link.clone()]));
        // They are removed without the key.
        snapshot.note(&removal(&declared.key, 4));
        snapshot.note(&removal(&link.key, 5));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 5, vec![declared.clone()]));
        // The same when the whole store is read again.
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 6, vec![]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 6, vec![declared.clone()]));
        // The deletion ends it, and then leaves the store.
        let deleted = deletion(&declared.key, 7);
        let snapshot = open(&path, 1).await;
        snapshot.note(&WatchEvent::Put(deleted.clone()));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 7, vec![deleted]));
        let snapshot = open(&path, 1).await;
        snapshot.note(&removal(&declared.key, 8));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 8, vec![]));
        // A store that went back or was re-created counts as it is.
        for (life, revision) in [(BORN, 8), (Incarnation(9), 20)] {
            let snapshot = open(&path, 1).await;
            snapshot.note(&all(BORN, 9, vec![entry_at(declared.key.clone(), BORN, 9)]));
            snapshot.note(&all(life, revision, vec![]));
            drop(snapshot);
            assert_eq!(found(&path).await, all(life, revision, vec![]));
        }
    }

    #[tokio::test]
    async fn a_replayed_value_does_not_replace_what_was_declared() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let key = StoreKey::from_store("actor.a");
        let old = entry_at(key.clone(), BORN, 2);
        let new = entry_at(key.clone(), BORN, 5);
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 5, vec![new.clone()]));
        for (replayed, revision) in [(&old, 6), (&deletion(&key, 3), 7), (&new, 8)] {
            snapshot.note(&WatchEvent::Put(Entry {
                revision: Revision(revision),
                ..replayed.clone()
            }));
        }
        // A value whose writer had not seen the last 10,000 writes counts as replayed.
        let outdated = Entry {
            revision: Revision(10_007),
            ..entry_at(key.clone(), BORN, 6)
        };
        snapshot.note(&WatchEvent::Put(outdated.clone()));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 10_007, vec![new]));
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 10_007, vec![outdated]));
        // A store that went back has older values.
        snapshot.note(&all(BORN, 3, vec![old.clone()]));
        drop(snapshot);
        assert_eq!(found(&path).await, all(BORN, 3, vec![old]));
    }

    #[tokio::test]
    async fn the_known_hosts_are_stored_with_the_snapshot() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        assert_eq!(snapshot.hosts(), None);
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        snapshot.note_hosts(one.clone());
        drop(snapshot);
        let snapshot = open(&path, 1).await;
        assert_eq!(snapshot.hosts(), Some(one), "the hosts are stored alone");
        assert_eq!(snapshot.snapshot(), None, "there is no state of the store");
        snapshot.note_hosts(two.clone());
        let a = entry("a", BORN, 2);
        snapshot.note(&all(BORN, 2, vec![a.clone()]));
        drop(snapshot);
        let snapshot = open(&path, 1).await;
        assert_eq!(snapshot.hosts(), Some(two), "written completely");
        drop(snapshot);
        assert_eq!(
            found(&path).await,
            all(BORN, 2, vec![a]),
            "the state is stored as well"
        );
    }

    #[tokio::test]
    async fn the_snapshot_is_written_in_the_background() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 2, vec![entry("a", BORN, 2)]));
        let deadline = Instant::now() + Duration::from_secs(20);
        let written = async || {
            // As after a kill: a copy of the file in its present state.
            let copy = folder.path().join("copy");
            let _ = std::fs::remove_file(&copy);
            std::fs::copy(&path, &copy).expect("copied");
            let copied = Snapshot::open(&copy, &lattice(), &auth(1)).await;
            copied.is_ok_and(|copied| copied.snapshot().is_some())
        };
        while !written().await {
            assert!(Instant::now() < deadline, "timed out");
            sleep(AGAIN).await;
        }
    }

    #[tokio::test]
    async fn a_file_of_another_key_or_purpose_is_rejected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("last");
        let snapshot = open(&path, 1).await;
        snapshot.note(&all(BORN, 2, vec![entry("a", BORN, 2)]));
        drop(snapshot);
        let theirs = open(&path, 2).await;
        assert_eq!(theirs.snapshot(), None);
        assert_eq!(theirs.incarnation(), None);
        drop(theirs);
        let error = DiskStore::open(&path, &lattice()).await;
        assert!(
            matches!(error, Err(OpenError::NotAStore { .. })),
            "{error:?}"
        );
        assert!(matches!(found(&path).await, WatchEvent::Snapshot { .. }));
    }
}
