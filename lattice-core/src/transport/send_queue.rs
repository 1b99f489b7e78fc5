//! The queue of envelopes to one destination. They are encoded directly into an open frame.
//!
//! States of a frame: *open* (takes envelopes) → *full* (another envelope would not fit) → *handed
//! over* (given to the bus; from here on its calls may have run).
//!
//! Pushing the first envelope returns a [`FlushGuard`]: its holder either flushes on the spot, so
//! that a lone call costs no wake-up, or leaves the flush to the queue's own task, which first
//! coalesces concurrent envelopes into the same frame.

use super::{
    endpoint::Endpoint,
    id::{FrameId, PeerToken, ReplyAddress},
};
use crate::{
    bus::BusError,
    subject::Subject,
    wire::{FrameWriter, Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Most bytes that may be queued for one destination. A dead destination is detected long before.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// How often the queue's task yields to concurrent callers before it sends a frame that is less
/// than half full.
const YIELDS: u32 = 3;

/// Where a queue sends, and as what.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) to: Destination,
    /// The receiver, for the frame's head.
    pub(crate) peer: Origin,
    pub(crate) kind: Kind,
    pub(crate) lane: Lane,
}

/// The subjects that frames carry.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// An inbox. Each frame has its own reply subject, on which the bus reports that no one
    /// received it.
    Inbox {
        subject: Subject,
        /// The peer in the reply subjects, to which each frame adds its number.
        replies: PeerToken,
    },
    /// A reply subject. The bus reports nothing about frames to it.
    Replies(Subject),
}

/// Why nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// Too much is queued already.
    Full,
    /// The queue was closed: its destination is gone.
    Closed,
}

/// Obliges its holder to have the queue flushed: at once, or by the queue's task when it is
/// dropped.
#[derive(Debug)]
#[must_use = "dropping it leaves the flush to the queue's task"]
pub(crate) struct FlushGuard<'q>(&'q SendQueue);

impl<'q> FlushGuard<'q> {
    /// Sends the queued frames. Never waits: frames that the bus doesn't take at once are left to
    /// the queue's task.
    pub(crate) fn flush(self) {
        self.disarm().flush();
    }

    /// Gives up the obligation in favour of the caller, who has to [flush](SendQueue::flush) or
    /// [wake](SendQueue::wake).
    pub(super) fn disarm(self) -> &'q SendQueue {
        let queue = self.0;
        std::mem::forget(self);
        queue
    }
}

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Queues made so far by this process. A later one to the same destination numbers its frames
/// higher, or the destination would take them for replayed ones.
static QUEUES: AtomicU64 = AtomicU64::new(0);

/// Returns the first number of a queue: above those of every earlier queue, and not to be guessed
/// by others on the bus.
fn first_number() -> u64 {
    let queue = QUEUES.fetch_add(1, Ordering::Relaxed) + 1;
    let secret = crate::entropy::number().map_or(queue as u32, |number| number as u32) >> 2;
    queue << 32 | u64::from(secret)
}

/// A queue of envelopes for one destination, and the task that sends them.
#[derive(Debug)]
pub(crate) struct SendQueue {
    queue: Arc<Queue>,
    _writer: AbortOnDropHandle<()>,
}

impl SendQueue {
    /// Starts a queue. `on_lost` is called for every frame that the bus did not take.
    pub(crate) fn start(
        endpoint: Arc<Endpoint>,
        address: Address,
        on_lost: impl Fn(FrameId, BusError) + Send + Sync + 'static,
    ) -> Self {
        let first = first_number();
        let queue = Arc::new(Queue {
            endpoint,
            address,
            on_lost: OnLost(Box::new(on_lost)),
            frames: Mutex::new(Frames {
                newest: first,
                handed_over: first,
                published: first,
                ..Frames::default()
            }),
            wake: Notify::new(),
            sent: Notify::new(),
        });
        let task = tokio::spawn(Queue::write(queue.clone()));
        Self {
            queue,
            _writer: AbortOnDropHandle::new(task),
        }
    }

