//! What runs on this host for its keeper: replicas, and the services that stand for them.
//!
//! Replicas of one generation of a component share a service on one host. Of two generations the newer one gets the calls, and
//! the older one finishes what it has; when the newer one is drained first, the older one gets them again.

use super::{Job, Prepared, Runtime, RuntimeError, leases::Guard, short};
use crate::{
    name::ComponentId,
    node::{Inner, Over, Serving},
    place::plan::{Event, Generation, ReplicaId},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// How long a component may take to come up: its image may have to be fetched and compiled.
const START_WITHIN: Duration = Duration::from_mins(5);

type Name = (ComponentId, Generation);

/// Everything that runs, or is about to.
pub(super) struct Stage {
    node: Arc<Inner>,
    grace: Duration,
    acts: BTreeMap<Name, Act>,
    replicas: HashMap<ReplicaId, Name>,
    work: JoinSet<Done>,
}

/// One generation of a component.
#[derive(Debug)]
struct Act {
    /// None while it is starting.
    serving: Option<Serving>,
    replicas: BTreeSet<ReplicaId>,
}

/// What a task of the stage has done.
#[derive(Debug)]
pub(super) enum Done {
    Started(Name, Result<Serving, RuntimeError>),
    Ended(ReplicaId),
}

impl Stage {
    pub(super) fn new(node: Arc<Inner>, grace: Duration) -> Self {
        Self {
            node,
            grace,
            acts: BTreeMap::new(),
            replicas: HashMap::new(),
            work: JoinSet::new(),
        }
    }

    /// Starts a replica, under a lease if there is a guard. Answers what is known of it at once.
    pub(super) fn start(
        &mut self,
        runtime: &Arc<dyn Runtime>,
        job: Arc<Job>,
        replica: ReplicaId,
        guard: Option<Guard>,
    ) -> Option<Event> {
        let name = (job.component.clone(), job.generation);
        self.replicas.insert(replica, name.clone());
        if let Some(act) = self.acts.get_mut(&name) {
            act.replicas.insert(replica);
            return act.serving.is_some().then_some(Event::Serves(replica));
        }
        let act = Act {
            serving: None,
            replicas: BTreeSet::from([replica]),
        };
        self.acts.insert(name.clone(), act);
        let (node, runtime) = (self.node.clone(), runtime.clone());
        self.work.spawn(async move {
            let started = timeout(START_WITHIN, start(&node, &*runtime, job, guard)).await;
            let late = || RuntimeError::new(format!("it did not come up within {START_WITHIN:?}"));
            Done::Started(name, started.unwrap_or_else(|_| Err(late())))
        });
        None
    }

    /// Ends a replica; its calls may finish for as long as `grace` says.
    pub(super) fn end(&mut self, replica: ReplicaId, grace: Grace) -> Option<Event> {
        let ended = Some(Event::Ended(replica));
        let Some(name) = self.replicas.remove(&replica) else {
            return ended;
        };
        let Some(act) = self.acts.get_mut(&name) else {
            return ended;
        };
        act.replicas.remove(&replica);
        if !act.replicas.is_empty() {
            return ended;
        }
        let Some(serving) = act.serving.take() else {
            // It goes when it has started.
            return ended;
        };
        self.acts.remove(&name);
        let others = self
            .acts
            .range((name.0.clone(), Generation::MIN)..=(name.0.clone(), Generation::MAX));
        if let Some(other) = others
            .filter_map(|(_, act)| act.serving.as_ref())
            .next_back()
        {
            other.reinstate();
        }
        let grace = match grace {
            Grace::Some => self.grace,
            Grace::None => Duration::ZERO,
        };
        self.work.spawn(async move {
            if !serving.stop(grace).await {
                tracing::warn!(component = %name.0, generation = short(name.1), "calls were cut off, because they did not end within {grace:?}");
            }
            Done::Ended(replica)
        });
        None
    }

    /// The next thing that is done; waits for ever when nothing is under way.
    pub(super) async fn next(&mut self) -> Done {
        loop {
            match self.work.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) => tracing::error!(%error, "a task of the keeper was lost"),
                None => std::future::pending().await,
            }
        }
    }

    /// What follows from what was done, and why a component did not come up.
    pub(super) fn take(
        &mut self,
        done: Done,
    ) -> (Vec<Event>, Option<(ComponentId, Option<String>)>) {
        match done {
            Done::Ended(replica) => (vec![Event::Ended(replica)], None),
            Done::Started(name, Ok(serving)) => {
                let component = name.0.clone();
                let Some(act) = self.acts.get_mut(&name) else {
                    return (Vec::new(), None);
                };
                if act.replicas.is_empty() {
                    self.acts.remove(&name);
                    return (Vec::new(), None);
                }
                act.serving = Some(serving);
                let serves = act.replicas.iter().copied().map(Event::Serves);
                (serves.collect(), Some((component, None)))
            }
            Done::Started(name, Err(error)) => {
                tracing::warn!(component = %name.0, generation = short(name.1), %error, "a component did not come up");
                let replicas = self.acts.remove(&name).map(|act| act.replicas);
                let replicas = replicas.unwrap_or_default();
                for replica in &replicas {
                    self.replicas.remove(replica);
                }
                let failed = replicas.into_iter().map(Event::Failed).collect();
                (failed, Some((name.0, Some(error.to_string()))))
            }
        }
    }

    /// Whether nothing runs and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.acts.is_empty() && self.work.is_empty()
    }
}

/// Whether what runs may finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    Some,
    None,
}

async fn start(
    node: &Arc<Inner>,
    runtime: &dyn Runtime,
    job: Arc<Job>,
    guard: Option<Guard>,
) -> Result<Serving, RuntimeError> {
    let component = job.component.clone();
    let Prepared { service, limits } = runtime.prepare(job).await?;
    let fence = guard.as_ref().map_or(0, Guard::fence);
    let service = match guard {
        None => service,
        Some(guard) => guard.around(service),
    };
    node.serve(component, service, limits, Over::Kept { fence })
        .await
        .map_err(|error| RuntimeError::of(&error))
}
