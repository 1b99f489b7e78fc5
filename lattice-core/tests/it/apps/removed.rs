//! Deleted records, and records that something without the key has removed.

use super::*;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use lattice_core::{
    app::Warning,
    desired::Desired,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Revision, StoreError, StoreKey, StoreWatch,
    },
};
use std::time::Duration;

const SHOP: &str = "name = \"shop\"\n[actors.a]\nimage = \"registry.example/shop/greeter:1\"\nconfigs = [\"c\"]\n[actors.b]\nimage = \"registry.example/shop/greeter:1\"\n[configs.c]\ncolor = \"red\"\n[[links]]\nfrom = \"a\"\nto = \"b\"\ninterface = \"a:b/c@0.2.0\"\n";

/// Returns the desired state of `lattice` once it includes everything in the store.
async fn current(store: &MemoryStore, lattice: &Lattice) -> Arc<Desired> {
    let mark = StoreKey::actor(&id("mark"));
    let put = Op::put(mark.clone(), "mark", Expect::Any);
    let revision = store.commit(vec![put]).await.expect("written");
    let mut follow = lattice.watch_desired();
    let desired = loop {
        let desired = follow.next().await.expect("open");
        if desired.revision >= revision {
            break desired;
        }
    };
    let gone = Op::delete(mark, Expect::Any);
    let revision = store.commit(vec![gone]).await.expect("removed");
    while follow.next().await.expect("open").revision < revision {}
    desired
}

fn owned(lattice: &Lattice) -> Vec<StoreKey> {
    let desired = lattice.desired();
    let app = desired.apps.get(&name("shop")).expect("there");
    let mut owned: Vec<StoreKey> = app.spec.owns.iter().cloned().collect();
    owned.push(StoreKey::app(&name("shop")));
    owned
}

#[tokio::test(start_paused = true)]
async fn a_record_removed_without_the_key_stays_until_it_is_applied_or_deleted() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let shop = app(SHOP);
    lattice.apply(&shop).await.expect("applied");
    let before = lattice.desired();
    let owned = owned(&lattice);
    assert_eq!(owned.len(), 5);
    let remove = async || {
        for key in &owned {
            let op = Op::delete(key.clone(), Expect::Any);
            store.commit(vec![op]).await.expect("removed");
        }
        current(&store, &lattice).await
    };
    let desired = remove().await;
    assert_eq!(desired.actors, before.actors);
    assert_eq!(desired.configs, before.configs);
    assert_eq!(desired.apps, before.apps);
    assert_eq!(desired.declared, before.declared);
    for key in &owned {
        let found = &desired.unreadable[key];
        assert!(found.is_absent && !found.is_newer, "{key}: {found:?}");
        assert!(found.reason.contains("without this lattice's key"), "{key}");
    }
    assert!(lattice.links().list().is_empty(), "links fail closed");

    let plan = lattice.plan(&shop).await.expect("a plan");
    let over = |warning: &&Warning| matches!(warning, Warning::WrittenOver { .. });
    assert_eq!(
        plan.warnings.iter().filter(over).count(),
        owned.len(),
        "{plan}"
    );
    lattice.apply(&shop).await.expect("applied");
    let desired = current(&store, &lattice).await;
    assert!(!desired.unreadable.keys().any(|key| owned.contains(key)));
    assert_eq!(desired.actors.len(), 2);
    assert_eq!(lattice.links().list().len(), 1);

    remove().await;
    lattice.delete_app("shop").await.expect("deleted");
    let desired = current(&store, &lattice).await;
    assert!(!desired.unreadable.keys().any(|key| owned.contains(key)));
    assert!(desired.actors.is_empty() && desired.configs.is_empty() && desired.apps.is_empty());
    let missing = lattice.delete_app("shop").await.expect_err("deleted");
    assert!(
        matches!(missing, ApplyError::Plan(PlanError::NoSuchApp { .. })),
        "{missing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_app_is_deleted_also_by_a_process_that_never_saw_what_was_removed_without_the_key() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    lattice.apply(&app(SHOP)).await.expect("applied");
    let shop = StoreKey::app(&name("shop"));
    let (of_app, rest): (Vec<_>, Vec<_>) =
        owned(&lattice).into_iter().partition(|key| *key == shop);
    assert_eq!((of_app.len(), rest.len()), (1, 4));
    for key in &rest {
        let op = Op::delete(key.clone(), Expect::Any);
        store.commit(vec![op]).await.expect("removed");
    }
    let desired = current(&store, &lattice).await;
    assert_eq!(desired.actors.len(), 2, "they stay as they were");

    let later = join(&store).await;
    assert!(later.desired().actors.is_empty(), "it never saw them");
    let deleted = later.delete_app("shop").await.expect("deleted");
    assert_eq!(deleted.plan.delete.len(), 1, "{}", deleted.plan);
    let desired = current(&store, &lattice).await;
    assert!(desired.actors.is_empty() && desired.configs.is_empty() && desired.apps.is_empty());
    assert!(!desired.unreadable.keys().any(|key| rest.contains(key)));
}

