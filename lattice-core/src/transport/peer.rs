//! The connection to one boot of another host: a send queue per lane, one for cancellations, flow
//! control, the sessions with it, and whether the host is still there.

use super::{
    endpoint::Endpoint,
    failure_detector::Liveness,
    fate::Fate,
    flow_control::{FlowControl, Permit, SmallCallCount},
    id::{FrameId, PeerToken},
    lane::{ByLane, lane_of},
    send_queue::{Address, Destination, Lost, NotQueued, SendQueue, Then, Withdrawn},
    session::{Broken, LazySessions, PeerSessions, SessionCount},
};
use crate::{
    budget::Share,
    wire::{Cancel, Kind, Lane, Origin},
};
use bytes::BytesMut;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// The connection to one boot of another host.
#[derive(Debug)]
pub(crate) struct PeerConn {
    pub(crate) peer: Origin,
    pub(crate) token: PeerToken,
    queues: ByLane<SendQueue>,
    cancellations: SendQueue,
    flow: FlowControl,
    small_calls: SmallCallCount,
    calls: AtomicUsize,
    /// Whether anything was sent since the last cleanup.
    used: AtomicBool,
    pub(super) liveness: Liveness,
    /// The memory of results whose callers have not taken them yet.
    pub(crate) results: Share,
    pub(super) sessions: LazySessions,
}

/// A call's share of [`PeerConn::calls`].
pub(crate) struct CallCount<'p>(&'p PeerConn);

impl Drop for CallCount<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PeerConn {
    /// `on_lost` is called for every frame that the bus did not take.
    pub(super) fn open(
        endpoint: &Arc<Endpoint>,
        peer: Origin,
        small_calls: SmallCallCount,
        session_count: SessionCount,
        on_lost: impl Fn(PeerToken, Lost) + Clone + Send + Sync + 'static,
    ) -> Self {
        let token = PeerToken::of(&peer);
        let subject = endpoint.subjects().call(&peer.host, peer.epoch);
        let queues = ByLane::new(|lane| {
            let address = Address {
                to: Destination::Inbox {
                    subject: subject.clone(),
                    replies: token,
                },
                peer: peer.clone(),
                kind: Kind::Call,
                lane,
            };
            let on_lost = on_lost.clone();
            SendQueue::start(endpoint.clone(), address, move |lost| on_lost(token, lost))
        });
        let address = Address {
            to: Destination::Unreported(subject),
            peer: peer.clone(),
            kind: Kind::Cancel,
            lane: Lane::Small,
        };
        // The callee's deadline ends a call whose cancellation is lost.
        let cancellations = SendQueue::start(endpoint.clone(), address, |_| ());
        Self {
            peer,
            token,
            queues,
            cancellations,
            flow: FlowControl::new(small_calls.clone()),
            sessions: LazySessions::new(endpoint.clone(), small_calls.clone(), session_count),
            small_calls,
            calls: AtomicUsize::new(0),
            used: AtomicBool::new(true),
            liveness: Liveness::default(),
            results: Share::of(&endpoint.budgets().results),
        }
    }

    /// Waits until a bulk call of `size` bytes may be sent. The permit has to be kept until the
    /// call is over.
    pub(crate) async fn permit(&self, size: usize) -> Permit<'_> {
        self.flow.acquire(size).await
    }

    /// Queues a call of about `size` bytes, and has it sent. `admit` is called with the frame that
    /// carries it before the frame can be sent.
    pub(crate) fn send<T>(
        &self,
        size: usize,
        admit: impl FnOnce(FrameId) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<T, NotQueued> {
        if lane_of(size) == Lane::Small {
            self.small_calls.count();
        }
        self.send_uncounted(size, admit, encode)
    }

    /// Sends a call whose arguments are sent in a session. It isn't counted as a small call, during
    /// which sessions are slowed.
    pub(crate) fn send_uncounted<T>(
        &self,
        size: usize,
        admit: impl FnOnce(FrameId) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<T, NotQueued> {
        let lane = lane_of(size);
        self.used.store(true, Ordering::Relaxed);
        let (ticket, guard) = self.queues[lane].push(size, admit, encode)?;
        match guard {
            // There is no concurrent call to share the frame with.
            Some(guard) if self.calls() <= 1 => guard.flush(),
            guard => drop(guard),
        }
        Ok(ticket)
    }

    /// Bytes of calls that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.queues.iter().map(SendQueue::waiting).sum()
    }

    /// Sends the small calls that are queued, as far as the bus takes them at once.
    pub(crate) fn flush_small(&self) {
        self.queues[Lane::Small].flush();
    }

    /// Tells the peer that no one waits for the reply to this call any more. Cancellations share
    /// frames, which are sent by the queue's own task. One that overtakes its call has no effect.
    pub(crate) fn cancel(&self, id: u64) {
        let cancel = Cancel { id };
        let encode = |(): &(), buffer: &mut BytesMut| cancel.encode_into(buffer);
        // The guard leaves the flush to the task. If nothing can be queued, the peer is gone, or
        // the callee's deadline ends the call.
        drop(self.cancellations.push(Cancel::LEN, |_| Some(()), encode));
    }

    /// The sessions with the peer.
    pub(crate) fn sessions(&self) -> Result<&Arc<PeerSessions>, Broken> {
        self.sessions.of(&self.peer)
    }

    /// Drops frames that were not handed over, breaks all sessions because of `broken`, and returns
    /// the fate of each frame.
    pub(super) fn withdraw(&self, then: Then, broken: Broken) -> Fates {
        self.sessions.fail_all(broken, then);
        self.cancellations.withdraw(then);
        Fates(ByLane::new(|lane| self.queues[lane].withdraw(then)))
    }

    /// Whether nothing was sent since the last call of this function, and nothing is in flight.
    pub(super) fn is_unused(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
            && self.calls() == 0
            && self.queues.iter().all(SendQueue::is_idle)
            && self.cancellations.is_idle()
            && self.sessions.are_unused()
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn count_call(&self) -> CallCount<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        CallCount(self)
    }

    /// Whether it may be gone, so that calls better go elsewhere.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.liveness.is_doubted()
    }

    /// This node's calls to the peer that are in flight.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// The fates of the frames to a peer that was withdrawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates(ByLane<Withdrawn>);

impl Fates {
    /// The fate of a frame; `None` if it was opened since, on this connection or on a later one to
    /// the same peer.
    pub(super) fn of(self, frame: FrameId) -> Option<Fate> {
        self.0[frame.lane()].fate(frame.number())
    }
}
