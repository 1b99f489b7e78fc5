//! Deletions: those with a tag, and keys that are simply gone.

use super::*;
use crate::{name::ComponentId, store::record::RecordError};

impl Script {
    fn deletion(&self, key: StoreKey, revision: u64, generation: u64) -> Entry {
        let op = self
            .records
            .deletion(BORN, key.clone(), generation, Expect::Any);
        entry(key, revision, op.value.expect("a value"))
    }

    fn record(&self, key: &StoreKey, revision: u64, generation: u64) -> Entry {
        let body = self.records.encode(BORN, key, generation, "text");
        entry(key.clone(), revision, body.expect("encodes"))
    }

    async fn put(&self, replica: &Replica, entry: Entry) {
        let revision = entry.revision.0;
        self.send(WatchEvent::Put(entry));
        seen(replica, revision).await;
    }

    async fn remove(&self, replica: &Replica, key: &StoreKey, revision: u64) {
        self.send(WatchEvent::Delete {
            key: key.clone(),
            revision: Revision(revision),
        });
        seen(replica, revision).await;
    }
}

fn actor() -> StoreKey {
    StoreKey::actor(&ComponentId::new("a").expect("valid"))
}

/// Returns the state of a record: its value is there, refused or absent.
fn standing(replica: &Replica, key: &StoreKey) -> &'static str {
    match replica.record_table().get(key).map(|it| it.content.clone()) {
        Some(RecordContent::Body(_)) => "there",
        Some(RecordContent::Refused { is_absent, .. }) if is_absent => "lost",
        Some(RecordContent::Refused { .. }) => "refused",
        None => "absent",
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_of_a_deleted_link_grants_nothing_to_a_host_that_starts_later() {
    let script = Script::new();
    let a = link("a", "x");
    let deletion = script.deletion(key_of(&a), 6, 5);
    let replica = script.follow(6, vec![deletion]).await;
    assert_eq!(replica.health().refused, 0, "a deletion is not refused");
    // Its recorded value, with its generation, and one with that of the deletion.
    for (revision, generation) in [(7, 1), (8, 4), (9, 5)] {
        let recorded = script.entry(&a, revision, generation);
        script.put(&replica, recorded).await;
        assert!(!grants(&replica, &a), "generation {generation}");
    }
    assert_eq!(replica.health().refused, 3);
    script.put(&replica, script.entry(&a, 20, 19)).await;
    assert!(grants(&replica, &a), "it is put again");
    // The old deletion is played again.
    let deletion = script.deletion(key_of(&a), 21, 5);
    script.put(&replica, deletion).await;
    assert_eq!(standing(&replica, &key_of(&a)), "refused");
    script
        .put(&replica, script.deletion(key_of(&a), 22, 20))
        .await;
    assert!(!grants(&replica, &a));
    assert_eq!(standing(&replica, &key_of(&a)), "absent");
}

#[tokio::test(start_paused = true)]
async fn a_link_with_a_missing_record_grants_nothing_until_it_is_put_again() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(2, vec![script.entry(&a, 2, 1)]).await;
    script.remove(&replica, &key_of(&a), 3).await;
    assert!(!grants(&replica, &a));
    assert_eq!(standing(&replica, &key_of(&a)), "lost");
    script.put(&replica, script.entry(&a, 4, 1)).await;
    assert!(!grants(&replica, &a), "it is played again");
    script.put(&replica, script.entry(&a, 6, 5)).await;
    assert!(grants(&replica, &a));
    assert_eq!(
        standing(&replica, &key_of(&a)),
        "absent",
        "the table has it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_simply_gone_is_not_deleted() {
    let script = Script::new();
    let key = actor();
    let replica = script.follow(2, vec![script.record(&key, 2, 1)]).await;
    let since = replica.record_table().get(&key).expect("there").since;
    let declared = replica.record_table().declared;
    script.remove(&replica, &key, 3).await;
    assert_eq!(standing(&replica, &key), "lost");
    let lost = replica.record_table().get(&key).cloned().expect("lost");
    assert_eq!(lost.since, since, "what was read there stays");
    assert_eq!(replica.record_table().declared, declared);
    // Neither another such deletion nor a new snapshot makes it a deletion.
    script.remove(&replica, &key, 4).await;
    script.snapshot(BORN, 9, Vec::new());
    seen(&replica, 9).await;
    assert_eq!(replica.record_table().get(&key), Some(&lost));
    script
        .put(&replica, script.deletion(key.clone(), 12, 11))
        .await;
    assert_eq!(standing(&replica, &key), "absent");
    assert_eq!(replica.record_table().declared, Revision(12));
    // When the deletion expires, nothing changes.
    script.remove(&replica, &key, 13).await;
    script.snapshot(BORN, 14, Vec::new());
    seen(&replica, 14).await;
    assert_eq!(standing(&replica, &key), "absent");
    assert_eq!(replica.record_table().declared, Revision(12));
    assert!(replica.record_table().removed().is_empty());
    script.put(&replica, script.record(&key, 15, 11)).await;
    assert_eq!(standing(&replica, &key), "refused", "it is played again");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_after_an_outage_is_not_deleted() {
    let script = Script::new();
    let key = actor();
    let replica = script.follow(2, vec![script.record(&key, 2, 1)]).await;
    script.send(WatchEvent::Lost);
    script.snapshot(BORN, 5, Vec::new());
    seen(&replica, 5).await;
    assert_eq!(standing(&replica, &key), "lost");
    // Garbage over it, and then nothing again.
    script.put(&replica, entry(key.clone(), 6, "garbage")).await;
    assert_eq!(standing(&replica, &key), "refused");
    script.remove(&replica, &key, 7).await;
    assert_eq!(standing(&replica, &key), "lost");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_never_read_or_is_deleted_is_absent() {
    let script = Script::new();
    let key = actor();
    let replica = script.follow(1, Vec::new()).await;
    script.remove(&replica, &key, 2).await;
    assert_eq!(standing(&replica, &key), "absent");
    script.put(&replica, entry(key.clone(), 3, "garbage")).await;
    script.remove(&replica, &key, 4).await;
    assert_eq!(standing(&replica, &key), "absent");
    script
        .put(&replica, script.deletion(key.clone(), 6, 5))
        .await;
    script.put(&replica, entry(key.clone(), 7, "garbage")).await;
    assert_eq!(standing(&replica, &key), "refused");
    script.remove(&replica, &key, 8).await;
    assert_eq!(standing(&replica, &key), "absent");
    assert_eq!(replica.health().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_recording_is_refused_by_a_process_that_knows_nothing_of_its_key() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let entries = vec![
        script.entry(&a, 20_000, 9_999),
        script.entry(&b, 20_001, 10_001),
    ];
    let replica = script.follow(20_001, entries).await;
    assert!(!grants(&replica, &a), "10,001 writes behind");
    assert!(grants(&replica, &b), "10,000 writes behind");
    assert_eq!(replica.health().refused, 1);
}

#[test]
fn the_bytes_of_a_deletion_are_fixed_and_bound_to_their_key() {
    let script = Script::new();
    let (key, other) = (
        actor(),
        StoreKey::actor(&ComponentId::new("b").expect("valid")),
    );
    let deletion = script.deletion(key.clone(), 1, 0x0102);
    assert_eq!(hex::encode(&deletion.value[..10]), "ffff0201000000000000");
    assert_eq!(deletion.value.len(), 26);
    let opened = script.records.open(BORN, &deletion);
    let generation = 0x0102;
    assert_eq!(opened, Err(RecordError::Removed { key, generation }));
    let moved = Entry {
        key: other,
        ..deletion.clone()
    };
    let opened = script.records.open(BORN, &moved);
    assert!(matches!(opened, Err(RecordError::Forged { .. })));
    let opened = script.records.open(Incarnation(8), &deletion);
    assert!(matches!(opened, Err(RecordError::Forged { .. })));
    let longer = Entry {
        value: [&deletion.value[..10], b"x", &deletion.value[10..]]
            .concat()
            .into(),
        ..deletion
    };
    let opened = script.records.open(BORN, &longer);
    assert!(matches!(opened, Err(RecordError::Forged { .. })));
}
