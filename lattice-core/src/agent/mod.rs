//! Keeps one host's share of the desired state running.
//!
//! ```text
//!  store ──► desired state ──┐
//!  bus ────► beats, goodbyes ├─► Members, Reconciler ──► actions ──┬─► LocalReplicas ──► Runtime
//!  runtime ► outcomes ───────┘   (pure, in `place`)                └─► Leases
//! ```
//! There is no scheduler. Every host computes the same placement from what it sees, and its
//! [`Agent`] starts its own share and drains the rest. A host that receives nothing from other
//! hosts continues with those that it knew. So does a host that starts in that situation, if its
//! lattice keeps a snapshot (`Connect::snapshot`) and its id is the same as before. What a host can
//! run depends on its [`Runtime`]; `lattice-host` has one for WebAssembly.

mod figures;
mod hosts;
mod known_hosts;
pub(crate) mod leases;
mod local_replicas;
mod newcomers;
mod rejections;
mod runtime;
mod served;
mod strays;
mod task;
mod work;

#[doc(inline)]
pub use crate::place::plan::{Generation, Phase, ReplicaCount, Status};
pub use runtime::{Prepared, Runtime, RuntimeError};
pub use work::{Work, WorkItem};

use crate::{
    drained::Drained,
    name::{ComponentId, HostId},
    node::Node,
    ordered_watch,
    place::Assignment,
    watch::Watch,
    wire::{ComponentStatus, Duty, Phase as ReportedPhase},
};
use figures::Figures;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use task::{Command, Publishers, Task};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

/// How a host takes part in placement.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentOptions {
    /// How long a host that has just started listens before it acts: 1.5 s by default. It always
    /// listens for at least two heartbeat intervals of the slowest host that it receives, unless
    /// this is zero, which is for a lattice inside one process.
    pub listen: Duration,
    /// How long the calls of a drained replica may take to finish: 10 s by default. When the host
    /// shuts down, they have the time that is left for that instead, be it more or less. Another
    /// host starts a component that runs once when they have ended.
    pub grace: Duration,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            listen: Duration::from_millis(1_500),
            grace: Duration::from_secs(10),
        }
    }
}

/// The longest time for a handover. Nothing waits longer, and the end of a longer one may not fit
/// the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// The state of one component on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentState {
    /// The phase of the component on this host, and its serving replicas.
    pub status: Status,
    /// Why it failed the last time, if it did. While it waits for its lease: why the store doesn't
    /// permit this host to write it, if it doesn't.
    pub reason: Option<String>,
}

impl ComponentState {
    /// Returns the status for the host's reports.
    fn report(&self) -> ComponentStatus {
        let phase = match self.status.phase {
            Phase::Serving => ReportedPhase::Serving,
            Phase::Starting => ReportedPhase::Starting,
            Phase::Updating => ReportedPhase::Updating,
            Phase::HandingOver => ReportedPhase::HandingOver,
            Phase::WaitingForLease => ReportedPhase::WaitingForLease,
            Phase::CrashLooping { failures, .. } => ReportedPhase::CrashLooping { failures },
            Phase::Draining | Phase::Gone => ReportedPhase::Draining,
        };
        let mut status = ComponentStatus::new(phase);
        if let Some(newest) = self.status.replica_counts.last() {
            status = status.generation(newest.generation);
        }
        match &self.reason {
            Some(reason) => status.reason(reason),
            None => status,
        }
    }
}

/// The state of an agent, as it publishes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentState {
    /// Every component that this host runs or should run.
    pub components: BTreeMap<ComponentId, ComponentState>,
    /// Whether the store was replaced or rolled back. Running components are kept until the apps
    /// are applied again.
    pub is_stale: bool,
    /// Whether another host has the same id and started later, so that this host gets no work.
    /// Restart this host with another id.
    pub is_doubled: bool,
}

/// Runs one host's share of the desired state. Dropping it stops serving everything that it
/// started.
#[derive(Debug)]
pub struct Agent {
    commands: mpsc::Sender<Command>,
    state: ordered_watch::Receiver<Arc<AgentState>>,
    assignment: ordered_watch::Receiver<Arc<Assignment>>,
    host: HostId,
    figures: Arc<Figures>,
    _task: AbortOnDropHandle<()>,
}

impl Agent {
    /// Starts to run this node's share of the desired state, as far as `runtime` can.
    pub fn start(node: &Node, runtime: Arc<dyn Runtime>, options: AgentOptions) -> Self {
        let (commands, inbox) = mpsc::channel(8);
        node.parts().membership.set_duty(Duty::Works);
        let publish = Publishers::default();
        let (state, assignment) = (publish.state.subscribe(), publish.assignment.subscribe());
        let figures = publish.figures.clone();
        let task = Task::new(node.parts().clone(), runtime, options, publish);
        Self {
            commands,
            state,
            assignment,
            host: node.host_id().clone(),
            figures,
            _task: AbortOnDropHandle::new(tokio::spawn(task.run(inbox))),
        }
    }

    /// Returns the state of every component that this host runs or should run.
    pub fn state(&self) -> Arc<AgentState> {
        self.state.borrow().clone()
    }

    /// Returns a watch of the same state. It ends when the agent stops.
    pub fn watch(&self) -> Watch<Arc<AgentState>> {
        Watch::of(self.state.clone())
    }

    /// Returns a watch of the assignment of components to hosts as this host sees it. It ends when
    /// the agent stops.
    pub fn watch_assignment(&self) -> Watch<Arc<Assignment>> {
        Watch::of(self.assignment.clone())
    }

    /// Hands everything over. Other hosts start what runs here, and it stops here when they serve
    /// it, or after half of `within` at the latest. The other half is for calls to finish. Returns
    /// which calls were cut off because they took longer. It may take 6 s more until providers have
    /// stopped and leases are released.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: the host is still leaving.
    pub async fn shutdown(&self, within: Duration) -> Drained {
        let (done, finished) = oneshot::channel();
        let (now, within) = (Instant::now(), within.min(LONGEST));
        let (by, until) = (now + within / 2, now + within);
        let leave = Command::Leave { by, until, done };
        if self.commands.send(leave).await.is_err() {
            return Drained::Clean;
        }
        // The agent reports in time. If it has ended, so has everything that it ran.
        finished.await.unwrap_or(Drained::Clean)
    }
}

/// Returns the first digits of a generation, for messages.
#[doc(hidden)]
pub fn short(generation: Generation) -> String {
    format!("{generation:016x}")[..8].to_owned()
}
