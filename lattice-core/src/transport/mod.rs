//! Frames between this node and other hosts: authenticated, numbered, coalesced, with flow control,
//! and with certainty about which frames were sent.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `endpoint`, `receiver` | identity, keys, sequence numbers, replay guard: everything sent and received passes them |
//! | `peer`, `peer_table` | the connections to other hosts, for calls |
//! | `reply_path` | the way back to callers |
//! | `session` | what doesn't fit a message: channels with credit |
//! | `large_result` | results that don't fit a message, or have handles in them |
//! | `streams` | values with streams and handles in them |
//! | `challenge` | whether a host is there now, or someone plays its recorded frames |
//! | `send_queue`, `flow_control`, `lane` | coalescing, back pressure, and lanes |
//! | `fate` | whether a frame can have arrived, and what follows for its calls |
//! | `in_flight` | calls that wait for their reply |
//! | `overflow` | reports of messages that a full subscription dropped |
//! | `post` | frames outside of send queues that must not hold up their sender |
//! | `reply_reader`, `failure_detector`, `idle_cleanup` | the tasks |

mod challenge;
pub(crate) mod endpoint;
pub(crate) mod failure_detector;
mod fate;
mod flow_control;
pub(crate) mod id;
pub(crate) mod idle_cleanup;
pub(crate) mod in_flight;
pub(crate) mod lane;
pub(crate) mod large_result;
pub(crate) mod overflow;
pub(crate) mod peer;
mod peer_table;
mod post;
pub(crate) mod receiver;
pub(crate) mod reply_path;
pub(crate) mod reply_reader;
pub(crate) mod send_queue;
pub(crate) mod session;
pub(crate) mod streams;

pub(crate) use endpoint::{Endpoint, Medium};
pub(crate) use in_flight::Reply;
pub(crate) use peer::PeerConn;

use crate::{
    bus::{BusError, Subscription},
    call::{CallError, Part},
    replay::ReplayGuard,
    stream::remote::Ledger,
    wire::{Discovered, Kind, Origin},
};
use arc_swap::Guard;
use challenge::Challenges;
use fate::Fate;
use id::PeerToken;
use in_flight::InFlight;
use peer_table::{PeerMap, PeerTable};
use post::Posts;
use receiver::Audience;
use reply_path::ReplyPaths;
use send_queue::{Lost, Then};
use session::Broken;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};
use streams::Streams;
use tokio::sync::Notify;

/// Frames that wait in a subscription of this node before the bus drops more.
const INBOX: usize = 65_536;
/// Calls in flight to other hosts; one more fails with `Overloaded`.
const IN_FLIGHT: usize = 65_536;

/// How the layers above react to events of the transport.
pub(crate) trait Events: Send + Sync + 'static {
    /// A discovery question was answered.
    fn discovered(&self, found: Discovered);
    /// The bus, or a client that pretends to be the bus, reports that a discovery question had no
    /// receivers.
    fn question_in_doubt(&self, id: u64);
    /// A host is gone.
    fn host_lost(&self, host: &Origin);
}

/// A node's frames to and from other hosts.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) in_flight: InFlight,
    /// A call has a deadline before the next look at those in flight.
    pub(crate) new_deadline: Notify,
    pub(crate) streams: Streams,
    peers: PeerTable,
    replies: ReplyPaths,
    challenges: Challenges,
    posts: Posts,
    closed: AtomicBool,
}

/// The subscriptions of a node, to be read by its tasks.
pub(crate) struct Subscriptions {
    /// Calls and probes.
    pub(crate) inbox: Subscription,
    pub(crate) replies: Subscription,
    pub(crate) sessions: Subscription,
}

/// Which frames a node accepts. Frames that run or end calls have to name their receiver; only
/// requests may be for all members.
fn accepts(kind: Kind, audience: Audience) -> bool {
    audience == Audience::One
        || matches!(kind, Kind::Discover | Kind::ReportWanted | Kind::LogsWanted)
}

