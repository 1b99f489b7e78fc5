//! Links and published types as a program uses them, over the memory store.

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, join_all},
};
use lattice_core::{
    auth::{Auth, LatticeKey},
    link::{
        DeleteError, Link, LinkChange, LinkError, LinkStatus, Links, Misfit, ReportError,
        WriteError,
    },
    name::{ComponentId, FunctionName, HostId, InterfaceName, LatticeName},
    replica::Replica,
    store::{
        CommitError, Entry, Expect, Incarnation, MAX_VALUE, MemoryStore, Op, Revision, Store,
        StoreError, StoreKey, Watch, record::Records,
    },
    types::{ComponentTypes, InterfaceTypes, PublishError, Types, TypesError},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// One process of a lattice.
struct Node {
    store: MemoryStore,
    replica: Replica,
    links: Links,
    types: Types,
}

impl Node {
    async fn join(store: &MemoryStore) -> Self {
        Self::with_key(store, 1).await
    }

    async fn with_key(store: &MemoryStore, key: u8) -> Self {
        Self::over(store, Arc::new(store.clone()), key).await
    }

    /// A node that reaches `store` through `way`.
    async fn over(store: &MemoryStore, way: Arc<dyn Store>, key: u8) -> Self {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        let auth = Auth::keyed(&LatticeName::new("dev").expect("valid"), &key);
        let records = Records::new(way, auth);
        let replica = Replica::follow(records.clone()).await.expect("follows");
        let types = Types::new(records.clone());
        Self {
            store: store.clone(),
            links: Links::new(records, replica.clone(), types.clone()),
            replica,
            types,
        }
    }

    /// Writes bytes where a link stands, as anyone who reaches the store may.
    async fn scribble(&self, key: StoreKey, bytes: &'static [u8]) {
        let revision = self
            .store
            .commit(vec![Op::put(key, bytes, Expect::Any)])
            .await;
        self.sees(revision.expect("written")).await;
    }

    async fn sees(&self, revision: Revision) {
        let incarnation = self.store.incarnation().await.expect("there");
        let deadline = Instant::now() + Duration::from_secs(1);
        self.replica
            .wait_for(incarnation, revision, deadline)
            .await
            .expect("seen");
    }
}

fn link(source: &str, target: &str) -> Link {
    Link::new(source, "a:b/c@0.2.0", target).expect("valid")
}

fn store_key(link: &Link) -> StoreKey {
    StoreKey::link(&link.source, &link.interface, &link.name)
}

fn status_key(link: &Link) -> StoreKey {
    StoreKey::link_status(&link.source, &link.interface, &link.name)
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("valid")
}

fn host(text: &str) -> HostId {
    HostId::new(text).expect("valid")
}

/// Types that export, or import, `a:b/c@0.2.0` with one function.
fn interface(
    function: &str,
    signature: &str,
) -> std::collections::BTreeMap<InterfaceName, InterfaceTypes> {
    let mut types = InterfaceTypes::default();
    types.functions.insert(
        FunctionName::new(function).expect("valid"),
        signature.to_owned(),
    );
    [(InterfaceName::new("a:b/c@0.2.0").expect("valid"), types)].into()
}

fn exporting(function: &str, signature: &str) -> ComponentTypes {
    ComponentTypes {
        exports: interface(function, signature),
        ..ComponentTypes::default()
    }
}

fn importing(function: &str, signature: &str) -> ComponentTypes {
    ComponentTypes {
        imports: interface(function, signature),
        ..ComponentTypes::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_is_there_when_put_returns_and_gone_when_delete_returns() {
    let store = MemoryStore::new();
    let (one, other) = (Node::join(&store).await, Node::join(&store).await);
    let link = link("front", "back")
        .config(&serde_json::json!({ "bucket": "b" }))
        .expect("JSON");
    let put = one.links.put(link.clone()).await.expect("put");
    assert_eq!((&*put.link, &put.status), (&link, &LinkStatus::Pending));
    assert_eq!(one.links.get(&link.key()).as_deref(), Some(&*put));
    assert_eq!(one.links.list(), std::slice::from_ref(&put));

    other.sees(put.revision).await;
    assert_eq!(other.links.get(&link.key()).as_deref(), Some(&*put));
    other.links.delete(&link.key()).await.expect("deleted");
    assert_eq!(other.links.list(), []);
    let error = other.links.delete(&link.key()).await.expect_err("gone");
    assert!(matches!(error, DeleteError::NotFound { .. }), "{error}");
    one.links.put(link).await.expect("put again");
}

#[tokio::test(start_paused = true)]
async fn the_same_link_again_changes_nothing_and_another_is_a_conflict() {
    let node = Node::join(&MemoryStore::new()).await;
    let first = node.links.put(link("front", "back")).await.expect("put");
    let again = node
        .links
        .put(link("front", "back"))
        .await
        .expect("the same");
    assert_eq!(first.revision, again.revision);

    let other = link("front", "elsewhere");
    let error = node.links.put(other.clone()).await.expect_err("conflict");
    let LinkError::Conflict { existing } = &error else {
        panic!("{error}")
    };
    assert_eq!(existing, &first);
    assert_eq!(
        error.to_string(),
        "there is a link front -> a:b/c@0.2 (default) already, to `back`; give this one a name of its own with `Link::named`, or put it with `replace`"
    );
    // A compatible version is the same key; a name of its own is not.
    let compatible = Link::new("front", "a:b/c@0.2.9", "back").expect("valid");
    let error = node.links.put(compatible).await.expect_err("conflict");
    assert!(matches!(error, LinkError::Conflict { .. }), "{error}");
    node.links
        .put(other.clone().named("second").expect("valid"))
        .await
        .expect("another name");

    let replaced = node.links.replace(other.clone()).await.expect("replaced");
    assert!(replaced.revision > first.revision);
    assert_eq!(
        node.links.get(&other.key()).expect("there").link.target,
        id("elsewhere")
    );
    let same = node.links.replace(other).await.expect("the same");
    assert_eq!(same.revision, replaced.revision);
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_the_place_of_the_revision_that_was_read_and_no_other() {
    let node = Node::join(&MemoryStore::new()).await;
    let first = node.links.put(link("front", "a")).await.expect("put");
    let second = node
        .links
        .update(link("front", "b"), first.revision)
        .await
        .expect("as read");
    let error = node
        .links
        .update(link("front", "c"), first.revision)
        .await
        .expect_err("changed");
    assert!(
        matches!(&error, LinkError::Changed { found: Some(found), .. } if *found == second),
        "{error}"
    );
    node.links.delete(&second.key).await.expect("deleted");
    let error = node
        .links
        .update(link("front", "c"), second.revision)
        .await
        .expect_err("gone");
    assert!(
        matches!(&error, LinkError::Changed { found: None, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn links_that_can_not_work_are_refused_with_the_reason() {
    let node = Node::join(&MemoryStore::new()).await;
    node.types
        .publish(&id("back"), &exporting("get", "func()"))
        .await
        .expect("published");
    node.types
        .publish(&id("front"), &importing("get", "func(a: u8)"))
        .await
        .expect("published");

    let mut no_json = link("front", "back");
    no_json.config = "{".to_owned();
    let wrong = Link::new("front", "x:y/z", "back").expect("valid");
    let differs = link("front", "back");
    for (link, expected) in [
        (no_json, "is not JSON"),
        (wrong, "does not export `x:y/z`, only `a:b/c@0.2.0`"),
        (
            differs.clone(),
            "has type `func(a: u8)` for component `front`, but component `back` has `func()`",
        ),
    ] {
        let error = node.links.put(link.clone()).await.expect_err(expected);
        assert!(matches!(error, LinkError::Misfit(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let error = node.links.replace(link).await.expect_err(expected);
        assert!(matches!(error, LinkError::Misfit(_)), "{error}");
    }
    assert_eq!(node.links.list(), []);
    // Who was never started may be linked; so may a component to itself.
    node.links
        .put(link("later", "back"))
        .await
        .expect("an unknown source");
    node.links
        .put(link("front", "later"))
        .await
        .expect("an unknown target");
    node.links.put(link("back", "back")).await.expect("itself");
    // A new version of the source fits.
    node.types
        .publish(&id("front"), &importing("get", "func()"))
        .await
        .expect("published");
    node.links.replace(differs).await.expect("fits now");
}

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

#[tokio::test(start_paused = true)]
async fn of_two_that_put_different_links_one_is_told_of_the_other() {
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
            both => panic!("one of them: {both:?}"),
        };
        assert!(
            matches!(&lost, LinkError::Conflict { existing } if existing.link == won.link),
            "{lost}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn many_that_replace_one_link_all_succeed_in_turn() {
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
async fn reports_of_many_hosts_on_a_link_are_kept_until_it_changes() {
    let store = MemoryStore::new();
    let nodes = join_all((0..4).map(|_| Node::join(&store))).await;
    let links = &nodes[0].links;
    let put = links.put(link("front", "back")).await.expect("put");
    for node in &nodes {
        node.sees(put.revision).await;
    }
    let (key, revision) = ((*put.key).clone(), put.revision);
    let refusals = nodes.iter().enumerate().map(|(n, node)| {
        let host = host(&format!("h{n}"));
        let key = &key;
        async move {
            node.links
                .report(&host, key, revision, LinkStatus::rejected("no bucket"))
                .await
        }
    });
    for reported in join_all(refusals).await {
        reported.expect("reported");
    }
    let last = store
        .read(status_key(&put.link))
        .await
        .expect("read")
        .expect("there")
        .revision;
    nodes[0].sees(last).await;
    let entry = links.get(&key).expect("there");
    assert_eq!(entry.status, LinkStatus::rejected("no bucket"));
    assert_eq!((entry.reports.len(), entry.revision), (4, put.revision));
    links
        .report(&host("h9"), &key, put.revision, LinkStatus::Active)
        .await
        .expect("reported");
    assert_eq!(links.get(&key).expect("there").status, LinkStatus::Active);

    let next = links
        .replace(link("front", "elsewhere"))
        .await
        .expect("replaced");
    assert_eq!(next.status, LinkStatus::Pending);
    assert_eq!(
        store.read(status_key(&next.link)).await.expect("read"),
        None
    );
    let late = links
        .report(&host("h9"), &key, put.revision, LinkStatus::Active)
        .await;
    assert!(
        matches!(late, Err(ReportError::Outdated { .. })),
        "{late:?}"
    );
    links
        .report(&host("h9"), &key, next.revision, LinkStatus::Active)
        .await
        .expect("reported");
    links.delete(&key).await.expect("deleted");
    assert_eq!(
        store.read(status_key(&next.link)).await.expect("read"),
        None
    );
    let late = links
        .report(&host("h9"), &key, next.revision, LinkStatus::Active)
        .await;
    assert!(
        matches!(late, Err(ReportError::Outdated { .. })),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_is_written_over_garbage() {
    let node = Node::join(&MemoryStore::new()).await;
    let put = node.links.put(link("front", "back")).await.expect("put");
    node.scribble(status_key(&put.link), b"garbage").await;
    node.links
        .report(&host("h"), &put.key, put.revision, LinkStatus::Active)
        .await
        .expect("reported");
    assert_eq!(
        node.links.get(&put.key).expect("there").status,
        LinkStatus::Active
    );
}

#[tokio::test(start_paused = true)]
async fn watching_starts_with_what_is_there_and_survives_falling_behind_and_outages() {
    let store = MemoryStore::new();
    let (node, writer) = (Node::join(&store).await, Node::join(&store).await);
    writer.links.put(link("front", "a")).await.expect("put");
    let mut watch = std::pin::pin!(node.links.watch().into_stream());
    let added = next(&mut watch).await;
    assert!(
        matches!(&added, LinkChange::Added(entry) if entry.link.target == id("a")),
        "{added:?}"
    );

    // More than the store keeps for a slow watcher, while it is out of reach.
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
        "what is known stays"
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
async fn a_store_made_anew_has_no_links_until_they_are_put_again() {
    let store = MemoryStore::new();
    let node = Node::join(&store).await;
    let put = node.links.put(link("front", "back")).await.expect("put");
    let old = node.replica.links().incarnation();
    store.wipe();
    node.links.put(link("other", "back")).await.expect("put");
    assert_eq!(node.links.get(&put.key), None);
    assert_eq!(node.replica.health().recreated, 1);
    // A caller that still knows the old life is not waited for.
    let now = Instant::now();
    node.replica
        .wait_for(old, put.revision, now)
        .await
        .expect("the store is a later one");
    node.links
        .put(link("front", "back"))
        .await
        .expect("put again");
}

async fn next(watch: &mut (impl futures_util::Stream<Item = LinkChange> + Unpin)) -> LinkChange {
    let next = timeout(Duration::from_secs(5), watch.next()).await;
    next.expect("a change in time").expect("not closed")
}

#[tokio::test(start_paused = true)]
async fn types_are_published_once_and_read_by_everyone() {
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
    // The same types of another component are there already.
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
async fn hosts_that_start_the_same_component_at_once_publish_it_once() {
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
async fn unusable_types_are_an_error_for_readers_and_no_obstacle_for_links_and_publishers() {
    let node = Node::join(&MemoryStore::new()).await;
    let types = exporting("get", "func()");
    let digest = node
        .types
        .publish(&id("back"), &types)
        .await
        .expect("published");
    // Nobody reads from its memory here: a reader of its own.
    let reader = Node::join(&node.store).await;
    node.scribble(StoreKey::types(&digest.to_hex()), b"garbage")
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
        .expect("written over");
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
async fn types_too_large_for_the_store_are_refused() {
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

#[tokio::test(start_paused = true)]
async fn a_link_too_large_is_refused() {
    let node = Node::join(&MemoryStore::new()).await;
    let large = link("front", "back")
        .config(&"x".repeat(100_000))
        .expect("JSON");
    let error = node.links.put(large).await.expect_err("too large");
    assert!(
        matches!(error, LinkError::Misfit(Misfit::TooLarge { .. })),
        "{error}"
    );
}

/// Does what it is asked to, and loses every other answer to a commit.
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
    fn watch(&self) -> BoxFuture<'_, Result<Watch, StoreError>> {
        self.store.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_and_nothing_is_written_twice() {
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
    lose_next();
    let types = exporting("get", "func()");
    node.types
        .publish(&id("back"), &types)
        .await
        .expect("published");
    assert_eq!(commits(), 1);
}
