//! Values at the key of a link that aren't valid links.

use super::*;
use lattice_core::{auth::Purpose, store::record::looks_removed, value};

#[tokio::test(start_paused = true)]
async fn malformed_and_forged_records_are_not_links_and_can_be_overwritten_or_deleted() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    node.links.put(link("good", "back")).await.expect("put");
    let a = link("front", "back");
    node.links.put(a.clone()).await.expect("put");
    node.scribble(store_key(&a), "garbage").await;
    assert_eq!(node.links.get(&a.key()), None);
    node.links
        .put(a.clone())
        .await
        .expect("overwrites the malformed value");
    node.scribble(store_key(&a), "more").await;
    node.links
        .delete(&a.key())
        .await
        .expect("the malformed value is deleted");
    let deletion = store.read(store_key(&a)).await.expect("read");
    assert!(looks_removed(&deletion.expect("there").value));

    let evil = link("evil", "back");
    let forged = forged(&store, &evil).await;
    node.scribble(store_key(&evil), forged).await;
    assert_eq!(node.links.get(&evil.key()), None);
    let health = node.replica.health();
    assert_eq!((health.refused, health.other_key), (3, 0));
    node.links.put(evil).await.expect("ours");
}

/// Returns the value of a link that is written with another key.
async fn forged(store: &MemoryStore, link: &Link) -> Bytes {
    let incarnation = store.incarnation().await.expect("there");
    Records::new(Arc::new(store.clone()), auth(2))
        .encode(incarnation, &store_key(link), 9, link)
        .expect("encodes")
}

#[tokio::test(start_paused = true)]
async fn with_another_key_no_record_is_overwritten_or_deleted() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let there = link("front", "back");
    node.links.put(there.clone()).await.expect("put");
    let before = store.read(store_key(&there)).await.expect("read");

    let other = Node::with_key(&store, 2).await;
    assert_eq!(other.links.list(), []);
    let refused = other.replica.check_key().expect_err("it is another key");
    assert_eq!(refused.values, 1);
    for link in [there.clone(), link("new", "back")] {
        let put = other.links.replace(link).await;
        let put = put.expect_err("nothing is put");
        assert!(
            matches!(put, LinkError::Write(WriteError::OtherKey(_))),
            "{put}"
        );
        assert!(put.to_string().contains("check the key"), "{put}");
    }
    let deleted = other.links.delete(&there.key()).await;
    assert!(
        matches!(deleted, Err(DeleteError::Write(WriteError::OtherKey(_)))),
        "{deleted:?}"
    );
    assert_eq!(store.read(store_key(&there)).await.expect("read"), before);

    // A store without records can be used with any key.
    node.links.delete(&there.key()).await.expect("deleted");
    let revision = store.commit(vec![Op::delete(store_key(&there), Expect::Any)]);
    other.sees(revision.await.expect("written")).await;
    other.links.put(there).await.expect("put");
}

#[tokio::test(start_paused = true)]
async fn a_copied_or_replayed_link_grants_nothing() {
    let node = Node::join(&MemoryStore::new()).await;
    let (a, b) = (link("front", "back"), link("other", "back"));
    node.links.put(a.clone()).await.expect("put");
    let value = node
        .store
        .read(store_key(&a))
        .await
        .expect("read")
        .expect("there")
        .value;
    let copy = Op::put(store_key(&b), value.clone(), Expect::Any);
    node.sees(node.store.commit(vec![copy]).await.expect("written"))
        .await;
    assert_eq!(node.links.get(&b.key()), None);

    node.links.delete(&a.key()).await.expect("deleted");
    let replay = Op::put(store_key(&a), value, Expect::Any);
    node.sees(node.store.commit(vec![replay]).await.expect("written"))
        .await;
    assert_eq!(node.links.get(&a.key()), None);
    node.links
        .put(a)
        .await
        .expect("overwrites the replayed value");
}

#[tokio::test(start_paused = true)]
async fn malformed_records_are_rejected_one_by_one_and_affect_no_others() {
    let (node, mut dice) = (Node::join(&MemoryStore::new()).await, Dice(1));
    let (good, victim) = (link("good", "back"), link("victim", "back"));
    let kept = node.links.put(good).await.expect("put");
    let put = node.links.put(victim.clone()).await.expect("put");
    let reported = LinkStatus::rejected("no bucket");
    node.links
        .report(&host("h"), &put.key, put.revision, reported)
        .await
        .expect("reported");
    let mut refused = 0;
    for key in [store_key(&victim), status_key(&victim)] {
        let there = node.store.read(key.clone()).await.expect("read");
        let value = there.expect("there").value;
        for _ in 0..500 {
            let spoiled = match dice.below(4) {
                0 => dice.bytes(300),
                _ => dice.spoiled(&value),
            };
            if spoiled == value {
                continue;
            }
            node.scribble(key.clone(), spoiled).await;
            refused += 1;
            assert_eq!(node.replica.health().refused, refused);
        }
    }
    assert_eq!(node.links.list(), [kept], "only this link is left");
    node.links
        .put(victim)
        .await
        .expect("overwrites the malformed value");
    assert_eq!(node.links.list().len(), 2);
}

/// Writes values of a key holder with a bug: the tag is valid, and the body isn't.
#[tokio::test(start_paused = true)]
async fn authentic_but_empty_records_are_rejected() {
    let (node, mut dice) = (Node::join(&MemoryStore::new()).await, Dice(2));
    let victim = link("victim", "back");
    let kept = node.links.put(link("good", "back")).await.expect("put");
    let incarnation = node.store.incarnation().await.expect("there");
    let body = value::to_bytes(&victim).expect("encodes");
    let mut refused = 0;
    for n in 0..1_000_u64 {
        let key = match n % 2 {
            0 => store_key(&victim),
            _ => status_key(&victim),
        };
        // The schema, a rising generation, and a body that is truncated or invalid.
        let mut value = vec![1, 0];
        value.extend((n + 10).to_le_bytes());
        match dice.below(3) {
            0 => value.extend(dice.bytes(100)),
            1 => value.extend(&body[..dice.below(body.len())]),
            _ => value.extend([0xff; 40]),
        }
        let parts = [
            &incarnation.0.to_le_bytes()[..],
            key.as_str().as_bytes(),
            &value,
        ];
        let tag = auth(1).tag(Purpose::Store, &parts);
        value.extend(tag);
        node.scribble(key, value).await;
        refused += 1;
        let health = node.replica.health();
        // Random bytes are sometimes a valid report, most likely of an unknown host.
        assert!(health.refused <= refused, "{health:?}");
        refused = health.refused;
        assert_eq!(node.links.list(), std::slice::from_ref(&kept));
    }
    assert!(refused > 900, "{refused}");
    node.links
        .put(victim)
        .await
        .expect("overwrites the malformed value");
}
