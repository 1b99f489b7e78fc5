//! The task of an agent. It receives events, passes them to the pure rules, and carries out the
//! actions.

use super::{
    AgentOptions, AgentState, ComponentState, Phase, Runtime,
    figures::Figures,
    hosts::HostTable,
    leases::Leases,
    local_replicas::{Grace, LocalReplicas, TaskEnd},
    rejections::Rejections,
    work::WorkItems,
};
use crate::{
    bus::BusState,
    desired::Desired,
    drained::Drained,
    membership::MemberEvent,
    name::ComponentId,
    node::NodeParts,
    ordered_watch,
    place::{
        self, Assignment, members,
        plan::{Action, Event, Generation, LiveHost, Reconciler, ReplicaId},
    },
    server::ENDING,
    wire::{Beat, Origin},
};
use futures_util::StreamExt as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot},
    time::{Instant, sleep_until},
};

/// The number of lease events that can be queued.
const EVENTS: usize = 1_024;
/// Time to count the end of a replica that takes all of its own.
const SLACK: Duration = Duration::from_secs(1);

/// A command from the owner of an agent.
#[derive(Debug)]
pub(super) enum Command {
    /// Hand over everything that this host runs.
    Leave {
        by: Instant,
        /// When the calls that still run are cut off.
        until: Instant,
        done: oneshot::Sender<Drained>,
    },
}

/// A handover that is in progress.
struct Leaving {
    /// When the handover is given up. That is after its grace period, because services have to
    /// stop, and leases to be released, also where calls were cut off.
    ends: Instant,
    /// What was cut off so far.
    drained: Drained,
    done: oneshot::Sender<Drained>,
}

impl Leaving {
    /// Reports to the call of `shutdown` that has started it. Returns the same.
    fn end(self) -> Drained {
        // The receiver is gone if the future of `shutdown` was dropped.
        let _ = self.done.send(self.drained);
        self.drained
    }
}

/// Where an agent publishes its state.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    pub(super) state: ordered_watch::Sender<Arc<AgentState>>,
    pub(super) assignment: ordered_watch::Sender<Arc<Assignment>>,
    pub(super) figures: Arc<Figures>,
}

pub(super) struct Task {
    node: Arc<NodeParts>,
    runtime: Arc<dyn Runtime>,
    hosts: HostTable,
    reconciler: Reconciler,
    replicas: LocalReplicas,
    leases: Leases,
    events: mpsc::Receiver<Event>,
    desired: Arc<Desired>,
    items: WorkItems,
    rejections: Rejections,
    publish: Publishers,
    leaving: Option<Leaving>,
}

