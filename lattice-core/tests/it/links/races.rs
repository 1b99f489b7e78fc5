//! Concurrent writers of one link, and writes whose response is lost.

use super::*;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use lattice_core::store::{CommitError, Entry, Incarnation, StoreError, StoreWatch};
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test(start_paused = true)]
async fn of_two_concurrent_puts_one_receives_a_conflict() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    for round in 0..20 {
        let source = format!("s{round}");
        let (a, b) = tokio::join!(
            one.links.put(link(&source, "a")),
            other.links.put(link(&source, "b"))
        );
        let (won, lost) = match (a, b) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => panic!("one of them should succeed: {both:?}"),
        };
        assert!(
            matches!(&lost, LinkError::Conflict { existing } if existing.link == won.link),
            "{lost}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_replaces_of_one_link_all_succeed_in_turn() {
    let store = MemoryStore::new();
    let nodes = join_all((0..8).map(|_| Node::join(&store))).await;
    let put = nodes
        .iter()
        .enumerate()
        .map(|(n, node)| node.links.replace(link("front", &format!("t{n}"))));
    let mut revisions: Vec<Revision> = join_all(put)
        .await
        .into_iter()
        .map(|put| put.expect("replaced").revision)
        .collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 8);
    for node in &nodes {
        node.sees(revisions[7]).await;
        assert_eq!(node.links.list().len(), 1);
        assert_eq!(node.links.list(), nodes[0].links.list());
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_change_and_a_deletion_of_one_revision_only_one_succeeds() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    for round in 0..20 {
        let source = format!("s{round}");
        let read = one.links.put(link(&source, "a")).await.expect("put");
        other.sees(read.revision).await;
        let (deleted, changed) = tokio::join!(
            one.links.delete_at(&read.key, read.revision),
            other.links.update(link(&source, "b"), read.revision)
        );
        match (deleted, changed) {
            (Ok(()), Err(LinkError::Changed { found: None, .. })) => {}
            (
                Err(DeleteError::Changed {
                    found: Some(found), ..
                }),
                Ok(changed),
            ) => assert_eq!(found, changed),
            both => panic!("one of them should succeed: {both:?}"),
        }
    }
}

/// Loses every other response to a commit, and works normally otherwise.
#[derive(Debug)]
struct Lossy {
    store: MemoryStore,
    commits: AtomicUsize,
}

impl Store for Lossy {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.store.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.store.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async {
            let revision = self.store.commit(ops).await?;
            let lost = self
                .commits
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(2);
            if lost {
                Err(CommitError::Unknown)
            } else {
                Ok(revision)
            }
        })
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.store.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.store.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_is_looked_up_and_nothing_is_written_twice() {
    let store = MemoryStore::new();
    let lossy = Arc::new(Lossy {
        store: store.clone(),
        commits: AtomicUsize::new(0),
    });
    let lose_next = || lossy.commits.store(0, Ordering::Relaxed);
    let commits = || lossy.commits.load(Ordering::Relaxed);
    let node = Node::over(&store, lossy.clone(), 1).await;

    let put = node.links.put(link("front", "back")).await.expect("put");
    assert_eq!((commits(), put.revision), (1, Revision(1)));
    lose_next();
    node.links
        .report(&host("h"), &put.key, put.revision, LinkStatus::Active)
        .await
        .expect("reported");
    assert_eq!(commits(), 1);
    assert_eq!(
        node.links.get(&put.key).expect("there").status,
        LinkStatus::Active
    );
    lose_next();
    let replaced = node
        .links
        .replace(link("front", "elsewhere"))
        .await
        .expect("replaced");
    assert_eq!((commits(), &replaced.link.target), (1, &id("elsewhere")));
    lose_next();
    node.links
        .delete(&put.key)
        .await
        .expect("deleted, not unknown");
    assert_eq!((commits(), node.links.list()), (1, vec![]));
    let put = node.links.put(link("front", "back")).await.expect("put");
    lose_next();
    let deleted = node.links.delete_at(&put.key, put.revision).await;
    deleted.expect("deleted, not changed by another");
    assert_eq!((commits(), node.links.list()), (1, vec![]));
    lose_next();
    let types = exporting("get", "func()");
    node.types
        .publish(&id("back"), &types)
        .await
        .expect("published");
    assert_eq!(commits(), 1);
}