impl Transport {
    /// Subscribes under this identity.
    pub(crate) async fn open(
        medium: Medium,
        origin: Origin,
        ledger: Arc<Ledger>,
    ) -> Result<(Arc<Self>, Subscriptions), BusError> {
        let endpoint = Endpoint::<ReplayGuard>::new(medium, origin, accepts);
        let (subjects, Origin { host, epoch }) = (endpoint.subjects(), endpoint.origin());
        let inbox = endpoint
            .subscribe(subjects.call(host, *epoch), INBOX)
            .await?;
        let replies = subjects.replies(host, *epoch);
        let replies = endpoint.subscribe(replies, INBOX).await?;
        let sessions = subjects.session(host, *epoch);
        let sessions = endpoint.subscribe(sessions, INBOX).await?;
        let streams = Streams::new(
            endpoint.origin().clone(),
            ledger,
            endpoint.budgets().received.clone(),
            endpoint.max_value(),
        );
        let transport = Self {
            streams,
            endpoint: Arc::new(endpoint),
            in_flight: InFlight::new(IN_FLIGHT),
            new_deadline: Notify::new(),
            peers: PeerTable::default(),
            replies: ReplyPaths::default(),
            challenges: Challenges::default(),
            posts: Posts::default(),
            closed: AtomicBool::new(false),
        };
        let subscriptions = Subscriptions {
            inbox,
            replies,
            sessions,
        };
        Ok((Arc::new(transport), subscriptions))
    }

    /// The boot of the host that it is.
    pub(crate) fn origin(&self) -> &Origin {
        self.endpoint.origin()
    }

    /// The connections to other hosts, for the length of a lookup.
    pub(crate) fn peers(&self) -> Guard<Arc<PeerMap>> {
        self.peers.load()
    }

    /// Returns the connection to that boot of a host, opened if there is none yet.
    pub(crate) fn peer(self: &Arc<Self>, peer: &Origin) -> Arc<PeerConn> {
        let weak: Weak<Self> = Arc::downgrade(self);
        let on_lost = move |peer, lost: Lost| {
            if let Some(transport) = weak.upgrade() {
                transport.frame_lost(peer, &lost);
            }
        };
        self.peers.get_or_open(&self.endpoint, peer, on_lost)
    }

    /// Ends the calls in a frame that the bus did not take.
    fn frame_lost(&self, peer: PeerToken, lost: &Lost) {
        let limit = self.endpoint.bus().max_payload() as u64;
        self.in_flight.fail(Some(peer), |carried_by| {
            (carried_by == lost.frame).then(|| match (&lost.error, lost.fate) {
                (BusError::TooLarge { .. }, Fate::Withheld) => CallError::TooLarge {
                    what: Part::Arguments,
                    limit,
                },
                (_, fate) => fate.disconnected(),
            })
        });
    }

    /// Ends every call to a boot of a host that is gone.
    pub(crate) fn peer_lost(&self, peer: &Origin) {
        let Some(conn) = self.peers.remove(peer) else {
            return;
        };
        // Once nothing more can be sent, it is certain which frames were. A connection that another
        // caller opens meanwhile has frames of its own.
        let fates = conn.withdraw(Then::Close, Broken::PeerLost);
        let count = self.in_flight.fail(Some(conn.token), |frame| {
            Some(fates.of(frame)?.host_lost(&peer.host))
        });
        if count > 0 {
            tracing::warn!(host = %peer.host, calls = count, "a host was lost with calls in flight");
        }
    }

    /// Ends the calls in flight when the bus is lost, except those that are sent after it is back.
    pub(crate) fn bus_lost(&self) {
        for conn in self.peers.load().values() {
            let fates = conn.withdraw(Then::GoOn, Broken::Disconnected);
            self.in_flight.fail(Some(conn.token), |frame| {
                Some(fates.of(frame)?.disconnected())
            });
        }
    }

    /// Sessions with other hosts that are open.
    pub(crate) fn open_sessions(&self) -> usize {
        self.peers.session_count.open()
    }

    /// Whether the node has left the bus.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Sends no replies and nothing in sessions from now on; to be followed by
    /// [`close`](Self::close).
    pub(crate) fn silence(&self) {
        self.closed.store(true, Ordering::Release);
        // What ends here next would tell other hosts that it was dropped.
        for conn in self.peers.load().values() {
            conn.sessions.fail_all(Broken::Closed, Then::Close);
        }
        self.streams.cancel();
    }

    /// Closes all connections and ends all calls in flight.
    pub(crate) fn close(&self) {
        for conn in self.peers.take().values() {
            let fates = conn.withdraw(Then::Close, Broken::Closed);
            self.in_flight.fail(Some(conn.token), |frame| {
                Some(fates.of(frame)?.disconnected())
            });
        }
        self.replies.clear();
        self.in_flight
            .fail(None, |_| Some(Fate::MayHaveArrived.disconnected()));
    }
}
