//! What runs on this host for its keeper: replicas, and the services that stand for them.
//!
//! Replicas of one generation of a component share a service on one host. Of two generations the one that was started last
//! gets the calls, and the other one finishes what it has; when the last one is drained first, the other one gets them again.

use super::{Job, Prepared, Runtime, RuntimeError, leases::Guard, short};
use crate::{
    id::Fence,
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
    time::timeout,
};

type Name = (ComponentId, Generation);
/// What follows, and why a component did not come up: nothing when it did.
pub(super) type Outcome = (Vec<Event>, Option<(Name, Option<String>)>);

/// Everything that runs, or is about to.
pub(super) struct Stage {
    node: Arc<NodeParts>,
    grace: Duration,
    acts: BTreeMap<Name, Act>,
    /// How many there were.
    counted: u64,
    replicas: HashMap<ReplicaId, Name>,
    work: JoinSet<Done>,
}

/// One generation of a component.
#[derive(Debug)]
struct Act {
    /// Tells it from an earlier one of the same name.
    number: u64,
    play: Play,
    replicas: BTreeSet<ReplicaId>,
}

#[derive(Debug)]
enum Play {
    Starts(AbortHandle),
    Serves(ServeHandle),
}

impl Act {
    fn serving(&self) -> Option<&ServeHandle> {
        match &self.play {
            Play::Starts(_) => None,
            Play::Serves(serving) => Some(serving),
        }
    }
}

/// What a task of the stage has done.
#[derive(Debug)]
pub(super) enum Done {
    Started(Name, u64, Result<ServeHandle, RuntimeError>),
    /// It was not needed any more.
    Dropped,
    Ended(ReplicaId),
}

impl Stage {
    pub(super) fn new(node: Arc<NodeParts>, grace: Duration) -> Self {
        Self {
            node,
            grace,
            acts: BTreeMap::new(),
            counted: 0,
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
            return act.serving().map(|_| Event::Serves(replica));
        }
        self.counted += 1;
        let number = self.counted;
        let (node, runtime, named) = (self.node.clone(), runtime.clone(), name.clone());
        let starts = self.work.spawn(async move {
            let started = timeout(START_WITHIN, start(&node, &*runtime, job, guard)).await;
            let late = || RuntimeError::new(format!("it did not come up within {START_WITHIN:?}"));
            Done::Started(named, number, started.unwrap_or_else(|_| Err(late())))
        });
        let act = Act {
            number,
            play: Play::Starts(starts),
            replicas: BTreeSet::from([replica]),
        };
        self.acts.insert(name, act);
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
        let serving = match self.acts.remove(&name).map(|act| act.play) {
            Some(Play::Serves(serving)) => serving,
            Some(Play::Starts(starts)) => {
                starts.abort();
                return ended;
            }
            None => return ended,
        };
        self.reinstate(&name.0);
        let grace = match grace {
            Grace::Some => self.grace,
            Grace::None => Duration::ZERO,
        };
        self.work.spawn(async move {
            if !serving.shutdown(grace).await.is_clean() {
                tracing::warn!(component = %name.0, generation = short(name.1), "calls were cut off, because they did not end within {grace:?}");
            }
            Done::Ended(replica)
        });
        None
    }

    /// Has the generation that was started last get the calls, of those that serve.
    fn reinstate(&self, component: &ComponentId) {
        let [first, last] = [Generation::MIN, Generation::MAX].map(|end| (component.clone(), end));
        let acts = self.acts.range(first..=last).map(|(_, act)| act);
        let serving = acts.filter_map(|act| Some((act.number, act.serving()?)));
        if let Some((_, newest)) = serving.max_by_key(|(number, _)| *number) {
            newest.reinstate();
        }
    }

    /// The next thing that is done; waits for ever when nothing is under way.
    pub(super) async fn next(&mut self) -> Done {
        loop {
            match self.work.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) if error.is_cancelled() => return Done::Dropped,
                Some(Err(error)) => tracing::error!(%error, "a task of the keeper was lost"),
                None => std::future::pending().await,
            }
        }
    }

    /// What follows from what was done, and why a component did not come up.
    pub(super) fn take(&mut self, done: Done) -> Outcome {
        match done {
            Done::Ended(replica) => (vec![Event::Ended(replica)], None),
            Done::Dropped => (Vec::new(), None),
            Done::Started(name, number, outcome) => {
                let current = self.acts.get_mut(&name);
                let Some(act) = current.filter(|act| act.number == number) else {
                    // It had started before it was stopped, and got the calls meanwhile.
                    drop(outcome);
                    self.reinstate(&name.0);
                    return (Vec::new(), None);
                };
                match outcome {
                    Ok(serving) => {
                        act.play = Play::Serves(serving);
                        let serves = act.replicas.iter().copied().map(Event::Serves);
                        let serves = serves.collect();
                        self.reinstate(&name.0);
                        (serves, Some((name, None)))
                    }
                    Err(error) => self.did_not_start(name, &error),
                }
            }
        }
    }

    fn did_not_start(&mut self, name: Name, error: &RuntimeError) -> Outcome {
        tracing::warn!(component = %name.0, generation = short(name.1), %error, "a component did not come up");
        let replicas = self.acts.remove(&name).map(|act| act.replicas);
        let replicas = replicas.unwrap_or_default();
        for replica in &replicas {
            self.replicas.remove(replica);
        }
        let failed = replicas.into_iter().map(Event::Failed).collect();
        (failed, Some((name, Some(error.to_string()))))
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
    node: &Arc<NodeParts>,
    runtime: &dyn Runtime,
    job: Arc<Job>,
    guard: Option<Guard>,
) -> Result<ServeHandle, RuntimeError> {
    let component = job.component.clone();
    let Prepared { service, limits } = runtime.prepare(job).await?;
    let fence = guard.as_ref().map(Guard::fence).and_then(Fence::new);
    let service = match guard {
        None => service,
        Some(guard) => guard.around(service),
    };
    node.server
        .serve(component, service, limits, IfServing::Replace { fence })
        .await
        .map_err(|error| RuntimeError::of(&error))
}
