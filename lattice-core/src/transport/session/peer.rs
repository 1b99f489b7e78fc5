//! All sessions with one peer: the machine in a lock, and the send queues that carry its items.

use super::{
    super::{
        endpoint::Endpoint,
        flow_control::{FlowControl, SmallCallCount},
        id::FrameId,
        send_queue::{Address, Destination, FlushGuard, SendQueue, Then},
    },
    Broken, MAX_CHUNK, Refused, Session,
    machine::{Limits, Machine, SessionKey, Terms, Uplink},
    shares::ComponentShares,
};
use crate::{
    budget::{Held, Share},
    name::ComponentId,
    sync::Mutex,
    wire::{Envelopes, Item, Kind, Lane, Origin, SessionItem},
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

/// Most sessions with one peer. A thousand streams between two hosts are usual, more are not.
const WITH_PEER: usize = 4_096;
/// Most sessions of a node.
const IN_ALL: usize = 16_384;

/// Machines made so far by this process. The sessions of a later one have higher numbers, or the
/// peer would take them for repeated ones.
static MACHINES: AtomicU64 = AtomicU64::new(0);

/// All sessions with one peer.
#[derive(Debug)]
pub(crate) struct PeerSessions {
    machine: Mutex<Machine>,
    /// Chunks and ends, in order.
    parts: SendQueue,
    /// Credits and cancels.
    control: SendQueue,
    flow: FlowControl,
    /// Most bytes of a chunk that this end sends: what fits a message of the bus.
    pub(super) chunk: usize,
    /// The memory of chunks that are sent and not acknowledged.
    pub(super) sending: Share,
    /// The memory of results that are sent.
    results: Share,
    shares: ComponentShares,
    opened: Arc<Notify>,
}

/// What a look at the time has found.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Ticked {
    /// Whether to look again: something is known of a session.
    pub(in super::super) is_again: bool,
    /// Since when there are open sessions, if there are any.
    pub(in super::super) busy_since: Option<tokio::time::Instant>,
}

/// What the sessions of one node have in common. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub(in super::super) struct SessionCount {
    open: Arc<AtomicUsize>,
    shares: ComponentShares,
    uplink: Uplink,
    /// One was opened, so that the failure detector has to look.
    pub(in super::super) opened: Arc<Notify>,
}

impl SessionCount {
    /// How many are open.
    pub(in super::super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Default for SessionCount {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            shares: ComponentShares::of(IN_ALL),
            uplink: Uplink::default(),
            opened: Arc::default(),
        }
    }
}

impl PeerSessions {
    fn start(
        endpoint: &Arc<Endpoint>,
        peer: &Origin,
        small_calls: SmallCallCount,
        count: &SessionCount,
    ) -> Arc<Self> {
        let subject = endpoint.subjects().session(&peer.host, peer.epoch);
        let queue = |lane| {
            let address = Address {
                to: Destination::Unreported(subject.clone()),
                peer: peer.clone(),
                kind: Kind::Session,
                lane,
            };
            // What is lost is sent again.
            SendQueue::start(endpoint.clone(), address, |_| ())
        };
        let limits = Limits {
            with_peer: WITH_PEER,
            in_all: IN_ALL,
            taken: count.open.clone(),
        };
        let first = (MACHINES.fetch_add(1, Ordering::Relaxed) + 1) << 32;
        let budgets = endpoint.budgets();
        let room = Share::of(&budgets.received);
        let machine = Machine::new(first, limits, room, count.uplink.clone());
        Arc::new(Self {
            machine: Mutex::new(machine),
            parts: queue(Lane::Bulk),
            control: queue(Lane::Small),
            flow: FlowControl::new(small_calls),
            chunk: endpoint.max_message().clamp(1, MAX_CHUNK),
            sending: Share::of(&budgets.sending),
            results: Share::of(&budgets.sending),
            shares: count.shares.clone(),
            opened: count.opened.clone(),
        })
    }

    /// Opens a session of this component of the node, if it is one of a component.
    pub(crate) fn open(
        self: &Arc<Self>,
        terms: Terms,
        component: Option<&ComponentId>,
    ) -> Result<Session, Refused> {
        self.add(component, |machine, now| machine.open(terms, now))
    }

    /// Accepts a session that the peer opens, for this component of the node, if it is for one. A
    /// session that was accepted before is refused as repeated.
    pub(crate) fn accept(
        self: &Arc<Self>,
        number: u64,
        terms: Terms,
        component: Option<&ComponentId>,
    ) -> Result<Session, Refused> {
        self.add(component, |machine, now| machine.accept(number, terms, now))
    }

    fn add(
        self: &Arc<Self>,
        component: Option<&ComponentId>,
        add: impl FnOnce(&mut Machine, Instant) -> Result<SessionKey, Refused>,
    ) -> Result<Session, Refused> {
        let place = component.map(|component| self.shares.take(component));
        let place = place.transpose()?;
        let key = self.act(add)?;
        self.opened.notify_one();
        Ok(Session::new(self.clone(), key, place))
    }

    /// Tells the peer that the session which it opens is not one of this end, unless it is.
    pub(crate) fn refuse(&self, number: u64) {
        self.act(|machine, _| machine.refuse(number));
    }

    /// Takes memory for a result that is sent, until the returned value is dropped. Results leave
    /// some of it for chunks of streams, which would wait until results are delivered.
    pub(crate) fn hold_result(&self, size: usize) -> Option<Held> {
        self.results.hold_leaving_a_quarter(size)
    }

