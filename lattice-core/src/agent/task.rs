//! The task of an agent: hears, asks the pure rules what to do, and has it done.

use super::{
    AgentOptions, AgentState, ComponentState, Runtime,
    known_hosts::{Hosts, KnownHosts},
    leases::Leases,
    runner::{Grace, Runner},
    work::WorkItems,
};
use crate::{
    bus::BusState,
    desired::{Body, Desired},
    lattice::Heard,
    name::{ComponentId, HostId},
    node::Inner,
    place::{
        self, Assignment, members,
        members::{Labels, Members},
        plan::{Action, Event, Generation, LiveHost, Reconciler, ReplicaId},
    },
    store::{Expect, Op, StoreKey},
    wire::{Beat, Duty, Origin, cut},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Events of leases that wait.
const EVENTS: usize = 1_024;

/// What an agent is told by its owner.
#[derive(Debug)]
pub(super) enum Command {
    /// Hand everything over.
    Leave {
        by: Instant,
        done: oneshot::Sender<()>,
    },
}

/// Where an agent tells of itself.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    pub(super) state: watch::Sender<Arc<AgentState>>,
    pub(super) assignment: watch::Sender<Arc<Assignment>>,
}

pub(super) struct Task {
    node: Arc<Inner>,
    runtime: Arc<dyn Runtime>,
    members: Members,
    known: KnownHosts,
    reconciler: Reconciler,
    runner: Runner,
    leases: Leases,
    events: mpsc::Receiver<Event>,
    desired: Arc<Desired>,
    items: WorkItems,
    duties: HashMap<HostId, Duty>,
    /// Why a component did not come up the last time, and which generation that was.
    reasons: BTreeMap<ComponentId, (Generation, String)>,
    publish: Publishers,
    leaving: Option<oneshot::Sender<()>>,
    /// What this host writes down in the store.
    writes: JoinSet<()>,
}