    /// Queues one envelope of about `size` bytes. `admit` is called first, with the envelope's
    /// frame, before that frame can leave: if it returns `None`, nothing is queued.
    ///
    /// Returns a guard, unless a flush of the queue is due already.
    pub(crate) fn push<T>(
        &self,
        size: usize,
        admit: impl FnOnce(FrameId) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<(T, Option<FlushGuard<'_>>), NotQueued> {
        let (ticket, is_first) = self.queue.push(size, admit, encode)?;
        Ok((ticket, is_first.then(|| FlushGuard(self))))
    }

    /// Leaves the queued frames to the queue's task, with those that are added until the task runs.
    pub(super) fn wake(&self) {
        self.queue.wake.notify_one();
    }

    /// Sends the queued frames, as far as the bus takes them at once.
    pub(super) fn flush(&self) {
        self.queue.flush();
    }

    /// Drops what has not been given to the bus, and returns the number of the newest frame that
    /// has.
    pub(crate) fn withdraw(&self, then: Then) -> u64 {
        let mut frames = self.queue.lock();
        frames.open = None;
        frames.full.clear();
        frames.refused = None;
        frames.waiting = 0;
        frames.closed |= then == Then::Close;
        // For tasks that wait for an empty queue, frames that were opened and dropped count as
        // sent.
        frames.published = frames.newest;
        let handed_over = frames.handed_over;
        drop(frames);
        self.queue.sent.notify_waiters();
        handed_over
    }

    /// Waits until every frame opened so far was given to the bus.
    pub(crate) async fn sent(&self) {
        let newest = self.queue.lock().newest;
        loop {
            let mut sent = std::pin::pin!(self.queue.sent.notified());
            // From here on it is notified of every frame.
            sent.as_mut().enable();
            if self.queue.lock().published >= newest {
                return;
            }
            sent.await;
        }
    }

    /// Whether nothing is queued.
    pub(crate) fn is_idle(&self) -> bool {
        let frames = self.queue.lock();
        frames.open.is_none() && frames.full.is_empty() && frames.refused.is_none()
    }
}

/// The state of a queue after its frames were withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It takes further envelopes.
    GoOn,
    /// It takes no further envelopes.
    Close,
}

#[derive(Debug)]
struct Queue {
    endpoint: Arc<Endpoint>,
    address: Address,
    on_lost: OnLost,
    frames: Mutex<Frames>,
    /// There is something to send.
    wake: Notify,
    /// A frame was given to the bus, or dropped.
    sent: Notify,
}

/// The frames that are not sent yet, and the numbers that the queue has reached.
#[derive(Debug, Default)]
struct Frames {
    open: Option<Open>,
    full: VecDeque<Open>,
    /// Sealed, but the bus did not take it at once: goes first.
    refused: Option<Sealed>,
    /// Number of the newest frame opened.
    newest: u64,
    /// Number of the newest frame on its way to the bus: from here on its calls may have run.
    handed_over: u64,
    /// Number of the newest frame that the bus has taken or refused.
    published: u64,
    closed: bool,
    /// Bytes of open and full frames.
    waiting: usize,
    /// A guard is held, or the task is about to flush.
    flushing: bool,
    /// The length of the last frame. The next one will be about as long.
    usual: usize,
}

#[derive(Debug)]
struct Open {
    number: u64,
    writer: FrameWriter,
}

/// A frame as the bus gets it. Cheap to clone.
#[derive(Debug, Clone)]
struct Sealed {
    number: u64,
    to: Subject,
    reply: Option<Subject>,
    bytes: Bytes,
}

/// Called for lost frames.
struct OnLost(Box<dyn Fn(FrameId, BusError) + Send + Sync>);

