//! Decides what one host does about its share: a pure state machine that takes events and the time, and returns actions.
//!
//! ```text
//!            Start                 serves               Drain                ended
//! (nothing) ───────► starting ───────────────► serving ───────► draining ────────────► (nothing)
//!     ▲                 │ failed                  │ crashed
//!     └──── backoff ◄───┴─────────────────────────┘
//! ```
//! * **Make before break.** A host that loses slots goes on serving them until every host that holds slots of the component has
//!   said in two beats that it serves as many replicas of the wanted generation as it holds, and means to keep them. Deletion, and
//!   losing a required label, drain at once.
//! * **Updates** go slot by slot: a replica of the new generation starts beside the old one when all slots before it have served
//!   for five seconds, and the old one drains when the new one has served as long.
//! * **What fails** is started again, later each time. A new generation that fails three times, has never served here and that
//!   nobody else serves is rejected, when there is one to go back to.
//! * **What runs once** starts when its lease is held and stops when it is lost. It moves break before make: the lease is given
//!   back when nothing runs any more.
//! * **A store that is another one, or went back**, changes nothing until somebody applies again: see [`Snapshot`].
//! * **The bus coming back** changes nothing for a random moment, so that not all hosts move at once.
//!
//! Replicas have ids of their own: a slot's number may change while its replica runs.

mod component;
mod desired;
mod failures;
mod once;
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
    name::{ComponentId, HostId},
};
use component::ComponentReconciler;
use desired::Accepted;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What runs, apart from how many and where: an id for image, configuration and limits together, whose change means that
/// replicas are replaced. A change of the placement alone must leave it as it is. Only compared for being the same.
pub type Generation = u64;

/// Most that a host waits before it changes anything when the bus is back.
const RETURN: Duration = Duration::from_millis(1_500);

/// One replica that this host started, for as long as the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(u64);

/// A live host, as placement sees it.
#[derive(Debug, Clone)]
pub struct LiveHost {
    /// Who.
    pub host: HostId,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Whether it takes work.
    pub duty: Duty,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The desired state, as the store has it now.
    Desired(Snapshot),
    /// The hosts that count, this one among them. Not sent before membership has settled.
    Hosts(Vec<LiveHost>),
    /// A host has said what it runs.
    Beat {
        /// Who.
        from: HostId,
        /// What it runs, without what it doesn't.
        runs: BTreeMap<ComponentId, Vec<ReplicaCount>>,
    },
    /// A replica that was starting serves.
    Serves(ReplicaId),
    /// A replica did not come up, or has crashed: it is gone.
    Failed(ReplicaId),
    /// A replica that was drained or stopped is gone.
    Ended(ReplicaId),
    /// The lease of a component is ours.
    LeaseHeld {
        /// Whose.
        component: ComponentId,
        /// What calls carry as proof of it.
        fence: u64,
    },
    /// The lease is not ours: it was refused, it ran out, or somebody else has it. It is not renewed any more.
    LeaseLost(ComponentId),
    /// The bus came or went.
    Bus(BusState),
    /// The host shuts down: others take over, until then.
    Leave {
        /// When it drains whatever nobody took over.
        by: Instant,
    },
    /// Time passed: the instant of [`Reconciler::wake`] has come.
    Woken,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Start a replica. Answered by `Serves` or `Failed`.
    Start {
        /// Of what.
        component: ComponentId,
        /// The replica's id from now on.
        replica: ReplicaId,
        /// Which one.
        generation: Generation,
        /// The fence of the lease, for what runs once.
        fence: Option<u64>,
    },
    /// Let a replica take nothing new and finish what it has. Answered by `Ended`, within a bound of the runtime's.
    Drain(ReplicaId),
    /// End a replica at once. Answered by `Ended`.
    Stop(ReplicaId),
    /// Take the lease of a component, and renew it from then on. Answered by `LeaseHeld` or `LeaseLost`.
    AcquireLease(ComponentId),
    /// Give the lease back: nothing runs under it.
    ReleaseLease(ComponentId),
    /// Record that a generation does not come up. Asked again until the desired state is another.
    Reject {
        /// Of what.
        component: ComponentId,
        /// Which.
        generation: Generation,
    },
    /// What this host runs of a component has changed: for its beats, and for people.
    Report {
        /// Of what.
        component: ComponentId,
        /// How it is.
        status: Status,
    },
    /// The store was replaced or went back: what runs is kept until the next apply.
    Stale,
    /// The desired state is accepted again.
    Current,
}

/// The state machine.
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
    /// A number in [0, 1): the same sequence for the same seed.
    fn chance(&mut self) -> f64 {
        self.drawn += 1;
        hash::fraction(hash::rank(
            self.seed,
            self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ))
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

/// What holds for every component in one step.
#[derive(Debug, Clone, Copy)]
struct StepContext {
    now: Instant,
    /// Nothing is to be changed yet.
    quiet: bool,
    /// It is too late to wait for others.
    leave: bool,
}

impl Reconciler {
    /// Host `me`, which runs nothing. The seed spreads retries in time: a different one on each host.
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

    /// Handles an event, and returns what to do.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Desired(snapshot) => self.take_desired(snapshot),
            Event::Hosts(hosts) => {
                self.hosts = Some(hosts);
                self.replan();
            }
            Event::Beat { from, runs } => {
                for (component, entry) in &mut self.components {
                    entry.heard(&from, runs.get(component).map_or(&[], Vec::as_slice));
                }
            }
            Event::Serves(replica) => self.of(replica, |entry| entry.serves(replica, now)),
            Event::Failed(replica) => {
                let jitter = self.effects.chance();
                self.of(replica, |entry| entry.failed(replica, jitter, now));
                self.owners.remove(&replica);
            }
            Event::Ended(replica) => {
                self.of(replica, |entry| entry.ended(replica));
                self.owners.remove(&replica);
            }
            Event::LeaseHeld { component, fence } => match self.components.get_mut(&component) {
                Some(entry) => entry.lease_held(fence),
                None => self.effects.act(Action::ReleaseLease(component)),
            },
            Event::LeaseLost(component) => {
                let jitter = self.effects.chance();
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

    /// When to tell it that time has passed; nothing when only another event can change anything.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Which host runs what, as this host sees it.
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

    /// How each component is that this host runs, or should.
    pub fn status(&self) -> impl Iterator<Item = (&ComponentId, &Status)> {
        self.components
            .iter()
            .filter_map(|(id, entry)| Some((id, entry.reported()?)))
    }

    /// Whether nothing runs here and no lease is held: a host that leaves can say goodbye.
    pub fn is_idle(&self) -> bool {
        self.components.is_empty()
    }

    /// Whether the store went back or is another one, so that what runs is kept.
    pub fn is_stale(&self) -> bool {
        self.desired.is_stale()
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
            let pause = RETURN.mul_f64(self.effects.chance());
            self.quiet_until = Some(now + pause);
        }
        self.bus = state;
    }

    /// Recomputes the share.
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