impl Task {
    pub(super) fn new(
        node: Arc<Inner>,
        runtime: Arc<dyn Runtime>,
        options: AgentOptions,
        publish: Publishers,
    ) -> Self {
        let now = Instant::now();
        let origin = node.origin().clone();
        let (sender, events) = mpsc::channel(EVENTS);
        let records = node.connection().records.clone();
        let seed = crate::node::token(&origin);
        Self {
            members: Members::new(origin.clone(), options.listen, now),
            known: KnownHosts::new(records.clone(), node.connection().last.clone()),
            reconciler: Reconciler::new(origin.host.clone(), seed),
            runner: Runner::new(node.clone(), options.grace),
            leases: Leases::new(records, origin, sender),
            node,
            runtime,
            events,
            desired: Arc::default(),
            items: WorkItems::default(),
            duties: HashMap::new(),
            reasons: BTreeMap::new(),
            publish,
            leaving: None,
            writes: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let connection = self.node.connection().clone();
        let mut heard = connection.presence.heard();
        let mut desired = connection.replica.follow_desired();
        let mut bus = connection.bus.state();
        let state = *bus.borrow_and_update();
        self.recall();
        self.take_bus(state);
        loop {
            let wake = self
                .members
                .wake()
                .into_iter()
                .chain(self.reconciler.wake())
                .min();
            tokio::select! {
                biased;
                Some(Command::Leave { by, done }) = commands.recv() => {
                    self.leaving = Some(done);
                    self.node.set_duty(Duty::Leaves);
                    // Whoever is alone waits for nobody.
                    let now = Instant::now();
                    let by = if self.members.is_alone(now) { now } else { by };
                    self.handle(Event::Leave { by });
                }
                changed = bus.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let state = *bus.borrow_and_update();
                    self.take_bus(state);
                }
                Some(event) = self.events.recv() => self.handle(event),
                done = self.runner.next() => {
                    let (events, about) = self.runner.take(done);
                    if let Some((name, reason)) = about {
                        self.record_reason(name, reason);
                    }
                    for event in events {
                        self.handle(event);
                    }
                }
                Some(()) = self.leases.given_back() => {}
                Some(_) = self.writes.join_next() => {}
                desired = desired.next() => match desired {
                    Some(desired) => self.take_desired(desired),
                    None => return,
                },
                () = at(wake) => self.woken(),
                // Last: of these there may be more than can be read.
                heard = heard.recv() => match heard {
                    Ok(heard) => self.receive(&heard),
                    // Beats come again.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
            self.publish_state();
        }
    }

    /// Goes on from what an earlier process knew, when nobody can be heard.
    fn recall(&mut self) {
        let mut hosts = self.known.recall();
        let me = &self.node.origin().host;
        let Some(labels) = hosts.get_mut(me) else {
            if !hosts.is_empty() {
                tracing::warn!(host = %me, "the last snapshot does not know this host: it runs nothing while the bus is away; give it the same id at each start");
            }
            return;
        };
        labels.clone_from(self.node.labels());
        let duties = hosts.keys().map(|host| (host.clone(), Duty::Works));
        self.duties.extend(duties);
        self.members.recall(hosts);
    }

    fn receive(&mut self, heard: &Heard) {
        match heard {
            Heard::Beat(from, beat) => {
                let duty = self.duties.insert(from.host.clone(), beat.duty);
                let changed = duty != Some(beat.duty);
                self.take_members(membership_event(from, beat), changed);
                self.handle(reconciler_event(from, beat));
            }
            // Frames of an older boot are refused everywhere, so it never counts again: but people should know of it.
            Heard::OlderBeat(from, _) if !self.members.knows_newer(from) => {}
            Heard::Alive(from, beat) | Heard::OlderBeat(from, beat) => {
                self.take_members(membership_event(from, beat), false);
            }
            Heard::Goodbye(who) => {
                self.duties.remove(&who.host);
                self.take_members(members::Event::Goodbye(who.clone()), false);
            }
        }
    }

    fn take_bus(&mut self, state: BusState) {
        self.take_members(members::Event::Bus(state), false);
        self.handle(Event::Bus(state));
    }

    fn woken(&mut self) {
        self.take_members(members::Event::Woken, false);
        self.handle(Event::Woken);
    }

    fn take_members(&mut self, event: members::Event, duties_changed: bool) {
        let changes = self.members.handle(event, Instant::now());
        for change in &changes {
            match change {
                members::MembershipChange::Left(origin, why) => {
                    tracing::info!(host = %origin.host, ?why, "a host does not count any more");
                    if !matches!(why, members::Departure::Restart) {
                        self.duties.remove(&origin.host);
                    }
                }
                members::MembershipChange::Doubled { counts, other } => {
                    tracing::warn!(host = %counts.host, counts = counts.epoch, other, "two hosts have one id; give one of them another one");
                }
                _ => {}
            }
        }
        if self.members.is_settled() && (duties_changed || !changes.is_empty()) {
            // Whoever takes no part in placement is passed over, and so is one that has not said yet.
            let live = self.members.live().filter_map(|(origin, labels)| {
                let duty = *self.duties.get(&origin.host)?;
                (duty != Duty::Apart).then(|| LiveHost {
                    host: origin.host.clone(),
                    labels: labels.clone(),
                    duty,
                })
            });
            let counts_me = self.members.counts_me();
            let me = &self.node.origin().host;
            let hosts: Vec<_> = live.filter(|live| counts_me || live.host != *me).collect();
            self.save_hosts(&hosts);
            self.handle(Event::Hosts(hosts));
        }
    }

    /// Keeps for the next process who is there. A host that leaves comes back as one that works.
    fn save_hosts(&mut self, hosts: &[LiveHost]) {
        let working = hosts.iter().filter(|host| host.duty == Duty::Works);
        let known: Hosts = working
            .map(|host| (host.host.clone(), Labels::clone(&host.labels)))
            .collect();
        if self.leaving.is_none() && known.contains_key(&self.node.origin().host) {
            self.known.keep(known);
        }
    }

    fn take_desired(&mut self, desired: Arc<Desired>) {
        let (items, snapshot) = WorkItems::of(&desired);
        self.items = items;
        self.desired = desired;
        self.handle(Event::Desired(snapshot));
    }

    /// Tells the rules of an event, and does what they say: which may be news to them again.
    fn handle(&mut self, event: Event) {
        let mut actions = self.reconciler.handle(event, Instant::now());
        while !actions.is_empty() {
            let mut news = Vec::new();
            for action in actions {
                news.extend(self.act(action));
            }
            actions = news
                .into_iter()
                .flat_map(|event| self.reconciler.handle(event, Instant::now()))
                .collect();
        }
        self.node.set_replica_counts(self.reconciler.runs());
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start {
                component,
                replica,
                generation,
                fence,
            } => return self.start(&component, replica, generation, fence),
            Action::Drain(replica) => return self.runner.end(replica, Grace::Some),
            Action::Stop(replica) => return self.runner.end(replica, Grace::None),
            Action::AcquireLease(component) => self.leases.acquire(&component),
            Action::ReleaseLease(component) => self.leases.release(&component),
            Action::Reject {
                component,
                generation,
            } => self.reject(&component, generation),
            Action::Stale => {
                tracing::warn!(
                    "the store is another one than before, or an older one: what runs is kept until somebody applies again"
                );
            }
            Action::Current => tracing::info!("the store is believed again"),
            Action::Report { .. } => {}
        }
        None
    }

    fn start(
        &mut self,
        component: &ComponentId,
        replica: ReplicaId,
        generation: Generation,
        fence: Option<u64>,
    ) -> Option<Event> {
        let Some(item) = self.items.get(component, generation) else {
            // Desired state has moved on in this very moment.
            return Some(Event::Failed(replica));
        };
        let guard = fence.map(|fence| self.leases.guard(component, fence));
        if let Some(None) = guard {
            return Some(Event::Failed(replica));
        }
        self.runner
            .start(&self.runtime, item, replica, guard.flatten())
    }

    /// Writes down that a generation does not come up, unless somebody has changed the actor meanwhile.
    fn reject(&mut self, component: &ComponentId, generation: Generation) {
        let Some(actor) = self.desired.actors.get(component) else {
            return;
        };
        if actor.spec.rejected == Some(generation) || actor.spec.previous.is_none() {
            return;
        }
        let mut spec = actor.spec.clone();
        spec.rejected = Some(generation);
        let reason = self.reasons.get(component);
        let reason = reason.filter(|(of, _)| *of == generation);
        spec.rejected_because = reason.map(|(_, reason)| reason.clone());
        let records = self.node.connection().records.clone();
        let key = StoreKey::actor(component);
        let number = self
            .desired
            .revision
            .0
            .max(self.node.connection().replica.links().revision().0);
        let value = records.encode(self.desired.incarnation, &key, number, &Body(&spec));
        let (component, expect) = (component.clone(), Expect::At(actor.revision));
        tracing::warn!(%component, "an update did not come up and is taken back; correct it and apply again");
        self.writes.spawn(async move {
            let value = match value {
                Ok(value) => value,
                Err(error) => {
                    return tracing::error!(%component, %error, "an update could not be taken back");
                }
            };
            // Within the store's own timeout. A conflict means that somebody else was faster: with the same, or with news.
            let op = Op::put(key, value, expect);
            if let Err(error) = records.store().commit(vec![op]).await {
                tracing::debug!(%component, %error, "an update was not taken back by this host");
            }
        });
    }

    fn record_reason(
        &mut self,
        (component, generation): (ComponentId, Generation),
        reason: Option<String>,
    ) {
        match reason {
            Some(reason) => drop(self.reasons.insert(component, (generation, cut(reason)))),
            None => drop(self.reasons.remove(&component)),
        }
    }

    /// Has the host's reports say what has changed since they said `before`.
    fn report(&self, before: &AgentState, after: &AgentState) {
        for (id, kept) in &after.components {
            if before.components.get(id) != Some(kept) {
                self.node.set_status(id, kept.report());
            }
        }
        let gone = before.components.keys();
        for id in gone.filter(|id| !after.components.contains_key(*id)) {
            self.node.clear_status(id);
        }
    }

    /// Publishes what has changed.
    fn publish_state(&mut self) {
        let kept = |(id, status): (&ComponentId, &place::plan::Status)| {
            let kept = ComponentState {
                status: status.clone(),
                reason: self.reasons.get(id).map(|(_, reason)| reason.clone()),
            };
            (id.clone(), kept)
        };
        let state = AgentState {
            components: self.reconciler.status().map(kept).collect(),
            is_stale: self.reconciler.is_stale(),
            is_doubled: self.members.is_settled() && !self.members.counts_me(),
        };
        self.report(&self.publish.state.borrow(), &state);
        self.publish.state.send_if_modified(|published| {
            let is_new = **published != state;
            if is_new {
                *published = Arc::new(state);
            }
            is_new
        });
        let assignment = self.reconciler.assignment();
        self.publish.assignment.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, assignment);
            if is_new {
                *published = assignment.clone();
            }
            is_new
        });
        let is_idle =
            self.reconciler.is_idle() && self.runner.is_empty() && self.leases.are_given_back();
        if self.leaving.is_some() && is_idle {
            // Whoever asked may have gone.
            self.leaving.take().map(|done| done.send(()));
        }
    }
}

/// What a beat says of its host's being there.
fn membership_event(from: &Origin, beat: &Beat) -> members::Event {
    members::Event::Beat {
        from: from.clone(),
        interval: beat.interval(),
        labels: beat.labels.clone(),
    }
}

/// What a beat says of the share of its host.
fn reconciler_event(from: &Origin, beat: &Beat) -> Event {
    let runs = beat
        .components
        .iter()
        .filter(|served| !served.replica_counts.is_empty());
    Event::Beat {
        from: from.host.clone(),
        runs: runs
            .map(|served| (served.id.clone(), served.replica_counts.clone()))
            .collect(),
    }
}

/// Waits for an instant, or for ever.
async fn at(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
