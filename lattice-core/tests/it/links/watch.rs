//! Watches of links, over outages and over several incarnations of the store.

use super::*;
use futures_util::StreamExt as _;
use lattice_core::{link::LinkChange, links::WriteError, replica::ReplicaState};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_watch_starts_with_the_existing_links_and_survives_lag_and_outages() {
    let store = MemoryStore::new();
    let (node, writer) = (Node::join(&store).await, Node::join(&store).await);
    writer.links.put(link("front", "a")).await.expect("put");
    let mut watch = node.links.watch();
    let added = next(&mut watch).await;
    assert!(
        matches!(&added, LinkChange::Added(entry) if entry.link.target == id("a")),
        "{added:?}"
    );

    // More changes than the store keeps for a slow watcher, while the store is unreachable.
    store.disconnect();
    let error = writer
        .links
        .put(link("front", "b"))
        .await
        .expect_err("out of reach");
    assert!(
        matches!(
            error,
            LinkError::Types(_) | LinkError::Write(WriteError::Store(_))
        ),
        "{error}"
    );
    assert!(
        node.links.get(&added.entry().key).is_some(),
        "known links stay"
    );
    store.reconnect();
    for n in 0..2_000 {
        let key = StoreKey::for_test(&n.to_string());
        store
            .commit(vec![Op::put(key, "x", Expect::Any)])
            .await
            .expect("written");
    }
    writer
        .links
        .replace(link("front", "c"))
        .await
        .expect("replaced");
    let changed = next(&mut watch).await;
    let LinkChange::Changed { before, after } = changed else {
        panic!("{changed:?}")
    };
    assert_eq!(
        (&before.link.target, &after.link.target),
        (&id("a"), &id("c"))
    );
    writer
        .links
        .report(&host("h"), &after.key, after.revision, LinkStatus::Active)
        .await
        .expect("reported");
    let said = next(&mut watch).await;
    assert!(
        matches!(&said, LinkChange::Status { after, .. } if after.status == LinkStatus::Active),
        "{said:?}"
    );
    writer.links.delete(&after.key).await.expect("deleted");
    let removed = next(&mut watch).await;
    assert!(
        matches!(&removed, LinkChange::Removed(entry) if entry.key == after.key),
        "{removed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn links_missing_from_a_recreated_store_are_kept_until_they_are_deleted() {
    let store = MemoryStore::new();
    let (node, other) = (Node::join(&store).await, Node::join(&store).await);
    let put = node.links.put(link("front", "back")).await.expect("put");
    let gone = node.links.put(link("gone", "back")).await.expect("put");
    let kept = node.links.put(link("kept", "back")).await.expect("put");
    other.sees(kept.revision).await;
    let old = node.replica.links().incarnation();
    store.wipe();
    let first = node.links.put(link("other", "back")).await.expect("put");
    other.sees(first.revision).await;
    for node in [&node, &other] {
        assert_eq!(node.links.get(&put.key), Some(put.clone()));
        let health = node.replica.health();
        assert_eq!((health.recreated, health.held), (1, 3));
        assert_eq!(health.state, ReplicaState::StoreReplaced);
    }
    // A call from a host that still has the old incarnation doesn't wait.
    let now = Instant::now();
    node.replica
        .wait_for(old, put.revision, now)
        .await
        .expect("the store has a later incarnation");
    // Reports on a link that no process finds are ignored.
    node.links
        .report(&host("h"), &put.key, put.revision, LinkStatus::Active)
        .await
        .expect("nothing to do");
    assert!(
        store
            .read(status_key(&put.link))
            .await
            .expect("in reach")
            .is_none()
    );

    let again = node
        .links
        .put(link("front", "back"))
        .await
        .expect("put again");
    assert_ne!(again.revision, put.revision);
    node.links
        .delete(&gone.key)
        .await
        .expect("deleted for all processes");
    let last = node
        .links
        .replace(link("kept2", "back"))
        .await
        .expect("put");
    other.sees(last.revision).await;
    let fresh = Node::join(&store).await;
    for node in [&node, &other] {
        assert_eq!(node.links.get(&gone.key), None);
        assert_eq!(node.replica.health().held, 1);
        assert_ne!(node.links.list(), fresh.links.list());
        node.replica.accept();
        let deadline = Duration::from_secs(5);
        let accepted = async {
            while node.replica.health().held > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(deadline, accepted).await.expect("at once");
        assert_eq!(node.links.list(), fresh.links.list());
        assert_eq!(node.replica.health().state, ReplicaState::Following);
    }
}

async fn next(watch: &mut (impl futures_util::Stream<Item = LinkChange> + Unpin)) -> LinkChange {
    let next = timeout(Duration::from_secs(5), watch.next()).await;
    next.expect("a change in time").expect("not closed")
}
