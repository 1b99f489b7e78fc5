//! Decides which replicas of its share one host starts and stops. It is a pure state machine that
//! takes events and the time, and returns actions.
//!
//! ```text
//!            Start                 serves               Drain                ended
//! (nothing) ───────► starting ───────────────► serving ───────► draining ────────────► (nothing)
//!     ▲                 │ failed                  │ crashed
//!     └──── backoff ◄───┴─────────────────────────┘
//! ```
//! * **Make before break.** A host that loses slots continues to serve them until every other host
//!   that holds slots of the component has reported in two consecutive beats that it serves, and
//!   will keep, as many replicas of the wanted generation as it holds slots. If a component is
//!   deleted, or the host loses a required label, it drains at once.
//! * **Updates** go slot by slot. A replica of the new generation starts in addition to the old one
//!   when all slots before it have served the new generation for five seconds, and the old one
//!   drains when the new one has served as long.
//! * **A replica that fails** is started again, with growing pauses. A new generation is rejected
//!   if it fails three times although its image is available, has never served anywhere, and there
//!   is a previous generation. An unavailable image only delays a start.
//! * **A component that runs once** starts when its lease is held and stops when the lease is lost.
//!   It moves break before make: the lease is given back when nothing runs under it any more. It is
//!   assigned to a host that follows the store, if there is one, because others can't take a lease.
//! * **A store that was replaced or rolled back** changes nothing until the apps are applied again:
//!   see [`Snapshot`].
//! * **The return of the bus** changes nothing for a random time, so that not all hosts move at
//!   once.
//!
//! Replicas have ids of their own, because a slot's number may change while its replica runs.

mod component;
mod desired;
mod failures;
mod fallback;
pub(crate) mod once;
mod report;
mod roll;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use crate::wire::ReplicaCount;
pub(crate) use component::START_WITHIN;
pub use desired::{Run, Snapshot, Wanted};
pub use report::{Phase, Status};

use super::{Assignment, Candidate, Duty, Workload, hash, labels, members::Labels, place};
use crate::{
    bus::BusState,
    entropy::random,
    name::{ComponentId, HostId},
};
use component::{ComponentReconciler, Failed};
use desired::Accepted;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Identifies the version of a component: its image, configuration and limits, but not its number
/// of replicas or its hosts. When it changes, replicas are replaced. A change of only the placement
/// must not change it. Generations are only compared for equality.
pub type Generation = u64;

/// The longest time that a host waits before it changes anything after the bus is back.
const RETURN: Duration = Duration::from_millis(1_500);

/// The id of one replica that this host started. It is unique for as long as the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(u64);

/// A live host, as placement sees it.
#[derive(Debug, Clone)]
pub struct LiveHost {
    /// Its id.
    pub host: HostId,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Whether it takes work.
    pub duty: Duty,
    /// Whether it follows the store and may write to it, without which it can't take a lease.
    pub follows_store: bool,
}

/// An input of the state machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The desired state, as the store has it now.
    Desired(Snapshot),
    /// The hosts that count, including this one. It is not sent before membership has settled.
    Hosts(Vec<LiveHost>),
    /// A host has reported its replicas.
    Beat {
        /// The host that sent the beat.
        from: HostId,
        /// Its replicas. Components that it doesn't run are left out.
        runs: BTreeMap<ComponentId, Vec<ReplicaCount>>,
    },
    /// A replica that was starting serves now.
    Serves(ReplicaId),
    /// A replica failed to start although its image was available, or it crashed. It no longer
    /// runs.
    Failed(ReplicaId),
    /// A replica failed to start because its image was unavailable. It no longer runs, and the
    /// failure doesn't count against its generation.
    Delayed(ReplicaId),
    /// A replica that was drained or stopped is gone.
    Ended(ReplicaId),
    /// This host holds the lease of a component.
    LeaseHeld {
        /// The component.
        component: ComponentId,
        /// The fence of the lease, which calls carry as proof of it.
        fence: u64,
    },
    /// This host does not hold the lease: it was refused, it ran out, or another host has it. It is
    /// not renewed any more.
    LeaseLost(ComponentId),
    /// The connection to the bus changed.
    Bus(BusState),
    /// The host shuts down. Until `by`, it waits for other hosts to take over.
    Leave {
        /// When the host drains what no other host has taken over.
        by: Instant,
    },
    /// The instant of [`Reconciler::wake`] has come.
    Woken,
}

