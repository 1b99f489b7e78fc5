//! Processes that run and no longer say that they are alive.

use super::{
    life::replaced,
    scene::{PROGRAM, Scene, has_ended, pid, runs},
};
use crate::{host::support::started, nats::signal, wait::until};
use lattice_core::name::ComponentId;

/// A shorter silence than the default one. That of a busy machine is shorter.
const SETTING: &str = "\"lattice.silent-seconds\" = \"3\"";

/// Waits until people see why the last process of the provider has ended.
async fn last_end(scene: &Scene) -> String {
    let (view, id) = (scene.lattice.constellation(), ComponentId::new("actor"));
    let (mut last, id) = (None, id.expect("an id"));
    until("the end of the process is reported", || {
        let view = view.snapshot();
        let mut replicas = view.replicas_of(&id);
        last = replicas.find_map(|replica| replica.process.as_ref()?.last_exit.clone());
        last.is_some()
    })
    .await;
    last.expect("it was reported")
}

#[tokio::test]
async fn a_process_that_is_stopped_is_killed_and_serves_again() {
    let (scene, _host) = Scene::with(SETTING).await;
    let client = scene.client().await;
    let first = pid(&client).await;
    signal(first, "STOP");
    has_ended(first).await;
    replaced(&client, first).await;
    let last = last_end(&scene).await;
    assert!(last.contains("has not said for 3s"), "{last}");
    assert!(last.contains("`lattice.silent-seconds`"), "{last}");
}

#[tokio::test]
async fn a_process_whose_threads_are_all_blocked_is_killed_and_serves_again() {
    let (scene, _host) = Scene::with(SETTING).await;
    let client = scene.client().await;
    let first = pid(&client).await;
    // Its result may not be sent any more.
    let _ = client.block_all().await;
    has_ended(first).await;
    replaced(&client, first).await;
    let last = last_end(&scene).await;
    assert!(last.contains("has not said for 3s"), "{last}");
}

/// The one that is stopped shows that the host looks after its processes meanwhile, and for how
/// long.
#[tokio::test]
async fn while_the_server_is_away_a_process_that_is_well_goes_on_and_a_stopped_one_is_killed() {
    let mut scene = Scene::new().await;
    let _host = started(scene.host().id("keeper")).await;
    scene
        .apply_text(&format!(
            "name = \"test\"
            [providers.actor]\nimage = \"file:{PROGRAM}\"\nconfig = {{ {SETTING} }}
            [providers.other]\nimage = \"file:{PROGRAM}\"\nconfig = {{ {SETTING} }}\n"
        ))
        .await;
    let (client, other) = (scene.client().await, scene.client_of("other").await);
    let (well, stopped) = (pid(&client).await, pid(&other).await);
    scene.server.kill();
    signal(stopped, "STOP");
    has_ended(stopped).await;
    assert!(runs(well), "it was killed because the server is away");
    scene.server.restart().await;
    assert_eq!(pid(&client).await, well);
}