impl Task {
    pub(super) fn new(
        node: Arc<NodeParts>,
        runtime: Arc<dyn Runtime>,
        options: AgentOptions,
        publish: Publishers,
    ) -> Self {
        let origin = node.membership.origin().clone();
        let (sender, events) = mpsc::channel(EVENTS);
        let records = node.connection.records.clone();
        let seed = crate::transport::id::PeerToken::of(&origin).number();
        Self {
            hosts: HostTable::new(node.clone(), options.listen),
            reconciler: Reconciler::new(origin.host.clone(), seed),
            replicas: LocalReplicas::new(node.clone(), options.grace),
            leases: Leases::new(records, node.connection.replica.clone(), origin, sender),
            rejections: Rejections::new(node.clone()),
            node,
            runtime,
            events,
            desired: Arc::default(),
            items: WorkItems::default(),
            publish,
            leaving: None,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let connection = self.node.connection.clone();
        let mut member_events = connection.presence.events();
        let mut desired = connection.replica.watch_desired();
        let mut bus = connection.bus.watch_state();
        let Some(state) = bus.next().await else {
            return;
        };
        self.hosts.recall();
        self.take_bus(state);
        loop {
            let wake = self
                .hosts
                .wake()
                .into_iter()
                .chain(self.reconciler.wake())
                .chain(self.rejections.served.wake())
                .chain(self.leaving.as_ref().map(|leaving| leaving.ends))
                .min();
            tokio::select! {
                biased;
                Some(Command::Leave { by, until, done }) = commands.recv() => {
                    self.leave(until, done);
                    // No other host can take over, so there is no reason to wait.
                    let by = if self.hosts.leave() { Instant::now() } else { by };
                    self.handle(Event::Leave { by });
                }
                state = bus.next() => {
                    let Some(state) = state else { return };
                    self.take_bus(state);
                }
                Some(event) = self.events.recv() => self.handle(event),
                done = self.replicas.next() => self.take_end(done),
                () = self.leases.changed() => {
                    let takes_leases = self.leases.denial().is_none();
                    self.node.membership.set_takes_leases(takes_leases);
                }
                Some(()) = self.rejections.written() => {}
                desired = desired.next() => match desired {
                    Some(desired) => self.take_desired(desired),
                    None => return,
                },
                () = at(wake) => self.woken(),
                heard = self.hosts.newcomers.proved() => self.receive(&heard),
                // This comes last, because heartbeats can arrive faster than they are handled.
                event = member_events.recv() => match event {
                    Ok(event) if self.hosts.newcomers.admits(&event) => self.receive(&event),
                    // Heartbeats are repeated.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
            }
            self.publish_state();
        }
    }

    fn leave(&mut self, until: Instant, done: oneshot::Sender<Drained>) {
        // A handover that was started before ends here, and this one goes on with it.
        let drained = self.leaving.take().map_or(Drained::Clean, Leaving::end);
        self.leaving = Some(Leaving {
            ends: until + ENDING + SLACK,
            drained,
            done,
        });
        self.replicas.leave(until);
    }

    fn take_end(&mut self, done: TaskEnd) {
        if let (TaskEnd::Ended(_, drained), Some(leaving)) = (&done, &mut self.leaving) {
            leaving.drained = leaving.drained.and(*drained);
        }
        let (events, about) = self.replicas.take(done);
        if let Some((name, reason)) = about {
            self.rejections.record(name, reason);
        }
        for event in events {
            self.handle(event);
        }
    }

    fn receive(&mut self, event: &MemberEvent) {
        let hosts = self.hosts.receive(event);
        self.take_hosts(hosts);
        if let MemberEvent::Beat(from, beat) = event {
            self.handle(reconciler_event(from, beat));
        }
    }

    fn take_bus(&mut self, state: BusState) {
        let hosts = self.hosts.handle(members::Event::Bus(state));
        self.take_hosts(hosts);
        self.handle(Event::Bus(state));
    }

    fn woken(&mut self) {
        let hosts = self.hosts.handle(members::Event::Woken);
        self.take_hosts(hosts);
        self.handle(Event::Woken);
    }

    fn take_hosts(&mut self, hosts: Option<Vec<LiveHost>>) {
        if let Some(hosts) = hosts {
            self.handle(Event::Hosts(hosts));
        }
    }

    fn take_desired(&mut self, desired: Arc<Desired>) {
        let (items, snapshot) = WorkItems::of(&desired);
        let earlier = std::mem::replace(&mut self.items, items);
        self.items.keep(earlier, &snapshot.frozen);
        self.desired = desired;
        self.handle(Event::Desired(snapshot));
    }

    /// Passes an event to the rules and carries out their actions, which may cause further events.
    fn handle(&mut self, event: Event) {
        let (before, began) = (self.reconciler.assignment().clone(), Instant::now());
        let mut actions = self.reconciler.handle(event, began);
        if !Arc::ptr_eq(&before, self.reconciler.assignment()) {
            self.publish.figures.planned(began.elapsed());
        }
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
        let runs = self.reconciler.runs();
        let is_stale = self.reconciler.is_stale();
        self.rejections
            .served
            .record(&self.desired, &runs, is_stale);
        self.node.membership.set_replica_counts(runs);
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start {
                component,
                replica,
                generation,
                fence,
            } => return self.start(&component, replica, generation, fence),
            Action::Drain(replica) => return self.replicas.end(replica, Grace::Some),
            Action::Stop(replica) => return self.replicas.end(replica, Grace::None),
            Action::AcquireLease(component) => self.leases.acquire(&component),
            Action::ReleaseLease(component) => self.leases.release(&component),
            Action::Reject {
                component,
                generation,
            } if !self.reconciler.is_stale() => {
                self.rejections
                    .reject(&self.desired, &component, generation)
            }
            Action::Stale => {
                tracing::warn!(
                    "the store was replaced or rolled back; running components are kept until the apps are applied again"
                );
            }
            Action::Current => tracing::info!("the desired state is accepted again"),
            Action::Reject { .. } | Action::Report { .. } => {}
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
            // The desired state has changed in the meantime.
            return Some(Event::Delayed(replica));
        };
        let guard = fence.map(|fence| self.leases.guard(component, fence));
        if let Some(None) = guard {
            return Some(Event::Delayed(replica));
        }
        self.replicas
            .start(&self.runtime, item, replica, guard.flatten())
    }

    /// Updates the host's reports with the changes since `before`.
    fn report(&self, before: &AgentState, after: &AgentState) {
        for (id, kept) in &after.components {
            if before.components.get(id) != Some(kept) {
                self.node.telemetry.set_status(id, kept.report());
            }
        }
        let gone = before.components.keys();
        for id in gone.filter(|id| !after.components.contains_key(*id)) {
            self.node.telemetry.clear_status(id);
        }
    }

    /// Publishes the changes.
    fn publish_state(&mut self) {
        let denial = self.leases.denial();
        let kept = |(id, status): (&ComponentId, &place::plan::Status)| {
            let kept = ComponentState {
                status: status.clone(),
                reason: match status.phase {
                    Phase::WaitingForLease if denial.is_some() => denial.clone(),
                    _ => self.rejections.reason(id).cloned(),
                },
            };
            (id.clone(), kept)
        };
        let state = AgentState {
            components: self.reconciler.status().map(kept).collect(),
            is_stale: self.reconciler.is_stale(),
            is_doubled: self.hosts.is_doubled(),
        };
        self.report(&self.publish.state.borrow(), &state);
        self.publish.state.send_if_modified(|published| {
            let is_new = **published != state;
            if is_new {
                *published = Arc::new(state);
            }
            is_new
        });
        self.publish.figures.hold_leases(self.leases.held());
        let assignment = self.reconciler.assignment();
        self.publish.assignment.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, assignment);
            if is_new {
                *published = assignment.clone();
            }
            is_new
        });
        let is_idle =
            self.reconciler.is_idle() && self.replicas.is_empty() && self.leases.are_given_back();
        let is_over = |leaving: &mut Leaving| is_idle || leaving.ends <= Instant::now();
        if let Some(leaving) = self.leaving.take_if(is_over) {
            let _ = leaving.end();
        }
    }
}

/// Returns the reconciler event for a heartbeat: the replicas that its host reports.
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

/// Waits until an instant. Never returns without one.
async fn at(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