#[tokio::test(start_paused = true)]
async fn deletions_are_no_records() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    let shop = app(SHOP);
    for round in 0..3 {
        let applied = lattice.apply(&shop).await.expect("applied");
        assert_eq!(
            applied.plan.create.len(),
            5,
            "round {round}: {}",
            applied.plan
        );
        lattice.delete_app("shop").await.expect("deleted");
        let later = join(&store).await;
        for lattice in [&lattice, &later] {
            let desired = current(&store, lattice).await;
            let kept = desired.unreadable.keys();
            assert!(kept.eq([&StoreKey::actor(&id("mark"))]), "{desired:?}");
            assert!(desired.actors.is_empty() && desired.apps.is_empty());
            assert!(desired.configs.is_empty() && lattice.links().list().is_empty());
            let plan = lattice.plan(&shop).await.expect("a plan");
            assert_eq!(
                (plan.create.len(), plan.warnings.len()),
                (5, applied.plan.warnings.len())
            );
        }
    }
    // A process that starts later writes over deletions that it has not made.
    let later = join(&store).await;
    later.apply(&shop).await.expect("applied");
    assert_eq!(current(&store, &lattice).await.actors.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_app_stays_deleted_for_processes_that_start_after_its_deletion() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    lattice.apply(&app(SHOP)).await.expect("applied");
    let mut values = Vec::new();
    for key in owned(&lattice) {
        let entry = store.read(key.clone()).await.expect("in reach");
        values.push((key, entry.expect("there").value));
    }
    lattice.delete_app("shop").await.expect("deleted");
    let later = join(&store).await;
    for (key, value) in values {
        let op = Op::put(key, value, Expect::Any);
        store.commit(vec![op]).await.expect("written");
    }
    for lattice in [&lattice, &later] {
        let desired = current(&store, lattice).await;
        assert!(desired.actors.is_empty() && desired.apps.is_empty());
        assert_eq!(desired.unreadable.len(), 6, "{:?}", desired.unreadable);
        assert!(lattice.links().list().is_empty());
    }
}

/// A store whose responses to commits are forged. Nothing is written.
#[derive(Debug)]
struct Forged(MemoryStore);

impl Store for Forged {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.0.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.0.read(key)
    }
    fn commit(&self, _: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Ok(Revision(1)) })
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.0.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        self.0.watch()
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_answer_to_a_commit_is_not_believed() {
    let store = MemoryStore::new();
    let lattice = join(&store).await;
    lattice.apply(&app(SHOP)).await.expect("applied");
    let deceived = over(Arc::new(Forged(store.clone()))).await;
    for error in [
        deceived
            .apply(&actors("other", &["x"]))
            .await
            .expect_err("nothing is written"),
        deceived
            .delete_app("shop")
            .await
            .expect_err("nothing is written"),
    ] {
        assert!(matches!(error, ApplyError::Unknown { .. }), "{error:?}");
    }
    assert_eq!(current(&store, &lattice).await.apps.len(), 1);
}
