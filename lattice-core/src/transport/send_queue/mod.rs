//! The queue of envelopes to one destination. They are encoded directly into an open frame.
//!
//! States of a frame: *open* (takes envelopes) → *full* (another envelope would not fit) → *handed
//! over* (given to the bus; from here on its calls may have run).
//!
//! Pushing the first envelope returns a [`FlushGuard`]: its holder either flushes on the spot, so
//! that a lone call costs no wake-up, or leaves the flush to the queue's own task, which first
//! coalesces concurrent envelopes into the same frame.

mod frames;

pub(super) use frames::Withdrawn;

use super::{
    endpoint::Endpoint,
    fate::Fate,
    id::{FrameId, PeerToken, ReplyAddress},
};
use crate::{
    budget::Budget,
    bus::BusError,
    subject::Subject,
    sync::Mutex,
    wire::{FrameWriter, Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::{Bytes, BytesMut};
use frames::{Frames, Next, Open, fate_of_refused};
use futures_util::FutureExt as _;
use std::{
    fmt,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

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
    /// A subject on which the bus reports nothing about the frames.
    Unreported(Subject),
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
    pub(super) fn start(
        endpoint: Arc<Endpoint>,
        address: Address,
        on_lost: impl Fn(Lost) + Send + Sync + 'static,
    ) -> Self {
        let queue = Arc::new(Queue {
            endpoint,
            address,
            on_lost: OnLost(Box::new(on_lost)),
            frames: Mutex::new(Frames::after(first_number())),
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

    /// Drops the frames that have not been given to the bus, and returns the fate of each frame so
    /// far.
    pub(super) fn withdraw(&self, then: Then) -> Withdrawn {
        let withdrawn = self.queue.lock().withdraw(then, self.queue.budget());
        self.queue.sent.notify_waiters();
        withdrawn
    }

    /// Waits until every frame opened so far was given to the bus.
    pub(crate) async fn sent(&self) {
        let newest = self.queue.lock().newest();
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

    /// The number of the newest frame that the bus has taken, or that was dropped.
    pub(crate) fn taken(&self) -> u64 {
        self.queue.lock().published
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().waiting()
    }

    /// Whether nothing is queued.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.lock().is_empty()
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

/// A frame as the bus gets it. Cheap to clone.
#[derive(Debug, Clone)]
struct Sealed {
    number: u64,
    to: Subject,
    reply: Option<Subject>,
    bytes: Bytes,
    /// Its bytes of the budget.
    reserved: usize,
    /// The bus was asked to take it before, and may have.
    was_tried: bool,
}

/// A frame that the bus did not take.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) frame: FrameId,
    pub(super) fate: Fate,
    pub(super) error: BusError,
}

/// Called for lost frames.
struct OnLost(Box<dyn Fn(Lost) + Send + Sync>);

impl fmt::Debug for OnLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLost")
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.lock().release_all(self.budget());
    }
}

impl Queue {
    fn budget(&self) -> &Budget {
        &self.endpoint.budgets().sending
    }

    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock()
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
        let most = self.endpoint.bus().max_payload();
        let mut frames = self.lock();
        let number = frames.number_for(size, most, self.budget())?;
        let Some(ticket) = admit(self.frame_id(number)) else {
            frames.release_spare(self.budget());
            return Err(NotQueued::Full);
        };
        let push = |writer: &mut FrameWriter| writer.push(|buffer| encode(&ticket, buffer)).is_ok();
        frames.append(size, |room| self.open(room), push)?;
        let is_first = !std::mem::replace(&mut frames.flushing, true);
        Ok((ticket, is_first))
    }

    fn open(&self, room: usize) -> FrameWriter {
        let Address {
            peer, kind, lane, ..
        } = &self.address;
        let (from, peer) = (self.endpoint.origin().clone(), Some(peer.clone()));
        FrameWriter::with_room(from, peer, *kind, *lane, room)
    }

    /// Returns the next frame; from here on its calls may have run. If there is none, the queue is
    /// flushed.
    fn next(&self) -> Option<Sealed> {
        let next = self.lock().next()?;
        Some(match next {
            Next::Again(sealed) => sealed,
            Next::New(open) => self.seal(open),
        })
    }

    fn seal(&self, open: Open) -> Sealed {
        let Open {
            number,
            writer,
            reserved,
        } = open;
        let (to, reply) = match &self.address.to {
            Destination::Inbox { subject, replies } => {
                let frame = self.frame_id(number).as_number();
                let reply = ReplyAddress::Peer(*replies, frame);
                let (subjects, me) = (self.endpoint.subjects(), self.endpoint.origin());
                (subject.clone(), Some(reply.subject(subjects, me)))
            }
            Destination::Unreported(subject) => (subject.clone(), None),
        };
        Sealed {
            number,
            to,
            reply,
            bytes: self.endpoint.seal_numbered(writer, number),
            reserved,
            was_tried: false,
        }
    }

    fn flush(&self) {
        while let Some(mut frame) = self.next() {
            let Sealed {
                to, reply, bytes, ..
            } = frame.clone();
            if let Some(result) = self.endpoint.bus().publish(to, reply, bytes).now_or_never() {
                self.published(&frame, result);
                continue;
            }
            // If it was sent after all, its receiver drops the second one, since both have the same
            // number.
            frame.was_tried = true;
            self.lock().keep(frame);
            return self.wake.notify_one();
        }
    }

    async fn write(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            self.coalesce().await;
            while let Some(frame) = self.next() {
                let Sealed {
                    to, reply, bytes, ..
                } = frame.clone();
                let sent = self.endpoint.bus().publish(to, reply, bytes).await;
                self.published(&frame, sent);
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
            let waiting = self.lock().waiting();
            if waiting == before || waiting >= MAX_COALESCED / 2 {
                return;
            }
            before = waiting;
        }
    }

    fn published(&self, sealed: &Sealed, result: Result<(), BusError>) {
        if let Err(error) = result {
            (self.on_lost.0)(Lost {
                frame: self.frame_id(sealed.number),
                fate: fate_of_refused(&error, sealed.was_tried),
                error,
            });
        }
        let mut frames = self.lock();
        frames.published = sealed.number.max(frames.published);
        frames.release(sealed.reserved, self.budget());
        drop(frames);
        self.sent.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
