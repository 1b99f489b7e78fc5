//! The simulation itself: hosts, the network and store between them, and time.

use super::{
    host::{Host, RunningHost},
    network::{Cut, Network, Path},
    schedule::{Event, HostIndex, Schedule, Trouble},
    store::{Boot, Outage, SimStore},
};
use futures_util::future::BoxFuture;
use lattice_core::{
    agent::{Prepared, Runtime, RuntimeError, WorkItem},
    bus::BusState,
    quantity::ByteSize,
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// The length of one step.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// How long a host may take to leave.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long [`Sim::on`] waits for its work.
const PATIENCE: Duration = Duration::from_mins(10);

/// Why work on a host failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The host isn't up: it was not added, is starting, or has crashed.
    #[error("host {host} is not up; run the simulation until it is")]
    NotUp {
        /// The host.
        host: HostIndex,
    },
    /// The host crashed before the work ended, or the work panicked.
    #[error("host {host} went down, or its work panicked, before it was done")]
    Lost {
        /// The host.
        host: HostIndex,
    },
    /// The work took more than ten simulated minutes.
    #[error("the work on host {host} did not end within ten simulated minutes")]
    Endless {
        /// The host.
        host: HostIndex,
    },
}

/// Many hosts, one seed, one clock; see the [crate](crate). It brings its own runtimes, so it can't
/// be used inside an async runtime.
pub struct Sim {
    seed: u64,
    now: Duration,
    pub(super) network: Network,
    pub(super) store: SimStore,
    hosts: Vec<Host>,
    /// What the messages of each host may take, if not the default.
    pub(super) memory: Option<ByteSize>,
    agenda: BTreeMap<(Duration, u64), Step>,
    planned: u64,
}

/// The runtime of a host that runs no apps.
struct NoApps;

impl Runtime for NoApps {
    fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        let reason = "this host runs no apps; add hosts that do with `Sim::add`";
        Box::pin(async move { Err(RuntimeError::new(reason)) })
    }
}

/// A step of the agenda.
enum Step {
    Begin(Event),
    End {
        number: u64,
        what: Trouble,
    },
    /// The time that a host had to leave is over.
    Gone(Boot),
}

impl Sim {
    /// Creates a simulation without hosts.
    pub fn new(seed: u64) -> Self {
        let network = Network::new(seed, TICK);
        Self {
            seed,
            now: Duration::ZERO,
            store: SimStore::new(seed, network.clone()),
            network,
            hosts: Vec::new(),
            memory: None,
            agenda: BTreeMap::new(),
            planned: 0,
        }
    }

    /// Adds a host, which starts at once. `runtime` is called for each boot, numbered from 1.
    pub fn add<R: Runtime>(
        &mut self,
        runtime: impl Fn(HostIndex, u64) -> Arc<R> + 'static,
    ) -> HostIndex {
        let id = HostIndex(self.hosts.len());
        self.network.add();
        let runtime = Box::new(move |host, boot| runtime(host, boot) as Arc<dyn Runtime>);
        let mut host = Host::new(id, self.seed, runtime, self.memory);
        host.start(self.now, &self.network, &self.store);
        self.hosts.push(host);
        id
    }

    /// Adds a host that runs no apps, and starts it. It serves only what work on it puts into
    /// service.
    pub fn add_without_apps(&mut self) -> HostIndex {
        self.add(|_, _| Arc::new(NoApps))
    }

