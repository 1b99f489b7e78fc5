//! The constellation: a view of the whole lattice for people, at any moment and as it changes.
//!
//! ```text
//!  store ──► replica ──► links, desired state ──┐
//!  beats ──► presence ──► live hosts ───────────┼──► projection ──► View ──► snapshot, changes, explain, graphs
//!  reports: phases, rates, latencies ───────────┘
//! ```
//!
//! The *logical* view shows what is linked to what: actors, providers, links with their state,
//! wormholes, apps. The *infrastructure* view shows where it runs: hosts with their labels and
//! load, and on each the replicas with phase, calls, errors and latency. A host that fell silent
//! without a goodbye is among the lost ones for ten minutes.
//!
//! A [`View`] and a [`Delta`] are written as JSON and read from it; [`SCHEMA`] describes both.
//! There is nothing secret in them: neither the configs of links and components nor the credentials
//! of wormholes are part of a view. Folding the deltas that follow a snapshot over it
//! ([`View::apply`]) gives each later view, also after a trip through JSON, which has times in
//! whole units.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::StreamExt as _;
//! use lattice_core::{Lattice, constellation::{Delta, GraphKind, Subject}, link::Link};
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let constellation = lattice.constellation();
//! let mut changes = constellation.watch();
//! assert!(matches!(changes.next().await, Some(Delta::Snapshot(view)) if view.links.is_empty()));
//!
//! let link = Link::new("front", "example:hello/greeter@0.1.0", "greeter")?;
//! let key = lattice.links().put(link).await?.key.clone();
//! while !matches!(changes.next().await, Some(Delta::Link(_))) {}
//! println!("{}", constellation.snapshot().to_mermaid(GraphKind::Logical));
//!
//! let why = lattice.explain(&Subject::Link((*key).clone())).await;
//! assert!(why.to_string().contains("`greeter` is neither declared nor served"), "{why}");
//! # Ok(())
//! # }
//! ```

mod coalesced;
mod explain;
mod follow;
pub mod graph;
mod items;
mod json;
mod link_loads;
mod load;
mod projection;
mod view;

#[doc(inline)]
pub use crate::wire::{ComponentStatus, MAX_REASON, Phase};
pub use coalesced::CoalescedDeltas;
pub use explain::{Explanation, Finding, Mismatches, Severity, Subject, explain};
pub use graph::GraphKind;
pub use items::{
    AppView, ComponentKind, ComponentView, GuestMemoryView, HostLoad, HostView, Item, LinkLoad,
    LinkState, LinkView, LostHostView, ProcessView, ReplicaKey, ReplicaLoad, ReplicaView,
    StoreState, StoreView, UnreadableView, WormholeView,
};
pub use view::{Delta, ItemChange, View};

use crate::{Lattice, connection::Connection, lattice::JoinedLattice, wire::Beat};
use follow::SharedView;
use futures_util::{Stream, StreamExt as _, stream};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

/// The JSON schema (2020-12) of what a reader is sent: `$defs/View` and `$defs/Delta`. It lets
/// fields through that it doesn't know, because newer versions may add some.
pub const SCHEMA: &str = include_str!("schema.json");

/// The least time that hosts get to report: the time between two heartbeats, and some round trips
/// across the world. It ensures that a heartbeat of every host has arrived, including hosts that
/// are too busy to report at once.
const LISTEN: Duration = Duration::from_millis(1_300);
/// How long to wait for a host that sends heartbeats but no report: twice the time between two
/// heartbeats.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How often a process that listens checks that it runs in time.
const STEP: Duration = Duration::from_millis(50);
/// How late it is if its machine is busy. Hosts on the same machine may then be late as well, so it
/// listens for as long as it would wait for reports.
const LATE: Duration = Duration::from_millis(50);

