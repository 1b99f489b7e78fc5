//! Schedules: each tick is run once, whatever happens to the replicas of the provider.

mod scene;
mod way;

use crate::log::Log;
use lattice_core::store::{MemoryStore, Store};
use lattice_provider_sdk::Lattice;
use scene::{Behaviour, Scene, eventually};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use way::{Fault, Way};

#[tokio::test(start_paused = true)]
async fn a_thousand_ticks_run_once_while_replicas_go_and_are_cut_off() {
    const TICKS: usize = 1_000;
    let mut scene = Scene::new().await;
    let cut_off = Way::to(&scene.store);
    let mut stable = scene.provider(Arc::new(scene.store.clone())).await;
    let partitioned = scene.provider(Arc::new(cut_off.clone())).await;
    let mut doomed = Some(scene.provider(Arc::new(scene.store.clone())).await);
    scene.link("ticks", &json!({ "every": "1s" })).await;
    let mut ticks = Vec::new();
    let mut rounds = 0;
    while ticks.len() < TICKS {
        ticks.push(scene.tick().await.due);
        match ticks.len() % 100 {
            20 => cut_off.set(Fault::Fails),
            40 => cut_off.set(Fault::LosesAnswers),
            60 => cut_off.set(Fault::None),
            // Stopped, and replaced after some ticks.
            70 => {
                doomed = None;
                rounds += 1;
            }
            80 => doomed = Some(scene.provider(Arc::new(scene.store.clone())).await),
            // The one that stayed is replaced as well.
            90 => stable = scene.provider(Arc::new(scene.store.clone())).await,
            _ => {}
        }
    }
    drop((stable, partitioned, doomed));
    let mut runs = BTreeMap::new();
    for due in &ticks {
        *runs.entry(*due).or_insert(0) += 1;
    }
    assert!(
        runs.values().all(|times| *times == 1),
        "a tick has run twice"
    );
    // A tick is lost at most where its replica was stopped.
    let (first, last) = (runs.keys().min(), runs.keys().max());
    let span = last.expect("a tick") - first.expect("a tick");
    let missed = span / 1_000 + 1 - runs.len() as u64;
    assert!(
        missed <= 2 * rounds,
        "{missed} ticks were missed in {rounds} rounds"
    );
}

