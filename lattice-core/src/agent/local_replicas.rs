//! Starts and stops the replicas that the agent runs on this host, and their services.
//!
//! On one host, replicas of one generation of a component share a service. Of two generations, the
//! one that was started last gets the calls, and the other one finishes the calls that it has. If
//! the last one is drained first, calls go to the other one again.

use super::{Prepared, Runtime, RuntimeError, WorkItem, leases::Guard, short};
use crate::{
    name::ComponentId,
    node::NodeParts,
    place::plan::{Event, Generation, ReplicaId, START_WITHIN},
    server::{IfServing, ServeHandle},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

type GenerationKey = (ComponentId, Generation);
/// The resulting events, and for a start the generation with the reason if it failed, or what of it
/// can't be served.
pub(super) type TaskOutcome = (Vec<Event>, Option<(GenerationKey, Option<String>)>);

/// Everything that runs or is being started.
pub(super) struct LocalReplicas {
    node: Arc<NodeParts>,
    grace: Duration,
    /// When the calls that still run are cut off, if the host is leaving.
    leaves_at: Option<Instant>,
    running: BTreeMap<GenerationKey, RunningGeneration>,
    /// The number of generations that were started so far.
    started: u64,
    replicas: HashMap<ReplicaId, GenerationKey>,
    work: JoinSet<TaskEnd>,
}

/// One generation of a component.
#[derive(Debug)]
struct RunningGeneration {
    /// Distinguishes this entry from an earlier one of the same key.
    number: u64,
    state: GenerationState,
    /// Other hosts wait for its lease.
    is_leased: bool,
    replicas: BTreeSet<ReplicaId>,
}

#[derive(Debug)]
enum GenerationState {
    Starting(AbortHandle),
    Serving(ServeHandle),
}

impl RunningGeneration {
    fn serving(&self) -> Option<&ServeHandle> {
        match &self.state {
            GenerationState::Starting(_) => None,
            GenerationState::Serving(serving) => Some(serving),
        }
    }
}

/// A component in service, and what of it can't be served.
type Started = (ServeHandle, Option<String>);

/// How a task for a replica ended.
#[derive(Debug)]
pub(super) enum TaskEnd {
    Started(GenerationKey, u64, Result<Started, RuntimeError>),
    /// The task was cancelled, because its result was no longer needed.
    Dropped,
    Ended(ReplicaId),
}

impl LocalReplicas {
    pub(super) fn new(node: Arc<NodeParts>, grace: Duration) -> Self {
        Self {
            node,
            grace,
            leaves_at: None,
            running: BTreeMap::new(),
            started: 0,
            replicas: HashMap::new(),
            work: JoinSet::new(),
        }
    }

    /// Starts a replica, under a lease if there is a guard. Returns an event if one follows at
    /// once.
    pub(super) fn start(
        &mut self,
        runtime: &Arc<dyn Runtime>,
        item: Arc<WorkItem>,
        replica: ReplicaId,
        guard: Option<Guard>,
    ) -> Option<Event> {
        let name = (item.component.clone(), item.generation);
        self.replicas.insert(replica, name.clone());
        if let Some(entry) = self.running.get_mut(&name) {
            entry.replicas.insert(replica);
            return entry.serving().map(|_| Event::Serves(replica));
        }
        self.started += 1;
        let (number, is_leased) = (self.started, guard.is_some());
        let (node, runtime, named) = (self.node.clone(), runtime.clone(), name.clone());
        let starts = self.work.spawn(async move {
            let started = timeout(START_WITHIN, start(&node, &*runtime, item, guard)).await;
            let late = || RuntimeError::new(format!("it did not start within {START_WITHIN:?}"));
            TaskEnd::Started(named, number, started.unwrap_or_else(|_| Err(late())))
        });
        let entry = RunningGeneration {
            number,
            state: GenerationState::Starting(starts),
            is_leased,
            replicas: BTreeSet::from([replica]),
        };
        self.running.insert(name, entry);
        None
    }

    /// From now on, the host is leaving: running calls may take until this time.
    pub(super) fn leave(&mut self, until: Instant) {
        self.leaves_at = Some(until);
    }

    /// Ends a replica. Its running calls may finish within the time that `grace` allows.
    pub(super) fn end(&mut self, replica: ReplicaId, grace: Grace) -> Option<Event> {
        let ended = Some(Event::Ended(replica));
        let Some(name) = self.replicas.remove(&replica) else {
            return ended;
        };
        let Some(entry) = self.running.get_mut(&name) else {
            return ended;
        };
        entry.replicas.remove(&replica);
        if !entry.replicas.is_empty() {
            return ended;
        }
        let is_leased = entry.is_leased;
        let serving = match self.running.remove(&name).map(|entry| entry.state) {
            Some(GenerationState::Serving(serving)) => serving,
            Some(GenerationState::Starting(starts)) => {
                starts.abort();
                return ended;
            }
            None => return ended,
        };
        self.reinstate(&name.0);
        let left = self.leaves_at.filter(|_| !is_leased);
        let left = left.map(|until| until.saturating_duration_since(Instant::now()));
        let grace = match grace {
            Grace::Some => self.grace.max(left.unwrap_or_default()),
            Grace::None => Duration::ZERO,
        };
        self.work.spawn(async move {
            if !serving.shutdown(grace).await.is_clean() {
                tracing::warn!(component = %name.0, generation = short(name.1), "calls were cut off because they did not end within {grace:?}");
            }
            TaskEnd::Ended(replica)
        });
        None
    }

    /// Routes calls to the generation that was started last among those that serve.
    fn reinstate(&self, component: &ComponentId) {
        let [first, last] = [Generation::MIN, Generation::MAX].map(|end| (component.clone(), end));
        let running = self.running.range(first..=last).map(|(_, entry)| entry);
        let serving = running.filter_map(|entry| Some((entry.number, entry.serving()?)));
        if let Some((_, newest)) = serving.max_by_key(|(number, _)| *number) {
            newest.reinstate();
        }
    }

    /// Waits until the next task has ended. Never returns if there is none.
    pub(super) async fn next(&mut self) -> TaskEnd {
        loop {
            match self.work.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) if error.is_cancelled() => return TaskEnd::Dropped,
                Some(Err(error)) => tracing::error!(%error, "a task of the agent panicked"),
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the events that follow from the end of a task.
    pub(super) fn take(&mut self, done: TaskEnd) -> TaskOutcome {
        match done {
            TaskEnd::Ended(replica) => (vec![Event::Ended(replica)], None),
            TaskEnd::Dropped => (Vec::new(), None),
            TaskEnd::Started(name, number, outcome) => {
                let current = self.running.get_mut(&name);
                let Some(entry) = current.filter(|entry| entry.number == number) else {
                    // This generation was stopped after it had started, and got calls in between.
                    drop(outcome);
                    self.reinstate(&name.0);
                    return (Vec::new(), None);
                };
                match outcome {
                    Ok((serving, unserved)) => {
                        entry.state = GenerationState::Serving(serving);
                        let serves = entry.replicas.iter().copied().map(Event::Serves);
                        let serves = serves.collect();
                        self.reinstate(&name.0);
                        (serves, Some((name, unserved)))
                    }
                    Err(error) => self.did_not_start(name, &error),
                }
            }
        }
    }

    fn did_not_start(&mut self, name: GenerationKey, error: &RuntimeError) -> TaskOutcome {
        let event = if error.is_image_away() {
            tracing::warn!(component = %name.0, generation = short(name.1), %error, "a component can't be started because its image is unavailable; it is tried again");
            Event::Delayed
        } else {
            tracing::warn!(component = %name.0, generation = short(name.1), %error, "a component failed to start");
            Event::Failed
        };
        let replicas = self.running.remove(&name).map(|entry| entry.replicas);
        let replicas = replicas.unwrap_or_default();
        for replica in &replicas {
            self.replicas.remove(replica);
        }
        let failed = replicas.into_iter().map(event).collect();
        (failed, Some((name, Some(error.to_string()))))
    }

    /// Returns whether nothing runs and no task is in progress.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.work.is_empty()
    }
}

/// Whether running calls may finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    Some,
    None,
}

async fn start(
    node: &Arc<NodeParts>,
    runtime: &dyn Runtime,
    item: Arc<WorkItem>,
    guard: Option<Guard>,
) -> Result<Started, RuntimeError> {
    let component = item.component.clone();
    let Prepared { service, limits } = runtime.prepare(item).await?;
    let unserved = service.unserved();
    let fence = guard.as_ref().map(Guard::fence);
    let service = match guard {
        None => service,
        Some(guard) => guard.around(service),
    };
    let serving = node
        .server
        .serve(component, service, limits, IfServing::Replace { fence })
        .await;
    serving.map(|serving| (serving, unserved)).map_err(|error| {
        let is_outage = error.is_outage();
        let error = RuntimeError::of(&error);
        // The outage doesn't count against the component.
        if is_outage { error.image_away() } else { error }
    })
}