/// An output of the state machine: what the agent should do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Start a replica. `Serves` or `Failed` follows.
    Start {
        /// The component.
        component: ComponentId,
        /// The replica's id from now on.
        replica: ReplicaId,
        /// The generation to run.
        generation: Generation,
        /// The fence of the lease, if the component runs once.
        fence: Option<u64>,
    },
    /// Stop new calls to a replica and let it finish those that it has. `Ended` follows within a
    /// time that the runtime limits.
    Drain(ReplicaId),
    /// End a replica at once. `Ended` follows.
    Stop(ReplicaId),
    /// Take the lease of a component, and renew it from then on. `LeaseHeld` or `LeaseLost`
    /// follows.
    AcquireLease(ComponentId),
    /// Give the lease of a component back. Nothing runs under it any more.
    ReleaseLease(ComponentId),
    /// Record that a generation fails to start. This is repeated until the desired state has
    /// changed.
    Reject {
        /// The component.
        component: ComponentId,
        /// The generation.
        generation: Generation,
    },
    /// This host's replicas of a component have changed. This is for its beats and for observers.
    Report {
        /// The component.
        component: ComponentId,
        /// Its new status.
        status: Status,
    },
    /// The store was replaced or rolled back. Running components are kept until the apps are
    /// applied again.
    Stale,
    /// The desired state is accepted again.
    Current,
}

/// The state machine of one host's share.
#[derive(Debug)]
pub struct Reconciler {
    me: HostId,
    desired: Accepted,
    hosts: Option<Vec<LiveHost>>,
    assignment: Arc<Assignment>,
    components: BTreeMap<ComponentId, ComponentReconciler>,
    owners: HashMap<ReplicaId, ComponentId>,
    bus: BusState,
    quiet_until: Option<Instant>,
    leave_by: Option<Instant>,
    effects: Effects,
    wake: Option<Instant>,
}

/// Collects the actions of one step.
#[derive(Debug)]
struct Effects {
    actions: Vec<Action>,
    seed: u64,
    drawn: u64,
    started: u64,
}

impl Effects {
    /// Returns a number in [0, 1). The same seed gives the same sequence.
    fn jitter(&mut self) -> f64 {
        self.drawn += 1;
        hash::fraction(hash::rank(self.seed, self.drawn.wrapping_mul(random::STEP)))
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn start(
        &mut self,
        component: &ComponentId,
        generation: Generation,
        fence: Option<u64>,
    ) -> ReplicaId {
        self.started += 1;
        let replica = ReplicaId(self.started);
        self.act(Action::Start {
            component: component.clone(),
            replica,
            generation,
            fence,
        });
        replica
    }
}

/// The conditions of one step, which are the same for every component.
#[derive(Debug, Clone, Copy)]
struct StepContext {
    now: Instant,
    /// Nothing may be changed yet.
    quiet: bool,
    /// The host shuts down.
    leaving: bool,
    /// The time to wait for other hosts is over.
    leave: bool,
}

impl Reconciler {
    /// Starts as host `me`, which runs nothing. The seed spreads retries in time and should differ
    /// between hosts.
    pub fn new(me: HostId, seed: u64) -> Self {
        Self {
            me,
            desired: Accepted::default(),
            hosts: None,
            assignment: Arc::default(),
            components: BTreeMap::new(),
            owners: HashMap::new(),
            bus: BusState::Connected,
            quiet_until: None,
            leave_by: None,
            effects: Effects {
                actions: Vec::new(),
                seed,
                drawn: 0,
                started: 0,
            },
            wake: None,
        }
    }