    /// Returns the simulated time that has passed.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.hosts.len()).map(HostIndex)
    }

    /// Returns a host, if it has joined and runs.
    pub fn up(&self, host: HostIndex) -> Option<RunningHost> {
        self.hosts.get(host.0)?.up()
    }

    /// Returns whether every trouble is over and every host runs.
    pub fn is_calm(&self) -> bool {
        self.agenda.is_empty()
            && self
                .hosts
                .iter()
                .all(|host| host.is_running() && !host.paused)
    }

    /// Advances time by 10 ms.
    pub fn step(&mut self) {
        while let Some(first) = self.agenda.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            let due = first.remove();
            self.carry_out(due);
        }
        self.network.advance(self.now);
        self.store
            .advance(self.now, (0..self.hosts.len()).map(HostIndex));
        for host in &mut self.hosts {
            host.step(self.now, TICK);
        }
        self.now += TICK;
    }

    /// Advances time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    /// Advances time until `holds` returns true. Returns false if it still doesn't after `within`.
    pub fn until(&mut self, within: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + within;
        while !holds(self) {
            if self.now >= until {
                return false;
            }
            self.step();
        }
        true
    }

    /// Runs `work` on a host and advances time until it ends.
    ///
    /// # Errors
    /// [`SimError`].
    pub fn on<F, T>(
        &mut self,
        host: HostIndex,
        work: impl FnOnce(RunningHost) -> F,
    ) -> Result<T, SimError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let mut task = self.spawn(host, work)?;
        if !self.until(PATIENCE, |_| task.is_finished()) {
            task.abort();
            return Err(SimError::Endless { host });
        }
        let done = futures_util::FutureExt::now_or_never(&mut task);
        match done {
            Some(Ok(done)) => Ok(done),
            _ => Err(SimError::Lost { host }),
        }
    }

    /// Spawns `work` on a host. It runs while time advances, and ends with its host.
    ///
    /// # Errors
    /// [`SimError::NotUp`].
    pub fn spawn<F, T>(
        &mut self,
        host: HostIndex,
        work: impl FnOnce(RunningHost) -> F,
    ) -> Result<JoinHandle<T>, SimError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let not_up = SimError::NotUp { host };
        let up = self.up(host).ok_or(not_up.clone())?;
        let host = self.hosts.get_mut(host.0).ok_or(not_up.clone())?;
        host.spawn(work(up)).ok_or(not_up)
    }

    /// Plays a schedule, from now on.
    pub fn play(&mut self, schedule: &Schedule) {
        for event in &schedule.0 {
            self.note(self.now + event.at, Step::Begin(event.clone()));
        }
    }

    /// Ends all faults, including planned ones: hosts run again, and every host reaches every other
    /// one.
    pub fn heal(&mut self) {
        let agenda = std::mem::take(&mut self.agenda);
        for due in agenda.into_values() {
            match due {
                Step::Begin(_) => {}
                Step::End { number, what } => self.end(number, &what),
                Step::Gone(boot) => self.crash(boot),
            }
        }
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            host.paused = false;
            host.set_drift(0);
            host.set_clock_offset(0);
            if !host.is_running() {
                self.start(HostIndex(at));
            }
        }
    }

    /// Runs `look` on a host, by its own clock. Returns `None` when it isn't up or is paused.
    pub(super) fn look<T>(
        &mut self,
        host: HostIndex,
        look: impl FnOnce(&RunningHost) -> T,
    ) -> Option<T> {
        let host = self.hosts.get_mut(host.0)?;
        if host.paused {
            return None;
        }
        host.look(look)
    }

    /// Returns the running boot of a host, and the speed of its clock.
    pub(super) fn running(&self, host: HostIndex) -> Option<(Boot, f64)> {
        let host = self.hosts.get(host.0).filter(|host| host.is_running())?;
        Some((host.boot(), host.rate()))
    }

    pub(super) fn is_paused(&self, host: HostIndex) -> bool {
        self.hosts.get(host.0).is_some_and(|host| host.paused)
    }

    /// Sets the speed of a host's clock, from now on.
    pub(super) fn set_drift(&mut self, host: HostIndex, ppm: i32) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.set_drift(ppm);
        }
    }

    fn note(&mut self, at: Duration, due: Step) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), due);
    }

    fn carry_out(&mut self, due: Step) {
        match due {
            Step::Begin(event) => self.begin(event),
            Step::End { number, what } => self.end(number, &what),
            Step::Gone(boot) => self.crash(boot),
        }
    }

    /// Ends a boot, if it still runs.
    fn crash(&mut self, boot: Boot) {
        if let Some(host) = self.hosts.get_mut(boot.host.0)
            && host.boot() == boot
        {
            host.crash();
        }
    }

    fn start(&mut self, host: HostIndex) {
        if let Some(host) = self.hosts.get_mut(host.0)
            && !host.is_running()
        {
            host.start(self.now, &self.network, &self.store);
        }
    }

    /// Begins an event, and plans its end. Nothing is begun on hosts that don't exist.
    fn begin(&mut self, event: Event) {
        let Event { lasts, what, .. } = event;
        if what.hosts().iter().any(|host| host.0 >= self.hosts.len()) {
            return;
        }
        self.planned += 1;
        let number = self.planned;
        match &what {
            Trouble::Kill(host) => self.hosts[host.0].crash(),
            Trouble::PowerCut(host) => {
                let fallen = &mut self.hosts[host.0];
                self.network.during_power_loss(*host, || fallen.crash());
            }
            Trouble::Leave(host) => self.leave(*host, lasts),
            Trouble::Pause(host) => {
                let host = &mut self.hosts[host.0];
                host.paused = host.is_running();
            }
            Trouble::Partition(side) => self.cut(number, side, Path::Drops),
            Trouble::Split(side) => self.cut(number, side, Path::NoResponders),
            Trouble::Unplug(host) => self.network.set_connection(*host, BusState::Disconnected),
            Trouble::Lose(percent) => self.network.set_noise(|noise| noise.lose = *percent),
            Trouble::Double(percent) => self.network.set_noise(|noise| noise.double = *percent),
            Trouble::Delay(most) => self.network.set_noise(|noise| noise.delay = *most),
            Trouble::StoreAway => self.store.begin_outage(number, Outage::Refuses),
            Trouble::StoreHangs => self.store.begin_outage(number, Outage::Hangs),
            Trouble::StoreCut(host) => self.store.cut(number, *host),
            Trouble::StoreLags(host) => self.store.lag(number, *host),
            Trouble::StoreUnsure(percent) => self.store.lose_responses(*percent),
            Trouble::TimeOfDay(host, seconds) => self.hosts[host.0].set_clock_offset(*seconds),
            Trouble::Drift(host, ppm) => return self.hosts[host.0].set_drift(*ppm),
            Trouble::LeaseRemoved => return self.store.remove_leases(),
            Trouble::Edit(_) => return,
        }
        self.note(self.now + lasts, Step::End { number, what });
    }

    fn end(&mut self, number: u64, what: &Trouble) {
        match what {
            Trouble::Kill(host) | Trouble::PowerCut(host) | Trouble::Leave(host) => {
                self.start(*host);
            }
            Trouble::Pause(host) => self.hosts[host.0].paused = false,
            Trouble::TimeOfDay(host, _) => self.hosts[host.0].set_clock_offset(0),
            Trouble::Unplug(host) => self.network.set_connection(*host, BusState::Connected),
            Trouble::Lose(_) => self.network.set_noise(|noise| noise.lose = 0),
            Trouble::Double(_) => self.network.set_noise(|noise| noise.double = 0),
            Trouble::Delay(_) => self.network.set_noise(|noise| noise.delay = 0),
            Trouble::StoreUnsure(_) => self.store.lose_responses(0),
            _ => {
                self.network.mend(number);
                self.store.mend(number);
            }
        }
    }

    fn cut(&self, number: u64, side: &[HostIndex], way: Path) {
        let side = side.iter().copied().collect();
        self.network.cut(number, Cut { side, way });
    }

    /// Lets a host leave. It is gone when it has left, or when its time is over.
    fn leave(&mut self, host: HostIndex, within: Duration) {
        let boot = self.hosts[host.0].boot();
        let left = self.spawn(host, async |up: RunningHost| {
            let _ = up.agent.shutdown(GOODBYE / 2).await;
            let _ = up.node.shutdown(GOODBYE / 2).await;
        });
        if left.is_ok() {
            self.note(self.now + within.min(GOODBYE), Step::Gone(boot));
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}