#[tokio::test(start_paused = true)]
async fn two_replicas_race_for_each_tick_and_one_gets_it() {
    let mut scene = Scene::new().await;
    let store = Arc::new(scene.store.clone());
    let _one = scene.provider(store.clone()).await;
    let _two = scene.provider(store).await;
    scene.link("minutes", &json!({ "cron": "* * * * *" })).await;
    let mut before = scene.tick().await;
    assert_eq!(
        (&*before.name, before.attempt, before.due % 60_000),
        ("minutes", 1, 0)
    );
    for _ in 0..20 {
        let tick = scene.tick().await;
        assert_eq!(tick.due, before.due + 60_000);
        before = tick;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_has_a_span_with_its_attempts() {
    let log = Log::default();
    let _captured = log.capture_spans();
    let mut scene = Scene::new().await;
    let _provider = scene.provider(Arc::new(scene.store.clone())).await;
    scene.behave(Behaviour::Fail);
    let config = json!({ "cron": "* * * * *", "attempts": 2 });
    scene.link("minutes", &config).await;
    for attempt in [1, 2] {
        assert_eq!(scene.tick().await.attempt, attempt);
    }
    let lines = |what: &str| {
        let text = log.text();
        let lines = text.lines().filter(|line| line.contains(what));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("the tick has ended", async || {
        lines(": lattice::backend: close").len() == 1
    })
    .await;
    let ended = lines(": lattice::backend: close").remove(0);
    for field in [
        "otel.name=\"tick minutes\"",
        "otel.kind=\"internal\"",
        "lattice.target=\"actor\"",
        "error.type=\"_OTHER\"",
    ] {
        assert!(ended.contains(field), "{field} isn't in {ended}");
    }
    let retries = lines("lattice.attempt=1");
    assert_eq!(retries.len(), 1, "{retries:#?}");
    assert!(retries[0].contains("tick{"), "{retries:#?}");
    // Both calls are within the span.
    let calls = lines(": lattice::calls: close");
    let within = calls
        .iter()
        .filter(|call| call.contains("tick{") && call.contains("}:call{"));
    let clients = within.filter(|call| !call.contains(":serve{"));
    assert_eq!(clients.count(), 2, "{calls:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_tried_again_as_often_as_the_link_says() {
    let mut scene = Scene::new().await;
    let provider = scene.provider(Arc::new(scene.store.clone())).await;
    scene.behave(Behaviour::Fail);
    scene
        .link("ticks", &json!({ "every": "1m", "attempts": 3 }))
        .await;
    for attempt in 1..=3 {
        assert_eq!(scene.tick().await.attempt, attempt);
    }
    eventually("the failure is shown", async || {
        let health = provider.health().await;
        health.is_err_and(|reason| reason.contains("the last tick has failed"))
    })
    .await;
    scene.behave(Behaviour::Succeed);
    let next = scene.tick().await;
    assert_eq!(next.attempt, 1, "the next tick, not a fourth attempt");
    eventually("it is well", async || provider.health().await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_run_is_not_repeated() {
    let mut scene = Scene::new().await;
    let provider = scene.provider(Arc::new(scene.store.clone())).await;
    scene.behave(Behaviour::Hang);
    let config = json!({ "every": "1m", "attempts": 3, "timeout": "1s" });
    scene.link("ticks", &config).await;
    let first = scene.tick().await;
    eventually("the failure is shown", async || {
        let health = provider.health().await;
        health.is_err_and(|reason| reason.contains("the last tick has failed"))
    })
    .await;
    scene.behave(Behaviour::Succeed);
    let next = scene.tick().await;
    assert_eq!((next.due, next.attempt), (first.due + 60_000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_tick_whose_replica_is_gone_before_its_call_is_not_run_by_another() {
    let mut scene = Scene::new().await;
    let way = Way::to(&scene.store);
    let doomed = scene.provider(Arc::new(way.clone())).await;
    let config = json!({ "every": "1m", "catch-up": "once" });
    scene.link("minutes", &config).await;
    let before = scene.tick().await.due;
    // It takes the next tick, and doesn't learn that it has.
    way.set(Fault::HoldsAnswers);
    eventually("a tick was taken", async || way.held() > 0).await;
    let _other = scene.provider(Arc::new(scene.store.clone())).await;
    drop(doomed);
    let next = scene.tick().await;
    assert_eq!((next.due, next.attempt), (before + 120_000, 1));
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_skipped_or_the_latest_is_caught_up() {
    for (catch_up, caught_up) in [("skip", false), ("once", true)] {
        let mut scene = Scene::new().await;
        let config = json!({ "every": "1m", "catch-up": catch_up });
        let provider = scene.provider(Arc::new(scene.store.clone())).await;
        scene.link("minutes", &config).await;
        let before = scene.tick().await.due;
        drop(provider);
        tokio::time::sleep(Duration::from_secs(5 * 60 + 45)).await;
        let _again = scene.provider(Arc::new(scene.store.clone())).await;
        let next = scene.tick().await.due;
        let late = u64::from(!caught_up);
        assert_eq!((next - before) / 60_000, 5 + late, "{catch_up}");
        let after = scene.tick().await.due;
        assert_eq!(after, before + (6 + late) * 60_000, "{catch_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn steps_of_the_clock_run_no_tick_twice() {
    let mut scene = Scene::new().await;
    let provider = scene.provider(Arc::new(scene.store.clone())).await;
    scene.link("ticks", &json!({ "every": "10s" })).await;
    let first = scene.tick().await.due;
    scene.step_clock(600_000);
    let ahead = scene.tick().await.due;
    assert!(ahead >= first + 600_000, "the ticks in between are skipped");
    scene.step_clock(-600_000);
    eventually("the step is shown", async || {
        let health = provider.health().await;
        health.is_err_and(|reason| reason.contains("check the clocks"))
    })
    .await;
    let next = scene.tick().await.due;
    assert_eq!(next, ahead + 10_000, "none of these minutes again");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_shown_and_ticks_go_on_when_it_is_back() {
    let mut scene = Scene::new().await;
    let store = Way::to(&scene.store);
    let provider = scene.provider(Arc::new(store.clone())).await;
    scene.link("ticks", &json!({ "every": "10s" })).await;
    let before = scene.tick().await.due;
    store.set(Fault::Fails);
    eventually("it is shown", async || {
        let health = provider.health().await;
        health.is_err_and(|reason| reason.contains("no tick can be taken"))
    })
    .await;
    store.set(Fault::None);
    let after = scene.tick().await.due;
    assert!(after > before);
    eventually("it is well", async || provider.health().await.is_ok()).await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_waits_for_an_actor_that_is_away() {
    let mut scene = Scene::new().await;
    let _provider = scene.provider(Arc::new(scene.store.clone())).await;
    scene.link("minutes", &json!({ "every": "1m" })).await;
    let before = scene.tick().await.due;
    scene.stop_actor();
    // The next tick is due 10 s before the end.
    tokio::time::sleep(Duration::from_secs(70)).await;
    scene.start_actor().await;
    let tick = scene.tick().await;
    assert_eq!((tick.due, tick.attempt), (before + 60_000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_config_is_shown_and_a_changed_link_takes_effect() {
    let mut scene = Scene::new().await;
    let provider = scene.provider(Arc::new(scene.store.clone())).await;
    for (config, expected) in [
        (json!({}), "either `cron`"),
        (
            json!({ "cron": "every day" }),
            "`cron` isn't a cron expression",
        ),
        (json!({ "evry": "1s" }), "evry"),
    ] {
        scene.link("ticks", &config).await;
        eventually(expected, async || {
            let health = provider.health().await;
            health.is_err_and(|reason| reason.contains(expected))
        })
        .await;
    }
    scene.link("ticks", &json!({ "every": "1s" })).await;
    let first = scene.tick().await.due;
    scene.link("ticks", &json!({ "every": "1m" })).await;
    loop {
        let tick = scene.tick().await.due;
        if tick > first + 10_000 {
            assert_eq!(tick % 60_000, 0);
            break;
        }
    }
}

/// Returns a process of the lattice that reaches the store through `way`.
async fn process(
    network: &lattice_core::bus::memory::MemoryNetwork,
    way: Arc<dyn Store>,
) -> Lattice {
    let bus = Arc::new(network.connect());
    let lattice = Lattice::on(bus, way, "test").trust_bus();
    lattice.await.expect("joins")
}

/// The store behind all processes.
type Shared = MemoryStore;
