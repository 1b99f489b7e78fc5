//! A node: one participant of the lattice on the bus, a host or a caller. It has an identity (host id and boot epoch), an
//! inbox, the components that it serves, and the calls that it has in flight.
//!
//! States: *live* → *leaving* (said goodbye, finishes what it has) → gone. A node that is dropped without
//! [`leave`](Node::leave) vanishes without a word, as after a power cut.

mod beside;
pub(crate) mod boot;
mod bulk;
mod callee;
mod caller;
mod discovery;
mod errand;
mod gates;
mod leave;
mod line;
mod logs;
mod meter;
mod outbox;
mod pending;
pub(crate) mod presence;
mod published;
mod replies;
mod report;
mod served;
mod serving;
mod upkeep;

pub use caller::Caller;
pub use logs::LogSink;
pub use presence::{Peer, Peers};
pub use served::ServeLimits;
pub use serving::{ServeError, Serving};

#[cfg(feature = "apps")]
pub(crate) use serving::Over;

pub(crate) use beside::Beside;
pub(crate) use caller::Outgoing;
pub(crate) use line::token;
pub(crate) use served::Served;

use crate::{
    bus::BusError,
    call::{CallError, Part, Ran},
    entropy::{self, HashState},
    lattice::Connection,
    name::{ComponentId, HostId},
    replay::ReplayGuard,
    route::{Resting, RetryBudget},
    wire::{Duty, Lane, Origin, ReplicaCount},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use bulk::SmallCalls;
use line::Line;
use outbox::Then;
use pending::Pending;
use replies::ReplyLine;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Frames that wait in a subscription of this node before the bus drops more.
const INBOX: usize = 65_536;
/// Calls in flight to other hosts; one more is answered `Overloaded`.
const IN_FLIGHT: usize = 65_536;

/// How a node appears to others.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Its host id; a random one by default. Two live hosts with one id fight: the later boot wins.
    pub host: Option<HostId>,
    /// Labels that placement and people can see.
    pub labels: BTreeMap<String, String>,
}

impl NodeOptions {
    /// A host id chosen by a person.
    pub fn host(mut self, id: HostId) -> Self {
        self.host = Some(id);
        self
    }

    /// One label more.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// When a node tells others of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// A host does from the start.
    Always,
    /// One that only calls need not be known.
    WhileServing,
}

/// One participant of the lattice; see the [module](self). Cheap to clone; the last clone takes it off the bus.
#[derive(Clone)]
pub struct Node(Arc<Owner>);

