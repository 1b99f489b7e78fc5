//! Processes that don't start, end, don't stop, flood or start others; and hosts that are killed.

use super::{
    life::replaced,
    scene::{Scene, has_ended, host_process, pid, runs},
};
use crate::{host::support::started, nats::signal, wait::until};
use lattice_host::{Host, Programs};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_process_that_exits_at_once_is_reported_with_its_last_lines() {
    let (scene, _host) = Scene::with("mode = \"exits-at-once\"").await;
    let said = scene.says("exit status: 3").await;
    assert!(said.contains("the disk is on fire"), "{said}");
}

#[tokio::test]
async fn a_process_that_hangs_at_start_is_killed_and_reported() {
    let config = "mode = \"hangs-at-start\", \"lattice.start-seconds\" = \"0.5\"";
    let (scene, _host) = Scene::with(config).await;
    let said = scene.says("does not serve within 500ms").await;
    assert!(said.contains("waiting for something"), "{said}");
}

#[tokio::test]
async fn settings_that_do_not_fit_are_reported_by_the_process() {
    let (scene, _host) = Scene::with("mod = \"good\"").await;
    scene
        .says("there is no setting `mod`; did you mean `mode`?")
        .await;
}

#[tokio::test]
async fn a_process_that_is_killed_under_load_serves_again_soon() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    let first = pid(&client).await;
    let (load, is_over) = (scene.again(), Arc::new(AtomicBool::new(false)));
    let ends = is_over.clone();
    let load = tokio::spawn(async move {
        while !ends.load(Ordering::Relaxed) {
            // Calls that the killed process was running fail.
            let _ = load.prefixed("x").await;
        }
    });
    signal(first, "KILL");
    let killed = Instant::now();
    replaced(&client, first).await;
    let took = killed.elapsed();
    is_over.store(true, Ordering::Relaxed);
    load.await.expect("no panic");
    // The bench measures how soon. Here, other tests run at the same time.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_process_that_keeps_ending_is_in_a_crash_loop_until_it_serves_again() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    let mut process = pid(&client).await;
    for _ in 0..2 {
        client.end(7).await.expect_err("its process has ended");
        process = replaced(&client, process).await;
    }
    client.end(7).await.expect_err("its process has ended");
    let said = scene.says("crash-looping").await;
    assert!(said.contains("exit status: 7"), "{said}");
    assert!(said.contains("told to end"), "{said}");
    replaced(&client, process).await;
    until("it is well again", || scene.reason().is_none()).await;
}

#[tokio::test]
async fn a_process_that_ignores_the_request_to_stop_is_killed() {
    let (scene, host) = Scene::with("mode = \"ignores-stop\"").await;
    let process = pid(&scene.client().await).await;
    let began = Instant::now();
    // Its calls are over, so that the host is drained.
    let _ = host.shutdown(Duration::from_secs(20)).await;
    assert!(began.elapsed() < Duration::from_secs(20));
    has_ended(process).await;
}

#[tokio::test]
async fn a_flood_of_output_holds_up_nothing() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    client.print(50_000).await.expect("it is read");
    let process = pid(&client).await;
    assert!(runs(process));
}

#[tokio::test]
async fn what_a_process_has_started_ends_with_it() {
    let (scene, _host) = Scene::with("").await;
    let client = scene.client().await;
    let process = pid(&client).await;
    let another = client.start_another().await.expect("it serves");
    assert!(runs(another));
    client.end(0).await.expect_err("its process has ended");
    has_ended(another).await;
    replaced(&client, process).await;
}

#[tokio::test]
async fn no_process_outlives_a_host_that_is_killed() {
    let scene = Scene::new().await;
    let mut host = host_process(&scene, "killed");
    scene.apply("").await;
    let client = scene.client().await;
    let process = pid(&client).await;
    let another = client.start_another().await.expect("it serves");
    host.kill();
    has_ended(process).await;
    has_ended(another).await;
}

#[tokio::test]
async fn a_process_that_is_stuck_does_not_outlive_a_host_that_is_killed() {
    let scene = Scene::new().await;
    let mut host = host_process(&scene, "killed");
    scene.apply("mode = \"ignores-stop\"").await;
    let client = scene.client().await;
    let process = pid(&client).await;
    let another = client.start_another().await.expect("it serves");
    host.kill();
    let killed = Instant::now();
    has_ended(process).await;
    has_ended(another).await;
    // Left alone, it blocks its thread for a minute.
    assert!(killed.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_host_runs_only_programs_that_it_may_run() {
    let scene = Scene::new().await;
    let elsewhere = Programs::Folder("/usr/lib/no-such-folder".into());
    let host = Host::builder(&scene.lattice).programs(elsewhere);
    let _host = started(host).await;
    scene.apply("").await;
    scene.says("this host may not run").await;
}
