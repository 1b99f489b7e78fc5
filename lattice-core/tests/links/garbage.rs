//! What stands in a link's key and is no link.

use crate::*;

#[tokio::test(start_paused = true)]
async fn garbage_and_forgeries_are_no_links_and_can_be_written_over_or_deleted() {
    let store = MemoryStore::new();
    let (node, stranger) = (Node::join(&store).await, Node::with_key(&store, 2).await);
    let a = link("front", "back");
    node.links.put(a.clone()).await.expect("put");
    node.scribble(store_key(&a), b"garbage").await;
    assert_eq!(node.links.get(&a.key()), None);
    node.links.put(a.clone()).await.expect("put over garbage");
    node.scribble(store_key(&a), b"more").await;
    node.links
        .delete(&a.key())
        .await
        .expect("garbage is deleted");
    assert_eq!(store.read(store_key(&a)).await.expect("read"), None);

    // Another key's link is seen by that key's holders alone.
    let forged = stranger
        .links
        .put(link("evil", "back"))
        .await
        .expect("theirs");
    node.sees(forged.revision).await;
    assert_eq!(node.links.list(), []);
    assert_eq!(node.replica.health().refused, 3);
    let ours = node.links.put(link("evil", "back")).await.expect("ours");
    stranger.sees(ours.revision).await;
    assert_eq!(stranger.links.list(), []);
}

#[tokio::test(start_paused = true)]
async fn a_link_copied_to_another_key_or_played_again_is_no_grant() {
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
    node.links.put(a).await.expect("put over the replay");
}
