//! What was recorded and is played again.

use crate::*;

#[tokio::test]
async fn a_replayed_frame_runs_once() {
    let scene = Scene::set().await;
    let b = &scene.two.b;
    let mut tap = scene.tap(scene.inbox()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    let before = b.refused();
    for _ in 0..5 {
        scene.send(scene.inbox(), recorded.clone()).await;
    }
    eventually("all five are refused", async || b.refused() == before + 5).await;
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 1);
    scene.still_works().await;
}

#[tokio::test]
async fn a_frame_for_another_boot_is_refused() {
    let scene = Scene::set().await;
    let a = &scene.two.a;
    let mut tap = scene.tap(scene.inbox()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    let before = a.refused();
    let elsewhere = scene.subjects.call(a.host_id(), a.origin().epoch);
    scene.send(elsewhere, recorded).await;
    eventually("it is refused", async || a.refused() == before + 1).await;
    scene.still_works().await;
}
