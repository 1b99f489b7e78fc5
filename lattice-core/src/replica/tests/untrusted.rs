//! Values that are forged, malformed, or replayed.

use super::*;
use crate::replica::intake::Intake;
use proptest::prelude::*;

#[tokio::test(start_paused = true)]
async fn forged_malformed_and_copied_values_grant_nothing_and_are_counted() {
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
        script.send(WatchEvent::Put(entry(key_of(&b), revision, value)));
        seen(&replica, revision).await;
        assert!(!grants(&replica, &b), "{n}");
        assert_eq!(replica.health().refused, 1 + n as u64);
    }
    script.send(WatchEvent::Put(script.entry(&b, 50, 40)));
    seen(&replica, 50).await;
    assert!(grants(&replica, &a) && grants(&replica, &b));
    assert_eq!(replica.health().refused, refused);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_only_foreign_values_is_reported_as_having_another_key() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let theirs = Records::new(script.records.store().clone(), keyed("theirs"));
    let forged = |link, revision| {
        let value = theirs.encode(BORN, &key_of(link), revision, link);
        entry(key_of(link), revision, value.expect("encodes"))
    };
    let replica = script.follow(1, vec![forged(&a, 1)]).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 1 }));
    script.send(WatchEvent::Put(forged(&b, 2)));
    script.send(WatchEvent::Put(forged(&b, 3)));
    seen(&replica, 3).await;
    assert_eq!(replica.check_key(), Err(OtherKey { values: 2 }));
    // Malformed bytes don't count as written with another key.
    script.send(WatchEvent::Put(entry(key_of(&b), 4, "noise")));
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
    script.send(WatchEvent::Put(script.entry(&b, 7, 6)));
    script.delete(&b, 8);
    seen(&replica, 8).await;
    assert_eq!(replica.check_key(), Ok(()));
    let life = Incarnation(BORN.0 + 1);
    script.snapshot(life, 1, vec![forged(&a, 1)]);
    let mut health = replica.shared.health.subscribe();
    let health_change = health.wait_for(|health| health.other_key == 1);
    tokio::time::timeout(Duration::from_secs(5), health_change)
        .await
        .expect("reported")
        .expect("lives");
}

#[tokio::test(start_paused = true)]
async fn a_link_overwritten_by_malformed_bytes_is_removed() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    script.send(WatchEvent::Put(entry(key_of(&a), 2, "garbage")));
    seen(&replica, 2).await;
    assert!(!grants(&replica, &a));
    // A replay of the last valid value is rejected.
    script.send(WatchEvent::Put(script.entry(&a, 3, 0)));
    seen(&replica, 3).await;
    assert!(!grants(&replica, &a));
    script.send(WatchEvent::Put(script.entry(&a, 4, 3)));
    seen(&replica, 4).await;
    assert!(grants(&replica, &a));
}

#[tokio::test(start_paused = true)]
async fn an_older_value_of_the_same_key_cannot_be_replayed() {
    let script = Script::new();
    let (old, new) = (link("a", "x"), link("a", "y"));
    let replica = script.follow(1, vec![script.entry(&old, 1, 0)]).await;
    script.send(WatchEvent::Put(script.entry(&new, 2, 1)));
    seen(&replica, 2).await;
    assert!(grants(&replica, &new));
    // Replayed over the new value, after a deletion, and while the watch was away.
    script.send(WatchEvent::Put(script.entry(&old, 3, 0)));
    seen(&replica, 3).await;
    assert!(!grants(&replica, &old) && !grants(&replica, &new));
    script.delete(&old, 4);
    script.send(WatchEvent::Put(script.entry(&new, 5, 1)));
    seen(&replica, 5).await;
    assert!(!grants(&replica, &new));
    script.send(WatchEvent::Lost);
    script.snapshot(BORN, 6, vec![script.entry(&new, 6, 1)]);
    seen(&replica, 6).await;
    assert!(!grants(&replica, &new));
    assert_eq!(replica.health().refused, 3);
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
    fn arbitrary_bytes_in_any_key_do_no_harm(
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
