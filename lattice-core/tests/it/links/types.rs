//! Published types.

use super::*;
use futures_util::future::{BoxFuture, join_all, ready};
use lattice_core::{
    store::{CommitError, Entry, Incarnation, MAX_VALUE, StoreError, StoreWatch},
    type_store::{PublishError, TypesError},
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A store in which another writer is always faster.
#[derive(Debug, Default)]
struct Contended {
    inner: MemoryStore,
    commits: AtomicUsize,
}

impl Store for Contended {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.inner.incarnation()
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.inner.read(key)
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let key = ops[0].key.clone();
        Box::pin(ready(Err(CommitError::Conflict { key })))
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.inner.lease(key, value, ttl, expect)
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.inner.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_pauses_between_its_attempts() {
    let store = Arc::new(Contended::default());
    let types = Types::new(Records::new(store.clone(), auth(1)));
    let begun = Instant::now();
    let exports = exporting("get", "func()");
    let published = types.publish(&id("back"), &exports).await;
    let failed = published.expect_err("another writer is faster");
    assert!(
        matches!(failed, PublishError::Contended { .. }),
        "{failed:?}"
    );
    assert_eq!(store.commits.load(Ordering::SeqCst), 16);
    // Each pause is a random part of its time. All are 1.9 s.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn types_are_published_once_and_read_by_all_processes() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    let types = exporting("get", "func()");
    assert_eq!(other.types.of(&id("back")).await.expect("read"), None);
    let digest = one
        .types
        .publish(&id("back"), &types)
        .await
        .expect("published");
    let (component, by_digest) = (
        StoreKey::component(&id("back")),
        StoreKey::types(&digest.to_hex()),
    );
    let revisions = async || {
        let component = store
            .read(component.clone())
            .await
            .expect("read")
            .expect("there");
        let types = store
            .read(by_digest.clone())
            .await
            .expect("read")
            .expect("there");
        (component.revision, types.revision)
    };
    let first = revisions().await;
    other
        .types
        .publish(&id("back"), &types)
        .await
        .expect("the same");
    assert_eq!(revisions().await, first);
    // The same types of another component exist already.
    one.types
        .publish(&id("twin"), &types)
        .await
        .expect("published");
    assert_eq!(revisions().await, first);
    for component in ["back", "twin"] {
        let found = other.types.of(&id(component)).await.expect("read");
        assert_eq!(found.as_deref(), Some(&types));
    }
    assert_eq!(
        other
            .types
            .by_digest(&digest)
            .await
            .expect("read")
            .as_deref(),
        Some(&types)
    );

    let newer = exporting("get", "func(a: u8)");
    one.types
        .publish(&id("back"), &newer)
        .await
        .expect("published");
    assert_eq!(
        other.types.of(&id("back")).await.expect("read").as_deref(),
        Some(&newer)
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_that_start_a_component_concurrently_publish_it_once() {
    let store = MemoryStore::new();
    let nodes = join_all((0..8).map(|_| Node::join(&store))).await;
    let types = exporting("get", "func()");
    let (types, back) = (&types, &id("back"));
    for published in join_all(nodes.iter().map(|node| node.types.publish(back, types))).await {
        assert_eq!(published.expect("published"), types.digest());
    }
    let entry = store
        .read(StoreKey::component(back))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(entry.revision, Revision(2), "two keys, one commit");
}

#[tokio::test(start_paused = true)]
async fn unusable_types_fail_readers_but_not_links_or_publishers() {
    let node = Node::join(&MemoryStore::new()).await;
    let types = exporting("get", "func()");
    let digest = node
        .types
        .publish(&id("back"), &types)
        .await
        .expect("published");
    // A separate reader, which has nothing in its cache.
    let reader = Node::join(&node.store).await;
    node.scribble(StoreKey::types(&digest.to_hex()), "garbage")
        .await;
    let error = reader.types.of(&id("back")).await.expect_err("garbage");
    assert!(matches!(error, TypesError::Unreadable { .. }), "{error}");
    reader
        .links
        .put(link("front", "back"))
        .await
        .expect("checked when it is called");
    reader
        .types
        .publish(&id("back"), &types)
        .await
        .expect("overwritten");
    assert_eq!(
        reader.types.of(&id("back")).await.expect("read").as_deref(),
        Some(&types)
    );

    let gone = Op::delete(StoreKey::types(&digest.to_hex()), Expect::Any);
    node.store.commit(vec![gone]).await.expect("deleted");
    let error = Node::join(&node.store)
        .await
        .types
        .of(&id("back"))
        .await
        .expect_err("gone");
    assert!(matches!(error, TypesError::Missing { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn types_too_large_for_the_store_are_rejected() {
    let node = Node::join(&MemoryStore::new()).await;
    let mut types = exporting("get", "func()");
    types.wit = Some(vec![7; MAX_VALUE].into());
    let error = node
        .types
        .publish(&id("back"), &types)
        .await
        .expect_err("too large");
    assert!(
        matches!(
            error,
            PublishError::TooLarge {
                limit: MAX_VALUE,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(node.types.of(&id("back")).await.expect("read"), None);
}
