//! Deleted links stay deleted, and links that are put are accepted everywhere.

use super::*;
use crate::lagging::{Delivery, Lagging};
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::{sleep, timeout};

async fn recorded(node: &Node, link: &Link) -> Bytes {
    let entry = node.store.read(store_key(link)).await.expect("in reach");
    entry.expect("there").value
}

#[tokio::test(start_paused = true)]
async fn a_put_that_succeeds_is_accepted_by_every_process() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let way = Lagging::on(&store);
    let late = Arc::new(Node::over(&store, way.clone(), 1).await);
    way.set(Delivery::Lags);
    let a = link("front", "back");
    // A process that lags sees neither the link nor its deletion.
    node.links.put(a.clone()).await.expect("put");
    node.links.delete(&a.key()).await.expect("deleted");
    let putting = tokio::spawn({
        let (late, a) = (late.clone(), a.clone());
        async move { late.links.put(a).await }
    });
    sleep(Duration::from_millis(700)).await;
    way.set(Delivery::Works);
    let put = putting.await.expect("no panic").expect("put");
    node.sees(put.revision).await;
    assert_eq!(
        node.links.get(&a.key()).map(|it| it.revision),
        Some(put.revision)
    );
    assert_eq!(
        late.links.get(&a.key()).map(|it| it.revision),
        Some(put.revision)
    );

    // While it lags for good, it fails.
    way.set(Delivery::Lags);
    node.links.delete(&a.key()).await.expect("deleted");
    let failed = late.links.put(a.clone()).await.expect_err("behind");
    assert!(
        matches!(failed, LinkError::Write(WriteError::Behind { .. })),
        "{failed:?}"
    );
    assert_eq!(node.links.get(&a.key()), None);
}

#[tokio::test(start_paused = true)]
async fn a_forged_answer_to_a_write_is_not_believed() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let first = node.links.put(link("first", "back")).await.expect("put");
    let way = Lagging::on(&store);
    let deceived = Node::over(&store, way.clone(), 1).await;
    let a = link("front", "back");
    way.forged.store(1, Relaxed);
    let put = deceived
        .links
        .put(a.clone())
        .await
        .expect("written in the end");
    assert!(put.revision > first.revision);
    node.sees(put.revision).await;
    assert_eq!(node.links.get(&a.key()), Some(put));
    way.forged.store(1, Relaxed);
    deceived
        .links
        .delete(&a.key())
        .await
        .expect("deleted in the end");
    node.sees(Revision(3)).await;
    assert_eq!(node.links.get(&a.key()), None);
    way.forged.store(usize::MAX, Relaxed);
    let failed = deceived
        .links
        .put(a.clone())
        .await
        .expect_err("nothing is written");
    assert!(
        matches!(failed, LinkError::Write(WriteError::Contended { .. })),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_recorded_link_stays_deleted_on_hosts_that_start_after_its_deletion() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let a = link("front", "back");
    node.links.put(a.clone()).await.expect("put");
    let value = recorded(&node, &a).await;
    node.links.delete(&a.key()).await.expect("deleted");
    let later = Node::join(&store).await;
    assert_eq!(
        (later.links.list(), later.replica.health().refused),
        (Vec::new(), 0)
    );
    node.scribble(store_key(&a), value).await;
    let played = store.read(store_key(&a)).await.expect("in reach");
    later.sees(played.expect("there").revision).await;
    for node in [&node, &later] {
        assert_eq!(node.links.get(&a.key()), None);
    }
    // A missing link can't be deleted; a refused one can.
    later.links.delete(&a.key()).await.expect("refused");
    let missing = later.links.delete(&a.key()).await.expect_err("deleted");
    assert!(
        matches!(missing, DeleteError::NotFound { .. }),
        "{missing:?}"
    );
    let put = later.links.put(a.clone()).await.expect("put");
    node.sees(put.revision).await;
    assert_eq!(node.links.get(&a.key()), Some(put));
}

/// Deletes a link, which then is not found.
async fn deletes_once(node: &Node, link: &Link) {
    let key = link.key();
    node.links.delete(&key).await.expect("deleted");
    let missing = node.links.delete(&key).await.expect_err("deleted");
    let is_missing = matches!(missing, DeleteError::NotFound { .. });
    assert!(is_missing, "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_removed_without_the_key_can_be_put_and_deleted() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let a = link("front", "back");
    let remove = async || {
        let op = Op::delete(store_key(&a), Expect::Any);
        let revision = store.commit(vec![op]).await.expect("removed");
        node.sees(revision).await;
    };
    let first = node.links.put(a.clone()).await.expect("put");
    let value = recorded(&node, &a).await;
    remove().await;
    assert_eq!(node.links.get(&a.key()), None, "it fails closed");
    node.scribble(store_key(&a), value).await;
    assert_eq!(node.links.get(&a.key()), None);
    let again = node.links.put(a.clone()).await.expect("put");
    assert!(again.revision > first.revision);
    remove().await;
    deletes_once(&node, &a).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_over_which_an_old_deletion_was_played_again_can_be_deleted() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let a = link("front", "back");
    node.links.put(a.clone()).await.expect("put");
    node.links.delete(&a.key()).await.expect("deleted");
    let deletion = recorded(&node, &a).await;
    node.links.put(a.clone()).await.expect("put");
    node.scribble(store_key(&a), deletion).await;
    assert_eq!(node.links.get(&a.key()), None, "it fails closed");
    deletes_once(&node, &a).await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_forgotten_after_a_year() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let a = link("front", "back");
    node.links.put(a.clone()).await.expect("put");
    let value = recorded(&node, &a).await;
    node.links.delete(&a.key()).await.expect("deleted");
    sleep(Duration::from_hours(364 * 24)).await;
    assert!(store.read(store_key(&a)).await.expect("in reach").is_some());
    sleep(Duration::from_hours(2 * 24)).await;
    let gone = async {
        while store.read(store_key(&a)).await.expect("in reach").is_some() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_mins(1), gone)
        .await
        .expect("it ends");
    assert_eq!(node.replica.health().refused, 0);
    node.scribble(store_key(&a), value).await;
    assert_eq!(node.links.get(&a.key()), None, "this process still knows");
    node.links.put(a.clone()).await.expect("put");
}
