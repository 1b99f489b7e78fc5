//! Apps that are too large.

use super::*;
use lattice_core::{
    app::{ActorManifest, AppManifest},
    desired::Replicas,
    store::MAX_OPS,
};

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
