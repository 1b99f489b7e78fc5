//! Apps that are too large.

use super::*;
use lattice_core::{
    app::{ActorManifest, AppManifest},
    desired::Replicas,
    store::MAX_OPS,
};
use std::{num::NonZeroU32, time::Duration};

fn many(count: usize) -> App {
    let mut manifest = AppManifest::new("many").expect("valid");
    for n in 0..count {
        let actor = ActorManifest::new(IMAGE.parse().expect("an image"));
        manifest.actors.insert(id(&format!("a{n}")), actor);
    }
    manifest.into()
}

#[tokio::test(start_paused = true)]
async fn an_app_that_fills_one_commit_fits_and_a_larger_one_is_rejected_completely() {
    let lattice = join(&MemoryStore::new()).await;
    let error = lattice
        .plan(&many(MAX_OPS))
        .await
        .expect_err("one too many");
    assert_eq!(
        error.to_string(),
        "app `many` takes 1001 writes at once and the limit is 1000; split it into several apps, or apply large changes in steps"
    );
    assert!(lattice.apply(&many(MAX_OPS)).await.is_err());
    assert!(lattice.desired().actors.is_empty());
    lattice.apply(&many(MAX_OPS - 1)).await.expect("fits");
    assert_eq!(lattice.desired().actors.len(), MAX_OPS - 1);
    let error = lattice
        .plan(&many(MAX_OPS))
        .await
        .expect_err("it could not be deleted");
    assert!(
        matches!(error, PlanError::TooLarge { ops: 1_001, .. }),
        "{error}"
    );
    lattice
        .delete_app(&name("many"))
        .await
        .expect("deleted completely");
    assert!(lattice.desired().actors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_replicas_are_rejected_without_a_manifest_too() {
    let lattice = join(&MemoryStore::new()).await;
    let mut manifest = AppManifest::new("wide").expect("valid");
    let mut actor = ActorManifest::new(IMAGE.parse().expect("an image"));
    actor.replicas = Some(Replicas::Exactly(u32::MAX));
    manifest.actors.insert(id("a"), actor);
    let error = lattice.plan(&manifest.into()).await.expect_err("too many");
    let text = format!("{error:?} {error}");
    assert!(text.contains("4294967295 replicas are too many"), "{text}");
}

/// Returns an app with one actor that has these limits.
fn limited(limits: &str) -> String {
    format!("name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\nlimits = {{ {limits} }}\n")
}

#[tokio::test(start_paused = true)]
async fn what_others_may_hold_of_an_instance_is_limited_by_the_manifest() {
    let lattice = join(&MemoryStore::new()).await;
    let app = |limits: &str| App::from_toml("app.toml", &limited(limits)).expect("a manifest");
    lattice.apply(&app("")).await.expect("applied");
    let set = app("handles = 3, kept = \"90s\"");
    let plan = lattice.plan(&set).await.expect("planned");
    let changes = plan.change.iter().flat_map(|change| &change.differences);
    let fields: Vec<_> = changes
        .map(|difference| difference.field.as_str())
        .collect();
    assert_eq!(fields, ["limits.handles", "limits.kept"]);
    lattice.apply(&set).await.expect("applied");
    let limits = lattice.desired().actors[&id("a")].spec.limits;
    assert_eq!(limits.handles, NonZeroU32::new(3));
    assert_eq!(limits.kept, Some(Duration::from_secs(90)));
    assert!(lattice.plan(&set).await.expect("planned").is_empty());
}

#[test]
fn wrong_limits_of_what_others_may_hold_are_reported_with_what_to_write() {
    let time = "isn't a valid time; write a whole number of ms, s, m or h, such as `10s`";
    for (limit, says) in [
        ("handles = 0", "actors.a.limits.handles: "),
        ("handles = 0", "expected a nonzero u32"),
        ("handles = -1", "expected a nonzero u32"),
        ("handles = \"many\"", "actors.a.limits.handles: "),
        ("handels = 3", "did you mean `handles`?"),
        ("kept = \"soon\"", "actors.a.limits.kept: `soon` "),
        ("kept = \"soon\"", time),
        ("kept = \"0s\"", time),
        ("kept = 5", "a time such as \"500ms\" or \"10s\""),
    ] {
        let said = refused(&limited(limit)).to_string();
        assert!(said.contains(says), "{limit}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_oversized_record_is_rejected() {
    let lattice = join(&MemoryStore::new()).await;
    let mut manifest = AppManifest::new("large").expect("valid");
    let mut actor = ActorManifest::new(IMAGE.parse().expect("an image"));
    actor.config.insert("text".to_owned(), "x".repeat(600_000));
    manifest.actors.insert(id("a"), actor);
    let error = lattice.plan(&manifest.into()).await.expect_err("too large");
    assert!(matches!(error, PlanError::Record(_)), "{error}");
}