    /// Works on the sessions, and does what follows from that.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let now = tokio::time::Instant::now();
        let limit = self.flow.limit(now);
        let mut machine = self.machine.lock();
        let result = act(&mut machine, now.into_std());
        let parts = self.send_parts(&mut machine, limit, now.into_std());
        let control = self.send_control(&mut machine);
        let wakers = machine.take_wakers();
        drop(machine);
        if let Some(control) = control {
            control.flush();
        }
        match parts {
            // A lone chunk leaves at once. Many are sealed by the queue's task, while this one does
            // other things.
            (1, Some(guard)) => guard.flush(),
            (_, guard) => drop(guard),
        }
        for waker in wakers {
            waker.wake();
        }
        result
    }

    fn send_parts(
        &self,
        machine: &mut Machine,
        limit: usize,
        now: Instant,
    ) -> (usize, Option<FlushGuard<'_>>) {
        let (mut count, mut guard) = (0, None);
        while let Some(item) = machine.next_part(limit, now) {
            let size = match &item.item {
                Item::Chunk { bytes, .. } => SessionItem::CHUNK_HEAD + bytes.len(),
                _ => SessionItem::LONGEST,
            };
            let encode = |_: &FrameId, buffer: &mut _| item.encode_into(buffer);
            let Ok((frame, due)) = self.parts.push(size, Some, encode) else {
                // The failure detector looks again, if the peer isn't gone.
                machine.put_back(&item);
                break;
            };
            machine.sent_in(&item, frame.number());
            count += 1;
            guard = guard.or(due);
        }
        (count, guard)
    }

    fn send_control(&self, machine: &mut Machine) -> Option<FlushGuard<'_>> {
        let mut guard = None;
        while let Some(item) = machine.next_control() {
            let encode = |(): &(), buffer: &mut _| item.encode_into(buffer);
            // One that has no room is repeated later.
            if let Ok(((), due)) = self
                .control
                .push(SessionItem::LONGEST, |_| Some(()), encode)
            {
                guard = guard.or(due);
            }
        }
        guard
    }

    /// Takes the items of a frame, and passes what is wrong with them to `refuse`.
    pub(super) fn take(&self, envelopes: Envelopes, refuse: impl Fn(&str)) {
        let items = envelopes.filter_map(|envelope| match SessionItem::decode(envelope) {
            Ok(item) => Some(item),
            Err(error) => {
                refuse(&error.to_string());
                None
            }
        });
        let now = tokio::time::Instant::now().into_std();
        let mut machine = self.machine.lock();
        for item in items {
            if machine.take(item, now).is_err() {
                refuse("an item that breaks the rules of its session");
            }
        }
    }

    /// Tells the peer, and the users of sessions, what follows from the items taken.
    pub(super) fn tell(&self) {
        self.act(Machine::tell);
    }

    fn tick(&self) -> Ticked {
        let taken = self.parts.taken();
        let (is_again, since) = self.act(|machine, now| {
            machine.set_taken(taken);
            machine.tick(now);
            (!machine.is_empty(), machine.busy_since())
        });
        Ticked {
            is_again,
            busy_since: since.map(tokio::time::Instant::from_std),
        }
    }

    fn fail_all(&self, broken: Broken, then: Then) {
        for queue in [&self.parts, &self.control] {
            queue.withdraw(then);
        }
        self.act(|machine, _| machine.fail_all(broken, then == Then::Close));
    }

    fn is_unused(&self) -> bool {
        self.machine.lock().is_empty() && self.parts.is_idle() && self.control.is_idle()
    }
}

/// The sessions with a peer, from the first one on.
#[derive(Debug)]
pub(in super::super) struct LazySessions {
    endpoint: Arc<Endpoint>,
    small_calls: SmallCallCount,
    count: SessionCount,
    /// `None` if the connection was closed before.
    started: OnceLock<Option<Arc<PeerSessions>>>,
}

impl LazySessions {
    pub(in super::super) fn new(
        endpoint: Arc<Endpoint>,
        small_calls: SmallCallCount,
        count: SessionCount,
    ) -> Self {
        Self {
            endpoint,
            small_calls,
            count,
            started: OnceLock::new(),
        }
    }

    /// The sessions; none any more if the connection is closed.
    pub(in super::super) fn of(&self, peer: &Origin) -> Result<&Arc<PeerSessions>, Broken> {
        let start = || {
            let small_calls = self.small_calls.clone();
            let sessions = PeerSessions::start(&self.endpoint, peer, small_calls, &self.count);
            Some(sessions)
        };
        let started = self.started.get_or_init(start).as_ref();
        started.ok_or(Broken::PeerLost)
    }

    fn started(&self) -> Option<&Arc<PeerSessions>> {
        self.started.get()?.as_ref()
    }

    /// Looks at the time.
    pub(in super::super) fn tick(&self) -> Ticked {
        let started = self.started();
        started.map_or_else(Ticked::default, |sessions| sessions.tick())
    }

    /// Breaks all sessions.
    pub(in super::super) fn fail_all(&self, broken: Broken, then: Then) {
        if then == Then::Close {
            self.started.get_or_init(|| None);
        }
        if let Some(sessions) = self.started() {
            sessions.fail_all(broken, then);
        }
    }

    /// Whether there are none.
    pub(in super::super) fn are_unused(&self) -> bool {
        self.started().is_none_or(|sessions| sessions.is_unused())
    }
}
