//! What waits for one destination: envelopes are encoded straight into an open frame, a task of its own sends it.
//!
//! States of a frame: *open* (takes envelopes) → *full* (another envelope would not fit) → *handed over* (given to the bus;
//! from here on its calls may have run). While the writer is busy sending, what arrives coalesces.

use super::frame_of;
use crate::{
    auth::Auth,
    bus::{Bus, BusError},
    subject::{Subject, Subjects},
    wire::{FrameWriter, Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::BytesMut;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// Most bytes that may wait for one destination; a slow one is told apart from a dead one long before.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// Where an outbox sends, and as what.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// The subject that frames go to.
    pub(crate) to: Destination,
    /// Who sends.
    pub(crate) from: Origin,
    /// Who is to receive; in the frame's head.
    pub(crate) peer: Origin,
    pub(crate) kind: Kind,
    pub(crate) lane: Lane,
}

/// How an address becomes subjects.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Calls: one inbox, and a reply subject of its own per frame, where the bus reports nobody there.
    Inbox {
        subject: Subject,
        subjects: Subjects,
        token: u64,
    },
    /// Replies: one subject, nothing comes back.
    Replies(Subject),
}

/// Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// Too much waits already.
    Full,
    /// The outbox was closed: its destination is gone.
    Closed,
}

/// Outboxes made so far by this process. A later one to the same destination numbers its frames higher, or the
/// destination would take them for replayed ones.
static OUTBOXES: AtomicU64 = AtomicU64::new(0);

/// Where an outbox starts to count: above every earlier one, and at a place that nobody on the bus can guess.
fn first_number() -> u64 {
    let outbox = OUTBOXES.fetch_add(1, Ordering::Relaxed) + 1;
    let secret = getrandom::u32().unwrap_or(outbox as u32) >> 2;
    outbox << 32 | u64::from(secret)
}

/// A queue of envelopes for one destination and the task that sends them.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Arc<Queue>,
    _writer: AbortOnDropHandle<()>,
}

impl Outbox {
    /// `lost` hears of every frame that the bus did not take.
    pub(crate) fn start(
        address: Address,
        bus: Arc<dyn Bus>,
        auth: Auth,
        lost: impl Fn(u64, BusError) + Send + 'static,
    ) -> Self {
        let first = first_number();
        let queue = Arc::new(Queue {
            address,
            state: Mutex::new(State {
                newest: first,
                handed: first,
                ..State::default()
            }),
            wake: Notify::new(),
            published: watch::Sender::new(first),
        });
        let task = tokio::spawn(write(queue.clone(), bus, auth, lost));
        Self {
            queue,
            _writer: AbortOnDropHandle::new(task),
        }
    }

    /// Queues one envelope of about `size` bytes. `queued` hears the number of its frame before the frame can leave.
    pub(crate) fn push(
        &self,
        size: usize,
        encode: impl FnOnce(&mut BytesMut),
        queued: impl FnOnce(u64),
    ) -> Result<(), NotQueued> {
        self.queue.push(size, encode, queued)?;
        self.queue.wake.notify_one();
        Ok(())
    }

    /// Drops what has not been given to the bus, and answers the number of the newest frame that has.
    pub(crate) fn withdraw(&self, then: Then) -> u64 {
        let mut state = self.queue.lock();
        state.open = None;
        state.full.clear();
        state.waiting = 0;
        state.closed |= then == Then::Close;
        // What was opened and dropped is as good as sent for those who wait for an empty outbox.
        let (handed, newest) = (state.handed, state.newest);
        drop(state);
        self.queue
            .published
            .send_modify(|published| *published = newest.max(*published));
        handed
    }

    /// Waits until every frame opened so far was given to the bus.
    pub(crate) async fn sent(&self) {
        let newest = self.queue.lock().newest;
        let mut published = self.queue.published.subscribe();
        // The queue outlives the wait: this outbox holds it.
        let _ = published.wait_for(|published| *published >= newest).await;
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.queue.lock();
        state.open.is_none() && state.full.is_empty()
    }
}

/// What becomes of an outbox after its frames were withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It takes more.
    GoOn,
    /// It takes nothing more.
    Close,
}

#[derive(Debug)]
struct Queue {
    address: Address,
    state: Mutex<State>,
    wake: Notify,
    /// Number of the newest frame that the bus has taken or refused.
    published: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    full: VecDeque<Open>,
    /// Number of the newest frame opened.
    newest: u64,
    /// Number of the newest frame on its way to the bus: from here on its calls may have run.
    handed: u64,
    closed: bool,
    waiting: usize,
}

#[derive(Debug)]
struct Open {
    number: u64,
    writer: FrameWriter,
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        size: usize,
        encode: impl FnOnce(&mut BytesMut),
        queued: impl FnOnce(u64),
    ) -> Result<(), NotQueued> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotQueued::Closed);
        }
        if state.waiting > 0 && state.waiting + size > MAX_WAITING {
            return Err(NotQueued::Full);
        }
        let fits = |open: &Open| open.writer.len() + size <= MAX_COALESCED;
        if !state.open.as_ref().is_some_and(fits)
            && let Some(full) = state.open.take()
        {
            state.full.push_back(full);
        }
        let mut open = if let Some(open) = state.open.take() {
            open
        } else {
            state.newest += 1;
            let Address {
                from,
                peer,
                kind,
                lane,
                ..
            } = &self.address;
            let writer = FrameWriter::new(from.clone(), Some(peer.clone()), *kind, *lane);
            Open {
                number: state.newest,
                writer,
            }
        };
        let before = open.writer.len();
        let pushed = open.writer.push(encode);
        state.waiting += open.writer.len().saturating_sub(before);
        if pushed.is_ok() {
            queued(open.number);
        }
        state.open = Some(open);
        pushed.map_err(|_| NotQueued::Full)
    }

    /// The next frame; from here on its calls may have run.
    fn next(&self) -> Option<Open> {
        let mut state = self.lock();
        let open = match state.full.pop_front() {
            Some(open) => open,
            None => state.open.take()?,
        };
        state.handed = open.number;
        if state.open.is_none() && state.full.is_empty() {
            state.waiting = 0;
        } else {
            state.waiting = state.waiting.saturating_sub(open.writer.len());
        }
        Some(open)
    }
}

async fn write(
    queue: Arc<Queue>,
    bus: Arc<dyn Bus>,
    auth: Auth,
    lost: impl Fn(u64, BusError) + Send + 'static,
) {
    loop {
        queue.wake.notified().await;
        // Lets everyone who is about to call get into the same frame; without it a third of the rate is lost.
        tokio::task::yield_now().await;
        while let Some(Open { number, writer }) = queue.next() {
            let (to, reply) = match &queue.address.to {
                Destination::Inbox {
                    subject,
                    subjects,
                    token,
                } => {
                    let Origin { host, epoch } = &queue.address.from;
                    let frame = frame_of(queue.address.lane, number);
                    (
                        subject.clone(),
                        Some(subjects.reply(host, *epoch, *token, frame)),
                    )
                }
                Destination::Replies(subject) => (subject.clone(), None),
            };
            let frame = writer.seal(&auth, number);
            if let Err(error) = bus.publish(to, reply, frame).await {
                lost(number, error);
            }
            queue.published.send_replace(number);
        }
    }
}
