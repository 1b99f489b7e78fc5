//! Several apps and people that write the same resources.

use super::*;
use futures_util::{StreamExt as _, future::join_all};
use lattice_core::{
    app::ResourceRef,
    link::{Link, LinkEntry},
};

const LINKED: &str = "external = [\"front\", \"back\", \"other\"]\n[[links]]\nfrom = \"front\"\nto = \"back\"\ninterface = \"a:b/c@0.2.0\"\n";

fn linking(name: &str, to: &str) -> App {
    app(&format!("name = \"{name}\"\n{LINKED}").replace("to = \"back\"", &format!("to = \"{to}\"")))
}

#[tokio::test(start_paused = true)]
async fn two_apps_cannot_own_the_same_link_or_component() {
    let lattice = join(&MemoryStore::new()).await;
    lattice
        .apply(&linking("one", "back"))
        .await
        .expect("applied");
    // This includes an equal link.
    for to in ["back", "other"] {
        let problems = objections(&lattice, &linking("two", to)).await;
        assert_eq!(
            problems.to_string(),
            "app.toml:3:1: links[0]: link front -> a:b/c@0.2 (default) belongs to app `one`; give this one another name, or remove it from that app first"
        );
    }
    lattice
        .apply(&actors("three", &["a"]))
        .await
        .expect("applied");
    let problems = objections(&lattice, &actors("four", &["a", "b"])).await;
    let owned = |kind: &ProblemKind| matches!(kind, ProblemKind::Owned { app, resource: ResourceRef::Actor(_) } if *app == name("three"));
    assert!(kinds(&problems).into_iter().all(owned), "{problems}");
    // An id names one component of any kind.
    let provider = app("name = \"five\"\n[providers.a]\nbuiltin = \"x\"\n");
    let problems = objections(&lattice, &provider).await;
    assert!(kinds(&problems).into_iter().all(owned), "{problems}");
    let error = lattice.apply(&provider).await.expect_err("refused");
    assert!(matches!(error, ApplyError::Plan(PlanError::Problems(_))) && !error.is_retryable());
    assert!(lattice.desired().providers.is_empty());

    lattice.delete_app(&name("one")).await.expect("deleted");
    lattice
        .apply(&linking("two", "other"))
        .await
        .expect("free now");
}

#[tokio::test(start_paused = true)]
async fn a_resource_put_by_a_person_is_adopted_only_when_it_is_equal() {
    let lattice = join(&MemoryStore::new()).await;
    let link = Link::new("front", "a:b/c@0.2.0", "back").expect("valid");
    lattice.links().put(link).await.expect("put");
    let problems = objections(&lattice, &linking("one", "other")).await;
    assert!(
        matches!(kinds(&problems)[0], ProblemKind::ByHand { .. }),
        "{problems}"
    );
    let applied = lattice
        .apply(&linking("one", "back"))
        .await
        .expect("applied");
    let differences = &applied.plan.change[0].differences;
    assert_eq!(differences[0].to_string(), "app: nothing -> \"one\"");
    let applied = lattice
        .apply(&linking("one", "back"))
        .await
        .expect("applied");
    assert!(applied.plan.is_empty());
    let problems = objections(&lattice, &linking("two", "back")).await;
    assert!(
        matches!(kinds(&problems)[0], ProblemKind::Owned { .. }),
        "{problems}"
    );
    // An app may change its own resources.
    let applied = lattice
        .apply(&linking("one", "other"))
        .await
        .expect("applied");
    assert_eq!(
        applied.plan.change[0].differences[0].to_string(),
        "target: \"back\" -> \"other\""
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_concurrent_applies_one_wins_and_the_others_can_retry() {
    let store = MemoryStore::new();
    let lattices = join_all((0..6).map(|_| join(&store))).await;
    for round in 0..10 {
        let version = |n: usize| {
            app(&format!(
                "name = \"shop\"\n[actors.a{n}]\nimage = \"{IMAGE}\"\n[actors.r{round}]\nimage = \"{IMAGE}\"\n"
            ))
        };
        let apps: Vec<App> = (0..lattices.len()).map(version).collect();
        let each = lattices
            .iter()
            .zip(&apps)
            .map(|(lattice, app)| lattice.apply(app));
        let outcomes = join_all(each).await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 1, "round {round}: {outcomes:?}");
        for (n, outcome) in outcomes.iter().enumerate() {
            let Err(error) = outcome else { continue };
            assert!(
                matches!(error, ApplyError::Conflict { .. }) && error.is_retryable(),
                "{error}"
            );
            in_the_end(&lattices[n], &apps[n]).await;
            let actors: Vec<_> = lattices[n].desired().actors.keys().cloned().collect();
            assert_eq!(
                actors,
                [id(&format!("a{n}")), id(&format!("r{round}"))],
                "one complete manifest"
            );
        }
        // All processes have seen the last one before the next round.
        let revisions = lattices.iter().map(|lattice| lattice.desired().revision);
        let last = revisions.max().expect("several");
        for lattice in &lattices {
            let mut follow = lattice.watch_desired();
            while follow.next().await.expect("open").revision < last {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_apps_that_adopt_a_link_concurrently_do_not_both_own_it() {
    for _ in 0..20 {
        let store = MemoryStore::new();
        let (one, two) = (join(&store).await, join(&store).await);
        let link = Link::new("front", "a:b/c@0.2.0", "back").expect("valid");
        let put = one.links().put(link).await.expect("put");
        while two.links().list().is_empty() {
            two.links().watch().next().await.expect("open");
        }
        let (first, second) = (linking("one", "back"), linking("two", "back"));
        let (a, b) = tokio::join!(one.apply(&first), two.apply(&second));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        let owner = |entry: &LinkEntry| one.desired().link_owner(&entry.key).cloned();
        let owner = owner(&put).or(two.desired().link_owner(&put.key).cloned());
        assert_eq!(owner, Some(name(if a.is_ok() { "one" } else { "two" })));
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_is_applied_and_deleted_only_if_the_caller_agrees_to_its_plan() {
    let lattice = join(&MemoryStore::new()).await;
    let shop = actors("shop", &["a", "b"]);
    let seen = lattice.plan(&shop).await.expect("planned");
    let earlier = actors("shop", &["a"]);
    lattice.apply(&earlier).await.expect("applied");
    let refused = lattice.apply_if(&shop, |plan| *plan == seen).await;
    let refused = refused.expect_err("the plan is another one");
    assert!(
        matches!(&refused, ApplyError::PlanChanged { app } if *app == name("shop")),
        "{refused}"
    );
    assert!(!refused.is_retryable());
    assert_eq!(lattice.desired().actors.len(), 1);
    let seen = lattice.plan(&shop).await.expect("planned");
    let applied = lattice.apply_if(&shop, |plan| *plan == seen).await;
    assert_eq!(applied.expect("applied").plan, seen);

    let refused = lattice.delete_app_if("shop", |_| false).await;
    let refused = refused.expect_err("the caller doesn't agree");
    assert!(
        matches!(refused, ApplyError::PlanChanged { .. }),
        "{refused}"
    );
    assert_eq!(lattice.desired().actors.len(), 2);
    let deleted = lattice.delete_app_if("shop", |plan| !plan.delete.is_empty());
    deleted.await.expect("deleted");
    assert!(lattice.desired().apps.is_empty());
}