impl fmt::Debug for OnLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLost")
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame_id(&self, number: u64) -> FrameId {
        FrameId::new(self.address.lane, number)
    }

    /// Returns whether the caller has to have the queue flushed.
    fn push<T>(
        &self,
        size: usize,
        admit: impl FnOnce(FrameId) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<(T, bool), NotQueued> {
        let mut frames = self.lock();
        if frames.closed {
            return Err(NotQueued::Closed);
        }
        if frames.waiting > 0 && frames.waiting + size > MAX_WAITING {
            return Err(NotQueued::Full);
        }
        if let Some(full) = frames
            .open
            .take_if(|open| open.writer.len() + size > MAX_COALESCED)
        {
            frames.full.push_back(full);
        }
        let number = frames
            .open
            .as_ref()
            .map_or(frames.newest + 1, |open| open.number);
        let ticket = admit(self.frame_id(number)).ok_or(NotQueued::Full)?;
        let mut open = match frames.open.take() {
            Some(open) => open,
            None => self.open(&mut frames, size),
        };
        let before = open.writer.len();
        let pushed = open.writer.push(|buffer| encode(&ticket, buffer));
        frames.waiting += open.writer.len().saturating_sub(before);
        frames.open = Some(open);
        pushed.map_err(|_| NotQueued::Full)?;
        let is_first = !std::mem::replace(&mut frames.flushing, true);
        Ok((ticket, is_first))
    }

    fn open(&self, frames: &mut Frames, size: usize) -> Open {
        frames.newest += 1;
        let Address {
            peer, kind, lane, ..
        } = &self.address;
        let (from, peer) = (self.endpoint.origin().clone(), Some(peer.clone()));
        let room = size.max(frames.usual);
        Open {
            number: frames.newest,
            writer: FrameWriter::with_room(from, peer, *kind, *lane, room),
        }
    }

    /// Returns the next frame; from here on its calls may have run. If there is none, the queue is
    /// flushed.
    fn next(&self) -> Option<Sealed> {
        let mut frames = self.lock();
        if let Some(refused) = frames.refused.take() {
            return Some(refused);
        }
        let Some(open) = frames.full.pop_front().or_else(|| frames.open.take()) else {
            frames.flushing = false;
            return None;
        };
        frames.handed_over = open.number;
        frames.usual = open.writer.len();
        if frames.open.is_none() && frames.full.is_empty() {
            frames.waiting = 0;
        } else {
            frames.waiting = frames.waiting.saturating_sub(open.writer.len());
        }
        drop(frames);
        Some(self.seal(open))
    }

    fn seal(&self, Open { number, writer }: Open) -> Sealed {
        let (to, reply) = match &self.address.to {
            Destination::Inbox { subject, replies } => {
                let frame = self.frame_id(number).as_number();
                let reply = ReplyAddress::Peer(*replies, frame);
                let (subjects, me) = (self.endpoint.subjects(), self.endpoint.origin());
                (subject.clone(), Some(reply.subject(subjects, me)))
            }
            Destination::Replies(subject) => (subject.clone(), None),
        };
        Sealed {
            number,
            to,
            reply,
            bytes: self.endpoint.seal_numbered(writer, number),
        }
    }

    fn flush(&self) {
        while let Some(frame) = self.next() {
            let Sealed {
                number,
                to,
                reply,
                bytes,
            } = frame.clone();
            if let Some(result) = self.endpoint.bus().publish(to, reply, bytes).now_or_never() {
                self.published(number, result);
                continue;
            }
            // If it was sent after all, its receiver drops the second one, since both have the same
            // number.
            self.lock().refused = Some(frame);
            return self.wake.notify_one();
        }
    }

    async fn write(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            self.coalesce().await;
            while let Some(frame) = self.next() {
                let bus = self.endpoint.bus();
                let sent = bus.publish(frame.to, frame.reply, frame.bytes);
                self.published(frame.number, sent.await);
            }
        }
    }

    /// Yields a few times, as long as each yield adds envelopes, so that concurrent callers share a
    /// frame. A third of the throughput comes from the first yield; the others save a fifth of the
    /// CPU time under high concurrency.
    async fn coalesce(&self) {
        let mut before = 0;
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
            let waiting = self.lock().waiting;
            if waiting == before || waiting >= MAX_COALESCED / 2 {
                return;
            }
            before = waiting;
        }
    }

    fn published(&self, number: u64, result: Result<(), BusError>) {
        if let Err(error) = result {
            (self.on_lost.0)(self.frame_id(number), error);
        }
        let mut frames = self.lock();
        frames.published = number.max(frames.published);
        drop(frames);
        self.sent.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        bus::{Bus as _, Subscription, memory::MemoryNetwork},
        name::{HostId, LatticeName},
        subject::Subjects,
        transport::Medium,
        wire::Frame,
    };
    use bytes::BufMut as _;
    use futures_util::StreamExt as _;

    /// A queue to one subject, and what arrives there.
    async fn queue() -> (SendQueue, Subscription) {
        let host = |id| Origin::new(HostId::new(id).expect("a host"), 1);
        let bus = Arc::new(MemoryNetwork::new().connect());
        let subject = Subject::from_wire("to");
        let arriving = bus.subscribe(subject.clone(), 8).await.expect("subscribed");
        let medium = Medium {
            bus,
            subjects: Subjects::new(&LatticeName::new("dev").expect("a name")),
            auth: Auth::trusting(),
        };
        let endpoint = Endpoint::new(medium, host("a"), |_, _| true);
        let address = Address {
            to: Destination::Replies(subject),
            peer: host("b"),
            kind: Kind::Reply,
            lane: Lane::Small,
        };
        let queue = SendQueue::start(Arc::new(endpoint), address, |_, _| {
            panic!("nothing is lost")
        });
        (queue, arriving)
    }

    fn push(queue: &SendQueue) -> Option<FlushGuard<'_>> {
        let encode = |(): &(), buffer: &mut BytesMut| buffer.put_u64_le(7);
        queue.push(8, |_| Some(()), encode).expect("room").1
    }

    fn envelopes(arriving: &mut Subscription) -> Option<usize> {
        let message = arriving.next().now_or_never()??;
        let crate::bus::Body::Payload(bytes) = message.body else {
            return None;
        };
        let frame = Frame::open(&Auth::trusting(), bytes).expect("a frame");
        Some(frame.envelopes().count())
    }

    #[tokio::test]
    async fn the_first_push_returns_the_guard_that_flushes_all_of_them() {
        let (queue, mut arriving) = queue().await;
        let guard = push(&queue).expect("it has to flush");
        assert!(push(&queue).is_none(), "the first push flushes");
        assert_eq!(envelopes(&mut arriving), None);
        guard.flush();
        assert_eq!(envelopes(&mut arriving), Some(2));
        assert!(queue.is_idle());
        assert!(push(&queue).is_some(), "it is flushed");
    }

    #[tokio::test]
    async fn a_dropped_guard_leaves_the_flush_to_the_task() {
        let (queue, mut arriving) = queue().await;
        drop(push(&queue));
        assert_eq!(envelopes(&mut arriving), None);
        queue.sent().await;
        assert_eq!(envelopes(&mut arriving), Some(1));
    }

    #[tokio::test]
    async fn withdrawn_frames_are_never_sent_and_a_closed_queue_accepts_nothing() {
        let (queue, mut arriving) = queue().await;
        let guard = push(&queue);
        let newest = queue.withdraw(Then::Close);
        guard.expect("it has to flush").flush();
        queue.sent().await;
        assert_eq!(envelopes(&mut arriving), None);
        assert_eq!(queue.queue.lock().handed_over, newest);
        let pushed = queue.push(8, |_| Some(()), |(): &(), _| {});
        assert!(matches!(pushed, Err(NotQueued::Closed)));
    }
}