/// The tasks hold the inner part only, so that dropping the last handle ends them.
struct Owner {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// Replicas by component and generation.
pub(crate) type Tallies = BTreeMap<ComponentId, Vec<ReplicaCount>>;

type Lines = HashMap<Origin, Arc<Line>, HashState>;

pub(crate) struct Inner {
    origin: Origin,
    labels: BTreeMap<String, String>,
    announce: Announce,
    connection: Arc<Connection>,
    pending: Pending,
    served: ArcSwap<HashMap<ComponentId, Arc<Served>, HashState>>,
    /// Answers what other hosts ask by themselves.
    errands: ArcSwapOption<Served>,
    /// The ways to other hosts: read on every call, changed when one comes or goes.
    lines: ArcSwap<Lines>,
    opening: Mutex<()>,
    replies: Mutex<HashMap<Origin, Arc<ReplyLine>, HashState>>,
    questions: discovery::Questions,
    replay: Mutex<ReplayGuard>,
    sequence: AtomicU64,
    dice: AtomicU64,
    /// Calls made so far, for what may be retried.
    calls: AtomicU64,
    budget: Mutex<RetryBudget>,
    resting: Resting,
    small_calls: SmallCalls,
    /// Calls that run here for others.
    tasks: TaskTracker,
    /// There are calls in flight to watch over.
    busy: Notify,
    /// What its keeper runs, for the beats.
    replica_counts: ArcSwap<Tallies>,
    /// Whether it takes more.
    duty: AtomicU8,
    /// There is something new to tell in a beat.
    news: Notify,
    /// A component came into service and has to be told of its links.
    newly_served: Notify,
    leaving: AtomicBool,
    gone: AtomicBool,
    /// The hosts of the same program: whoever calls from outside of any host finds what it calls there first.
    beside: Beside,
    /// Ends the calls that run here when the node vanishes.
    end: CancellationToken,
    refused: AtomicU64,
    /// Frames of calls that came.
    taken: AtomicU64,
    statuses: report::Statuses,
    logs: LogSink,
}

impl Node {
    /// Joins the lattice: subscribes, and from then on takes part.
    pub(crate) async fn join(
        connection: Arc<Connection>,
        options: NodeOptions,
        announce: Announce,
        beside: &Beside,
    ) -> Result<Self, BusError> {
        let epoch = boot::epoch(&connection.records, options.host.as_ref()).await;
        let origin = Origin::new(options.host.unwrap_or_else(entropy::host_id), epoch);
        let subjects = &connection.subjects;
        let inbox = connection
            .bus
            .subscribe(subjects.call(&origin.host, origin.epoch), INBOX)
            .await?;
        let replies = connection
            .bus
            .subscribe(subjects.replies(&origin.host, origin.epoch), INBOX)
            .await?;
        let inner = Arc::new(Inner {
            labels: options.labels,
            announce,
            pending: Pending::new(IN_FLIGHT),
            served: ArcSwap::default(),
            errands: ArcSwapOption::default(),
            lines: ArcSwap::default(),
            opening: Mutex::default(),
            replies: Mutex::default(),
            questions: discovery::Questions::default(),
            replay: Mutex::new(ReplayGuard::new()),
            sequence: AtomicU64::new(0),
            dice: AtomicU64::new(token(&origin)),
            calls: AtomicU64::new(0),
            budget: Mutex::default(),
            resting: Resting::default(),
            small_calls: SmallCalls::default(),
            tasks: TaskTracker::new(),
            busy: Notify::new(),
            replica_counts: ArcSwap::default(),
            duty: AtomicU8::new(Duty::Apart as u8),
            news: Notify::new(),
            newly_served: Notify::new(),
            leaving: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            beside: match announce {
                Announce::Always => Beside::default(),
                Announce::WhileServing => beside.clone(),
            },
            end: CancellationToken::new(),
            refused: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            statuses: report::Statuses::new(),
            logs: LogSink::default(),
            connection,
            origin,
        });
        if announce == Announce::Always {
            beside.add(&inner);
        }
        let tasks = [
            tokio::spawn(callee::serve_inbox(inner.clone(), inbox)),
            tokio::spawn(upkeep::take_replies(inner.clone(), replies)),
            tokio::spawn(upkeep::beat(inner.clone())),
            tokio::spawn(upkeep::watch_over_calls(inner.clone())),
            tokio::spawn(upkeep::tidy(inner.clone())),
            tokio::spawn(upkeep::follow_presence(inner.clone())),
            tokio::spawn(upkeep::follow_bus(inner.clone())),
            tokio::spawn(serving::follow_links(inner.clone())),
            tokio::spawn(published::keep_published(inner.clone())),
            tokio::spawn(report::report(inner.clone())),
            tokio::spawn(logs::tell(inner.clone())),
        ];
        let tasks = Mutex::new(tasks.map(AbortOnDropHandle::new).into());
        Ok(Self(Arc::new(Owner { inner, tasks })))
    }

    /// Its host id.
    pub fn host_id(&self) -> &HostId {
        &self.0.inner.origin.host
    }

    /// Which boot of which host it is.
    pub fn origin(&self) -> &Origin {
        &self.0.inner.origin
    }

    /// Calls in the name of `component`, through its links.
    pub fn caller(&self, component: ComponentId) -> Caller {
        Caller::new(self.0.inner.clone(), component)
    }

    /// Messages that were dropped because they were forged, replayed, garbled or not for this node.
    pub fn refused(&self) -> u64 {
        self.0.inner.refused.load(Ordering::Relaxed)
    }