    /// Handles an event. Returns the actions to carry out.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Desired(snapshot) => self.take_desired(snapshot),
            Event::Hosts(hosts) => {
                self.hosts = Some(hosts);
                self.replan();
            }
            Event::Beat { from, runs } => {
                for (component, entry) in &mut self.components {
                    entry.receive_beat(&from, runs.get(component).map_or(&[], Vec::as_slice));
                }
            }
            Event::Serves(replica) => self.of(replica, |entry| entry.serves(replica, now)),
            Event::Failed(replica) => self.failed(replica, Failed::Itself, now),
            Event::Delayed(replica) => self.failed(replica, Failed::ImageUnavailable, now),
            Event::Ended(replica) => {
                self.of(replica, |entry| entry.ended(replica));
                self.owners.remove(&replica);
            }
            Event::LeaseHeld { component, fence } => match self.components.get_mut(&component) {
                Some(entry) => entry.lease_held(fence),
                None => self.effects.act(Action::ReleaseLease(component)),
            },
            Event::LeaseLost(component) => {
                let jitter = self.effects.jitter();
                if let Some(entry) = self.components.get_mut(&component) {
                    entry.lease_lost(jitter, now, &mut self.effects);
                }
            }
            Event::Bus(state) => self.take_bus(state, now),
            Event::Leave { by } => {
                self.leave_by = Some(by);
                self.replan();
            }
            Event::Woken => {}
        }
        self.step(now);
        std::mem::take(&mut self.effects.actions)
    }

    /// Returns when [`Event::Woken`] is due, or `None` if only another event can change anything.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Returns the assignment of components to hosts, as this host sees it.
    pub fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Returns what this host reports in its heartbeats.
    pub fn runs(&self) -> BTreeMap<ComponentId, Vec<ReplicaCount>> {
        let components = self
            .components
            .iter()
            .map(|(id, entry)| (id.clone(), entry.replica_counts()));
        components
            .filter(|(_, replica_counts)| !replica_counts.is_empty())
            .collect()
    }

    /// Returns the status of each component that this host runs or should run.
    pub fn status(&self) -> impl Iterator<Item = (&ComponentId, &Status)> {
        self.components
            .iter()
            .filter_map(|(id, entry)| Some((id, entry.reported()?)))
    }

    /// Returns whether nothing runs here and no lease is held, so that a host that leaves can send
    /// its goodbye.
    pub fn is_idle(&self) -> bool {
        self.components.is_empty()
    }

    /// Returns whether the store was replaced or rolled back, so that running components are kept.
    pub fn is_stale(&self) -> bool {
        self.desired.is_stale()
    }

    fn failed(&mut self, replica: ReplicaId, why: Failed, now: Instant) {
        let jitter = self.effects.jitter();
        self.of(replica, |entry| entry.failed(replica, why, jitter, now));
        self.owners.remove(&replica);
    }

    fn of(&mut self, replica: ReplicaId, tell: impl FnOnce(&mut ComponentReconciler)) {
        let component = self.owners.get(&replica);
        if let Some(entry) = component.and_then(|component| self.components.get_mut(component)) {
            tell(entry);
        }
    }

    fn take_desired(&mut self, snapshot: Snapshot) {
        let was_stale = self.desired.is_stale();
        if self.desired.offer(snapshot) {
            self.replan();
        }
        match (was_stale, self.desired.is_stale()) {
            (false, true) => self.effects.act(Action::Stale),
            (true, false) => self.effects.act(Action::Current),
            _ => {}
        }
    }

    fn take_bus(&mut self, state: BusState, now: Instant) {
        if state == BusState::Connected && self.bus != BusState::Connected {
            let pause = RETURN.mul_f64(self.effects.jitter());
            self.quiet_until = Some(now + pause);
        }
        self.bus = state;
    }

    /// Recomputes this host's share.
    fn replan(&mut self) {
        let Some(hosts) = &self.hosts else { return };
        let wanted = self.desired.wanted();
        let work: Vec<Workload<'_>> = wanted
            .iter()
            .map(|(id, wanted)| wanted.workload(id))
            .collect();
        let leaving = self.leave_by.is_some();
        let hosts: Vec<Candidate<'_>> = hosts
            .iter()
            .map(|host| Candidate {
                id: &host.host,
                labels: &host.labels,
                duty: if leaving && host.host == self.me {
                    Duty::Leaves
                } else {
                    host.duty
                },
                follows_store: host.follows_store,
            })
            .collect();
        self.assignment = Arc::new(place(&work, &hosts));
        for share in self.assignment.of(&self.me) {
            let id = share.component;
            self.components
                .entry(id.clone())
                .or_insert_with(|| ComponentReconciler::new(id.clone()));
        }
        let own = hosts.iter().find(|host| *host.id == self.me);
        for (id, entry) in &mut self.components {
            let wanted = wanted.get(id).filter(|wanted| {
                own.is_none_or(|own| !labels::forbids(&wanted.placement, own.labels))
            });
            entry.plan(wanted.cloned(), &self.me, self.assignment.slots(id));
        }
    }

    fn step(&mut self, now: Instant) {
        if self.quiet_until.is_some_and(|until| until <= now) {
            self.quiet_until = None;
        }
        let context = StepContext {
            now,
            quiet: self.quiet_until.is_some(),
            leaving: self.leave_by.is_some(),
            leave: self.leave_by.is_some_and(|by| by <= now),
        };
        let begun = self.effects.actions.len();
        let mut wake = self.quiet_until;
        let leave = self.leave_by.filter(|by| *by > now);
        for entry in self.components.values_mut() {
            entry.step(context, &mut self.effects);
            wake = wake
                .into_iter()
                .chain(entry.wake(context))
                .chain(leave)
                .min();
        }
        for action in &self.effects.actions[begun..] {
            if let Action::Start {
                component, replica, ..
            } = action
            {
                self.owners.insert(*replica, component.clone());
            }
        }
        self.wake = wake;
        self.components.retain(|_, entry| !entry.is_over());
    }
}
