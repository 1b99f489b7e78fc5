//! One simulated host: a runtime with its own clock, and a real lattice in it.

use super::{
    network::Network,
    schedule::HostIndex,
    store::{Boot, SimStore},
};
use lattice_core::{
    __private::{self, Random, StandIn},
    Lattice,
    agent::{Agent, AgentOptions, Runtime},
    auth::LatticeKey,
    node::{Node, NodeOptions},
    quantity::ByteSize,
    sync::Mutex,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime as Executor},
    task::JoinHandle,
    time::{Instant, advance, sleep, sleep_until},
};

/// When the simulation starts: 2026-01-01, in seconds since 1970.
const START_OF_DAY: u64 = 1_767_225_600;
/// How long a host that fails to join waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// The key of every simulated lattice.
const KEY: &str = "5111a7ed5111a7ed5111a7ed5111a7ed5111a7ed5111a7ed5111a7ed5111a7ed";

/// A host that has joined, as a program would hold it. After a crash of the host, nothing of it
/// works any more.
#[derive(Clone)]
pub struct RunningHost {
    /// The lattice as this host sees it.
    pub lattice: Lattice,
    /// The host's node.
    pub node: Node,
    /// The task that keeps its share of desired state running.
    pub agent: Arc<Agent>,
}

/// A host, whether it runs or not.
pub(super) struct Host {
    id: HostIndex,
    seed: u64,
    boots: u64,
    /// The speed of its clock.
    rate: f64,
    /// The error of its time of day, in seconds.
    off: i32,
    runtime: Box<dyn Fn(HostIndex, u64) -> Arc<dyn Runtime>>,
    /// What its messages may take, if not the default.
    memory: Option<ByteSize>,
    running: Option<Running>,
    pub(super) paused: bool,
}

type Joined = Arc<Mutex<Option<RunningHost>>>;

struct Running {
    /// `None` only while it is dropped.
    executor: Option<Executor>,
    stand_in: Option<StandIn>,
    joined: Joined,
    begun: Instant,
    /// The time that its clock should show, in milliseconds.
    clock: f64,
}

impl Host {
    pub(super) fn new(
        id: HostIndex,
        seed: u64,
        runtime: Box<dyn Fn(HostIndex, u64) -> Arc<dyn Runtime>>,
        memory: Option<ByteSize>,
    ) -> Self {
        Self {
            id,
            seed,
            boots: 0,
            rate: 1.0,
            off: 0,
            runtime,
            memory,
            running: None,
            paused: false,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Returns its current boot.
    pub(super) fn boot(&self) -> Boot {
        Boot {
            host: self.id,
            number: self.boots,
        }
    }

    pub(super) fn set_drift(&mut self, ppm: i32) {
        self.rate = 1.0 + f64::from(ppm) / 1e6;
    }

    pub(super) fn set_clock_offset(&mut self, seconds: i32) {
        self.off = seconds;
    }

    /// Returns the time since 1970 that it sees.
    fn time_of_day(&self, now: Duration) -> Duration {
        let morning = Duration::from_secs(START_OF_DAY.saturating_add_signed(self.off.into()));
        morning + now
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn up(&self) -> Option<RunningHost> {
        let joined = &self.running.as_ref()?.joined;
        joined.lock().clone()
    }

    /// Starts its process.
    pub(super) fn start(&mut self, now: Duration, network: &Network, store: &SimStore) {
        self.boots += 1;
        let boot = self.boot();
        let Ok(executor) = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
        else {
            return;
        };
        let mut stand_in = Some(StandIn {
            random: Random::new(
                Random::new(self.seed ^ (self.id.0 as u64) << 32 ^ self.boots).next(),
            ),
            time: self.time_of_day(now),
        });
        let joined = Joined::default();
        let joining = Joining {
            id: self.id,
            bus: Arc::new(network.connection(self.id)),
            store: Arc::new(store.connection(boot)),
            runtime: (self.runtime)(self.id, self.boots),
            memory: self.memory,
            joined: joined.clone(),
        };
        let begun = __private::on(&mut stand_in, || {
            executor.spawn(joining.join());
            executor.block_on(async { Instant::now() })
        });
        self.running = Some(Running {
            executor: Some(executor),
            stand_in,
            joined,
            begun,
            clock: 0.0,
        });
    }

    /// Lets it run for one tick.
    pub(super) fn step(&mut self, now: Duration, tick: Duration) {
        let time = self.time_of_day(now);
        let Some(running) = &mut self.running else {
            return;
        };
        running.clock += tick.as_secs_f64() * 1e3 * self.rate;
        if self.paused {
            return;
        }
        let until = running.begun + Duration::from_millis(running.clock as u64);
        if let Some(stand_in) = &mut running.stand_in {
            stand_in.time = time;
        }
        running.run(|executor| {
            executor.block_on(async {
                let behind = until.saturating_duration_since(Instant::now());
                if behind > tick * 2 {
                    // It was paused while its clock continued.
                    advance(behind.saturating_sub(tick)).await;
                }
                sleep_until(until).await;
            });
        });
    }

    /// Ends its process at once.
    pub(super) fn crash(&mut self) {
        self.running = None;
        self.paused = false;
    }

    /// Spawns a task on it.
    pub(super) fn spawn<F>(&mut self, work: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let running = self.running.as_mut()?;
        running.run(|executor| executor.spawn(work))
    }

    /// Runs `look` in its runtime, with its own clock.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&RunningHost) -> T) -> Option<T> {
        let up = self.up()?;
        let running = self.running.as_mut()?;
        running.run(|executor| {
            let _entered = executor.enter();
            look(&up)
        })
    }
}

impl Running {
    fn run<T>(&mut self, work: impl FnOnce(&Executor) -> T) -> Option<T> {
        let executor = self.executor.as_ref()?;
        Some(__private::on(&mut self.stand_in, || work(executor)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (executor, joined) = (self.executor.take(), self.joined.clone());
        __private::on(&mut self.stand_in, || {
            // The tasks go first, without a goodbye.
            drop(executor);
            joined.lock().take();
        });
    }
}

/// A host that is about to join.
struct Joining {
    id: HostIndex,
    bus: Arc<super::network::SimBus>,
    store: Arc<super::store::StoreConnection>,
    runtime: Arc<dyn Runtime>,
    memory: Option<ByteSize>,
    joined: Joined,
}

impl Joining {
    /// Tries to join until it succeeds, as the supervisor of a real host would.
    async fn join(self) {
        loop {
            match self.attempt().await {
                Ok(up) => {
                    *self.joined.lock() = Some(up);
                    return;
                }
                Err(error) => tracing::debug!(host = %self.id, error, "it could not join"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn attempt(&self) -> Result<RunningHost, String> {
        let key = LatticeKey::from_hex(KEY).map_err(|error| error.to_string())?;
        let connect = Lattice::on(self.bus.clone(), self.store.clone(), "sim").key(key);
        let connect = match self.memory {
            Some(memory) => connect.message_memory(memory),
            None => connect,
        };
        let lattice = connect.await.map_err(|error| error.to_string())?;
        let options = NodeOptions::default()
            .host(self.id.to_string())
            .map_err(|error| error.to_string())?;
        let node = lattice
            .node(options)
            .await
            .map_err(|error| error.to_string())?;
        let agent = Agent::start(&node, self.runtime.clone(), AgentOptions::default());
        Ok(RunningHost {
            lattice,
            node,
            agent: Arc::new(agent),
        })
    }
}

impl fmt::Debug for RunningHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningHost")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
