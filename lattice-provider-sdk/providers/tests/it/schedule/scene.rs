//! A lattice with schedule providers, an actor that is called, and a clock that tests set.

use super::{Shared, process};
use lattice_core::{bus::memory::MemoryNetwork, serve::Service, store::Store};
use lattice_provider_sdk::{Call, IntoService, Lattice, Link, ServeHandle, Stateless, serve};
use lattice_providers::schedule::{HANDLER, Schedule};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{sync::mpsc, time::Instant};

lattice_provider_sdk::provider!({ inline: "
    package test:ticked;
    world ticked { export lattice:schedule/handler@0.1.0; }
" });

use lattice::schedule::handler::Handler;
pub(crate) use lattice::schedule::handler::Tick;

/// The longest that a test waits, by its own paused clock.
const PATIENCE: Duration = Duration::from_hours(1);

/// What the actor does with a tick.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behaviour {
    Succeed,
    Fail,
    /// Never returns.
    Hang,
}

#[derive(Clone)]
struct Actor {
    behaviour: Arc<Mutex<Behaviour>>,
    ticks: mpsc::UnboundedSender<Tick>,
}

impl Stateless for Actor {
    type World = World;
}

impl Handler for Actor {
    async fn on_tick(&self, _: &Call<Self>, tick: Tick) -> Result<(), String> {
        // The test may have ended.
        let _ = self.ticks.send(tick);
        let behaviour = *self.behaviour.lock().expect("no panic holds it");
        match behaviour {
            Behaviour::Succeed => Ok(()),
            Behaviour::Fail => Err("it always fails".to_owned()),
            Behaviour::Hang => std::future::pending().await,
        }
    }
}

/// A clock that follows tokio's, and that tests set.
#[derive(Clone)]
struct TestClock {
    start: Instant,
    step_ms: Arc<AtomicI64>,
}

impl TestClock {
    fn now(&self) -> SystemTime {
        // 2024-02-29T23:59:30.250Z.
        let start: i64 = 1_709_251_170_250;
        let elapsed = self.start.elapsed().as_millis() as i64;
        let now = start + elapsed + self.step_ms.load(Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_millis(now as u64)
    }
}

/// A replica of the provider, in a process of its own. Dropping it kills it.
pub(crate) struct Replica {
    service: Arc<dyn Service>,
    _serving: ServeHandle,
    _lattice: Lattice,
}

impl Replica {
    pub(crate) async fn health(&self) -> Result<(), String> {
        self.service.health().await
    }
}

pub(crate) struct Scene {
    pub(crate) store: Shared,
    network: MemoryNetwork,
    lattice: Lattice,
    clock: TestClock,
    actor: Actor,
    serving: Option<ServeHandle>,
    ticks: mpsc::UnboundedReceiver<Tick>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (network, store) = (MemoryNetwork::new(), Shared::new());
        let lattice = process(&network, Arc::new(store.clone())).await;
        let (sender, ticks) = mpsc::unbounded_channel();
        let mut scene = Self {
            store,
            network,
            lattice,
            clock: TestClock {
                start: Instant::now(),
                step_ms: Arc::default(),
            },
            actor: Actor {
                behaviour: Arc::new(Mutex::new(Behaviour::Succeed)),
                ticks: sender,
            },
            serving: None,
            ticks,
        };
        scene.start_actor().await;
        scene
    }

    /// Starts a replica of the provider, which reaches the store through `way`.
    pub(crate) async fn provider(&self, way: Arc<dyn Store>) -> Replica {
        let lattice = process(&self.network, way).await;
        let clock = self.clock.clone();
        let schedule = Schedule::new().clock(move || clock.now());
        let service = schedule.into_service();
        let serving = serve(&lattice, "schedule", service.clone()).await;
        Replica {
            service,
            _serving: serving.expect("serves"),
            _lattice: lattice,
        }
    }

    pub(crate) async fn start_actor(&mut self) {
        let serving = serve(&self.lattice, "actor", self.actor.clone()).await;
        self.serving = Some(serving.expect("serves"));
    }

    pub(crate) fn stop_actor(&mut self) {
        self.serving = None;
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.actor.behaviour.lock().expect("no panic holds it") = behaviour;
    }

    /// Links the provider to the actor.
    pub(crate) async fn link(&self, name: &str, config: &Value) {
        let link = Link::new("schedule", HANDLER, "actor").and_then(|link| link.named(name));
        let link = link.expect("valid").config(config).expect("JSON");
        self.lattice.links().replace(link).await.expect("put");
    }

    /// Sets the clock of all hosts forward, or back.
    pub(crate) fn step_clock(&self, by_ms: i64) {
        self.clock.step_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Returns the next tick that the actor is called for.
    pub(crate) async fn tick(&mut self) -> Tick {
        let tick = tokio::time::timeout(PATIENCE, self.ticks.recv()).await;
        tick.expect("a tick is due").expect("the actor is there")
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