/// A live view of the lattice, from [`Lattice::constellation`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Constellation {
    shared: Arc<SharedView>,
    began: Instant,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl Constellation {
    pub(crate) fn follow(connection: Arc<Connection>) -> Self {
        let shared = Arc::new(SharedView::new(&connection));
        let task = tokio::spawn(follow::follow(shared.clone(), connection));
        Self {
            shared,
            began: Instant::now(),
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// Returns the constellation as it is known now. At first hosts may still be missing; see
    /// [`settled`](Self::settled).
    pub fn snapshot(&self) -> Arc<View> {
        self.shared.view()
    }

    /// Returns a stream of changes: first the constellation as it is now, as [`Delta::Snapshot`],
    /// then every change. A reader that is too slow gets a snapshot in place of the changes that it
    /// missed. The stream keeps the view alive.
    pub fn watch(&self) -> impl Stream<Item = Delta> + Send + Unpin + use<> {
        stream::unfold(Changes::new(self.clone()), async |mut changes| {
            changes.next().await.map(|delta| (delta, changes))
        })
        .boxed()
    }

    /// Waits until every live host has reported or has had the time to, then returns the
    /// constellation. The wait takes 1.3 to 2.5 seconds from the first call of
    /// [`Lattice::constellation`], the longer time on a busy machine. Among more than 200 hosts,
    /// which send fewer heartbeats, it takes as long as the time between two of them.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn settled(&self) -> Arc<View> {
        let mut versions = self.shared.versions();
        let is_late = was_late_until(self.began + LISTEN).await;
        let interval = Beat::interval_among(self.snapshot().hosts.len());
        sleep_until(self.began + LISTEN.max(interval)).await;
        let end = self.began + PATIENCE.max(interval);
        if is_late {
            sleep_until(end).await;
        }
        let reported = async {
            while self
                .snapshot()
                .hosts
                .values()
                .any(|host| host.load.is_none())
            {
                if versions.changed().await.is_err() {
                    return;
                }
            }
        };
        // Hosts that have not reported by then are shown as their heartbeats describe them.
        let _ = timeout_at(end, reported).await;
        self.snapshot()
    }
}

/// Waits until `end`, and returns whether this process was late meanwhile.
async fn was_late_until(end: Instant) -> bool {
    let mut was_late = false;
    while Instant::now() < end {
        let due = end.min(Instant::now() + STEP);
        sleep_until(due).await;
        was_late |= due.elapsed() > LATE;
    }
    was_late
}

/// The changes that one reader has not read yet.
struct Changes {
    deltas: broadcast::Receiver<Arc<[Delta]>>,
    pending: VecDeque<Delta>,
    constellation: Constellation,
}

impl Changes {
    fn new(constellation: Constellation) -> Self {
        let (view, deltas) = constellation.shared.follow();
        Self {
            deltas,
            pending: VecDeque::from([Delta::Snapshot(view)]),
            constellation,
        }
    }

    async fn next(&mut self) -> Option<Delta> {
        loop {
            if let Some(delta) = self.pending.pop_front() {
                return Some(delta);
            }
            match self.deltas.recv().await {
                Ok(deltas) => self.pending.extend(deltas.iter().cloned()),
                Err(RecvError::Lagged(_)) => *self = Self::new(self.constellation.clone()),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Lattice {
    /// Returns the view of the whole lattice. The first call creates it, and from then on this
    /// connection receives every host's reports. Later calls share it.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn constellation(&self) -> Constellation {
        let JoinedLattice {
            extensions,
            connection,
            ..
        } = self.shared();
        let made = extensions.get_or_init(|| Constellation::follow(connection.clone()));
        Constellation::clone(&made)
    }

    /// Explains whether something runs or can be reached, why not, and what to do next. The first
    /// call takes as long as [`Constellation::settled`].
    pub async fn explain(&self, subject: &Subject) -> Explanation {
        let view = self.constellation().settled().await;
        let mismatches = explain::mismatches(self.connection(), &view, subject).await;
        explain(&view, &mismatches, subject)
    }
}