    /// Calls that wait for a reply from another host.
    pub fn in_flight(&self) -> usize {
        self.0.inner.pending.len()
    }

    /// Vanishes at once and without a word, as a host does that loses power: for tests and demonstrations.
    pub fn kill(&self) {
        self.0.inner.leaving.store(true, Ordering::Release);
        self.lock_tasks().clear();
        self.0.inner.vanish();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    fn lock_tasks(&self) -> MutexGuard<'_, Vec<AbortOnDropHandle<()>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("origin", self.origin())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inner.vanish();
    }
}

impl Inner {
    pub(crate) fn served(&self, component: &ComponentId) -> Option<Arc<Served>> {
        self.served.load().get(component).cloned()
    }

    /// Which boot of which host it is.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it says of itself.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// What it shares with the other nodes of its connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What the next beats say of desired state.
    pub(crate) fn set_replica_counts(&self, replica_counts: Tallies) {
        if **self.replica_counts.load() != replica_counts {
            self.replica_counts.store(Arc::new(replica_counts));
            self.news.notify_one();
        }
    }

    /// Tells everyone whether it takes replicas from now on.
    pub(crate) fn set_duty(&self, duty: Duty) {
        self.duty.store(duty as u8, Ordering::Release);
        self.news.notify_one();
    }

    fn change_lines<T>(&self, change: impl Fn(&mut Lines) -> T) {
        self.lines.rcu(|lines| {
            let mut lines = Lines::clone(lines);
            change(&mut lines);
            lines
        });
    }

    /// Held while a line is opened, so that there is one to each peer.
    fn lock_opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_replies(&self) -> MutexGuard<'_, HashMap<Origin, Arc<ReplyLine>, HashState>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_replay(&self) -> MutexGuard<'_, ReplayGuard> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a message that is not acted on, and says so once in a while.
    fn refuse(&self, what: &str) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(host = %self.origin.host, count, "refused {what}");
        }
    }

    /// The bus did not take a frame.
    fn frame_lost(&self, peer: u64, frame: u64, error: &BusError) {
        let limit = self.connection.bus.max_payload() as u64;
        self.pending.fail(Some(peer), |carried_by| {
            (carried_by == frame).then_some(match error {
                BusError::TooLarge { .. } => CallError::TooLarge {
                    what: Part::Arguments,
                    limit,
                },
                BusError::Unconfirmed { .. } => CallError::Disconnected { ran: Ran::Maybe },
                _ => CallError::Disconnected { ran: Ran::No },
            })
        });
    }

    /// Ends every call to a boot of a host that is gone.
    fn peer_lost(&self, peer: &Origin) {
        let Some(line) = self.lines.load().get(peer).cloned() else {
            return;
        };
        self.change_lines(|lines| lines.remove(peer));
        // First nothing more can leave, then it is sure what has.
        let left = line.withdraw(Then::Close);
        let count = self.pending.fail(Some(line.token), |frame| {
            let host = peer.host.clone();
            Some(if left.has(frame) {
                CallError::HostLost { host }
            } else {
                CallError::HostGone { host }
            })
        });
        if count > 0 {
            tracing::warn!(host = %peer.host, calls = count, "a host was lost with calls in flight");
        }
    }

    fn vanish(&self) {
        self.gone.store(true, Ordering::Release);
        self.end.cancel();
        if let Some(errands) = self.errands.swap(None) {
            errands.cut_off();
        }
        for served in self.served.swap(Arc::default()).values() {
            served.cut_off();
        }
        for line in self.lines.swap(Arc::default()).values() {
            line.withdraw(Then::Close);
        }
        self.lock_replies().clear();
        self.pending
            .fail(None, |_| Some(CallError::Disconnected { ran: Ran::Maybe }));
        self.tasks.close();
    }
}

/// Names a frame to one peer: its lane and its number there.
fn frame_of(lane: Lane, number: u64) -> u64 {
    number << 8 | lane as u64
}
