//! Processes whose copy of the store is so old that others would refuse what they write.

use super::*;
use crate::lagging::{Delivery, Lagging, write_a_lot};
use lattice_core::{
    app::Applied,
    store::{Expect, Op, Revision, StoreKey},
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::sleep;

/// A process that is up to date, and another one that will be behind the store.
async fn processes(store: &MemoryStore) -> (Lattice, Arc<Lagging>, Lattice) {
    let way = Lagging::on(store);
    (join(store).await, way.clone(), over(way).await)
}

/// Waits until `lattice` has seen a revision.
async fn sees(lattice: &Lattice, revision: Revision) {
    while lattice.replica().health().revision < revision {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn exists(store: &MemoryStore, app: &str) -> bool {
    let read = store.read(StoreKey::app(&name(app))).await;
    read.expect("in reach").is_some()
}

/// Applies an app in a process that catches up a moment later.
async fn apply_behind(
    store: &MemoryStore,
    way: &Lagging,
    late: &Lattice,
    app: App,
) -> Result<Applied, ApplyError> {
    way.set(Delivery::Lags);
    write_a_lot(store).await;
    let applying = tokio::spawn({
        let late = late.clone();
        async move { late.apply(&app).await }
    });
    sleep(Duration::from_millis(700)).await;
    way.set(Delivery::Works);
    applying.await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn an_app_that_was_applied_by_a_process_far_behind_is_accepted_by_every_process() {
    let store = MemoryStore::new();
    let (lattice, way, late) = processes(&store).await;
    for (round, ids) in [&["a"][..], &["a", "b"], &["b"]].iter().enumerate() {
        let applied = apply_behind(&store, &way, &late, actors("shop", ids)).await;
        let revision = applied.expect("applied").revision.expect("changes");
        sees(&lattice, revision).await;
        let desired = lattice.desired();
        assert!(desired.unreadable.is_empty(), "{round}: {desired:?}");
        let found: Vec<&str> = desired.actors.keys().map(ComponentId::as_str).collect();
        assert_eq!(found, *ids, "{round}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_no_process_accepts_is_not_reported_as_applied() {
    let store = MemoryStore::new();
    let (lattice, way, late) = processes(&store).await;
    way.reports.store(false, Relaxed);
    let shop = actors("shop", &["a"]);
    let error = apply_behind(&store, &way, &late, shop.clone()).await;
    let error = error.expect_err("it is refused everywhere");
    assert!(
        matches!(error, ApplyError::Outdated { .. }) && error.is_retryable(),
        "{error:?}"
    );
    assert!(lattice.desired().actors.is_empty());
    // Long enough to catch up.
    sleep(Duration::from_millis(10)).await;
    let applied = late.apply(&shop).await.expect("applied");
    sees(&lattice, applied.revision.expect("changes")).await;
    assert!(lattice.desired().unreadable.is_empty());
    assert_eq!(lattice.desired().actors.len(), 1);
}

/// Between the plan that a person has seen and the write, the process finds that its copy is too
/// old, and plans again.
#[tokio::test(start_paused = true)]
async fn an_app_that_was_changed_where_this_process_was_behind_is_not_applied_over() {
    let store = MemoryStore::new();
    let (lattice, way, late) = processes(&store).await;
    let first = late.apply(&actors("shop", &["a"])).await.expect("applied");
    sees(&lattice, first.revision.expect("changes")).await;
    let wanted = actors("shop", &["a", "mine"]);
    let seen = late.plan(&wanted).await.expect("planned");
    way.set(Delivery::Lags);
    let theirs = lattice.apply(&actors("shop", &["a", "theirs"])).await;
    theirs.expect("applied");
    write_a_lot(&store).await;
    let applying = tokio::spawn({
        let late = late.clone();
        async move {
            let mut asked = 0;
            let applied = late.apply_if(&wanted, |plan| {
                asked += 1;
                *plan == seen
            });
            let applied = applied.await;
            (applied, asked)
        }
    });
    sleep(Duration::from_millis(700)).await;
    way.set(Delivery::Works);
    let (applied, asked) = applying.await.expect("no panic");
    let refused = applied.expect_err("something else was applied meanwhile");
    assert!(
        matches!(refused, ApplyError::PlanChanged { .. }),
        "{refused:?}"
    );
    assert!(asked > 1, "the first plan was the one that was seen");
    let actors: Vec<_> = lattice.desired().actors.keys().cloned().collect();
    assert_eq!(actors, [id("a"), id("theirs")]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stays_behind_does_not_write() {
    for delivery in [Delivery::Lags, Delivery::Lost] {
        let store = MemoryStore::new();
        let (lattice, way, late) = processes(&store).await;
        late.apply(&actors("old", &["o"])).await.expect("applied");
        way.set(delivery);
        if delivery == Delivery::Lags {
            write_a_lot(&store).await;
        }
        sleep(Duration::from_millis(10)).await;
        let shop = actors("shop", &["a"]);
        for error in [
            late.apply(&shop).await.expect_err("behind"),
            late.delete_app("old").await.expect_err("behind"),
        ] {
            assert!(
                matches!(error, ApplyError::Behind { .. }) && error.is_retryable(),
                "{delivery:?}: {error:?}"
            );
        }
        assert!(!exists(&store, "shop").await, "{delivery:?}");
        assert_eq!(lattice.desired().apps.len(), 1);
        way.set(Delivery::Works);
        late.apply(&shop).await.expect("applied");
        late.delete_app("old").await.expect("deleted");
    }
}

/// Another process declares something that this one doesn't see, and a client without the key
/// removes it again.
#[tokio::test(start_paused = true)]
async fn an_app_over_what_was_never_seen_is_not_reported_as_applied_while_it_is_refused() {
    let store = MemoryStore::new();
    let (lattice, way, late) = processes(&store).await;
    way.set(Delivery::Lags);
    let shop = actors("shop", &["a"]);
    for number in 0..3 {
        let mark = Op::put(StoreKey::for_test(&format!("m{number}")), "x", Expect::Any);
        let revision = store.commit(vec![mark]).await.expect("written");
        sees(&lattice, revision).await;
    }
    lattice.apply(&shop).await.expect("applied");
    for key in [StoreKey::actor(&id("a")), StoreKey::app(&name("shop"))] {
        let removed = store.commit(vec![Op::delete(key, Expect::Any)]).await;
        sees(&lattice, removed.expect("removed")).await;
    }
    let applying = tokio::spawn({
        let (late, shop) = (late.clone(), shop.clone());
        async move { late.apply(&shop).await }
    });
    sleep(Duration::from_millis(700)).await;
    way.set(Delivery::Works);
    let error = applying.await.expect("no panic").expect_err("refused");
    assert!(matches!(error, ApplyError::Outdated { .. }), "{error:?}");
    let applied = late.apply(&shop).await.expect("applied");
    sees(&lattice, applied.revision.expect("changes")).await;
    assert!(lattice.desired().unreadable.is_empty());
}
