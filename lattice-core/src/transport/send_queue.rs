//! What waits for one destination: envelopes are encoded straight into an open frame.
//!
//! States of a frame: *open* (takes envelopes) → *full* (another envelope would not fit) → *handed over* (given to the bus;
//! from here on its calls may have run).
//!
//! Whoever queues the first envelope has it drained: on the spot when nothing else is under way, so that a lone call costs no
//! wake-up; else by the outbox's own task, which lets everyone who is about to call get into the same frame.

use crate::node::frame_of;
use crate::{
    auth::Auth,
    bus::{Bus, BusError},
    subject::{Subject, Subjects},
    wire::{FrameWriter, Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Most bytes that may wait for one destination; a slow one is told apart from a dead one long before.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// Turns of everyone else that a frame which is not yet half full waits for.
const TURNS: u32 = 3;

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

/// Whether the one who queued an envelope has to see to it that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Duty {
    /// Somebody is at it.
    None,
    /// [`Outbox::drain`] it, or [`Outbox::wake`] its task.
    Drain,
}

/// Outboxes made so far by this process. A later one to the same destination numbers its frames higher, or the
/// destination would take them for replayed ones.
static OUTBOXES: AtomicU64 = AtomicU64::new(0);

/// Where an outbox starts to count: above every earlier one, and at a place that nobody on the bus can guess.
fn first_number() -> u64 {
    let outbox = OUTBOXES.fetch_add(1, Ordering::Relaxed) + 1;
    let secret = crate::entropy::number().map_or(outbox as u32, |number| number as u32) >> 2;
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
        lost: impl Fn(u64, BusError) + Send + Sync + 'static,
    ) -> Self {
        let first = first_number();
        let queue = Arc::new(Queue {
            address,
            bus,
            auth,
            lost: Lost(Box::new(lost)),
            state: Mutex::new(State {
                newest: first,
                handed: first,
                published: first,
                ..State::default()
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

    /// Queues one envelope of about `size` bytes. `admit` is asked first, with the number of the envelope's frame, and before
    /// that can leave: without its ticket nothing is queued.
    pub(crate) fn push<T>(
        &self,
        size: usize,
        admit: impl FnOnce(u64) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<(T, Duty), NotQueued> {
        self.queue.push(size, admit, encode)
    }

    /// Has the task send what waits, together with what comes until it gets its turn.
    pub(crate) fn wake(&self) {
        self.queue.wake.notify_one();
    }

    /// Sends what waits now. Never waits itself: what the bus doesn't take at once is left to the task.
    pub(crate) fn drain(&self) {
        self.queue.drain_now();
    }

    /// Drops what has not been given to the bus, and answers the number of the newest frame that has.
    pub(crate) fn withdraw(&self, then: Then) -> u64 {
        let mut state = self.queue.lock();
        state.open = None;
        state.full.clear();
        state.refused = None;
        state.waiting = 0;
        state.closed |= then == Then::Close;
        // What was opened and dropped is as good as sent for those who wait for an empty outbox.
        state.published = state.newest;
        let handed = state.handed;
        drop(state);
        self.queue.sent.notify_waiters();
        handed
    }

    /// Waits until every frame opened so far was given to the bus.
    pub(crate) async fn sent(&self) {
        let newest = self.queue.lock().newest;
        loop {
            let mut sent = std::pin::pin!(self.queue.sent.notified());
            // From here on it hears of every frame.
            sent.as_mut().enable();
            if self.queue.lock().published >= newest {
                return;
            }
            sent.await;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.queue.lock();
        state.open.is_none() && state.full.is_empty() && state.refused.is_none()
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
    bus: Arc<dyn Bus>,
    auth: Auth,
    lost: Lost,
    state: Mutex<State>,
    /// There is something to send.
    wake: Notify,
    /// A frame was given to the bus, or dropped.
    sent: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    full: VecDeque<Open>,
    /// Sealed, but the bus did not take it at once: goes first.
    refused: Option<Sealed>,
    /// Number of the newest frame opened.
    newest: u64,
    /// Number of the newest frame on its way to the bus: from here on its calls may have run.
    handed: u64,
    /// Number of the newest frame that the bus has taken or refused.
    published: u64,
    closed: bool,
    waiting: usize,
    /// Somebody has the duty to drain.
    draining: bool,
    /// How long the last frame was: the next one will be about as long.
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

/// Who hears of lost frames.
struct Lost(Box<dyn Fn(u64, BusError) + Send + Sync>);

impl std::fmt::Debug for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lost")
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push<T>(
        &self,
        size: usize,
        admit: impl FnOnce(u64) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<(T, Duty), NotQueued> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotQueued::Closed);
        }
        if state.waiting > 0 && state.waiting + size > MAX_WAITING {
            return Err(NotQueued::Full);
        }
        if let Some(full) = state
            .open
            .take_if(|open| open.writer.len() + size > MAX_COALESCED)
        {
            state.full.push_back(full);
        }
        let number = state
            .open
            .as_ref()
            .map_or(state.newest + 1, |open| open.number);
        let ticket = admit(number).ok_or(NotQueued::Full)?;
        let mut open = match state.open.take() {
            Some(open) => open,
            None => self.open(&mut state, size),
        };
        let before = open.writer.len();
        let pushed = open.writer.push(|buffer| encode(&ticket, buffer));
        state.waiting += open.writer.len().saturating_sub(before);
        state.open = Some(open);
        pushed.map_err(|_| NotQueued::Full)?;
        let duty = if std::mem::replace(&mut state.draining, true) {
            Duty::None
        } else {
            Duty::Drain
        };
        Ok((ticket, duty))
    }

    fn open(&self, state: &mut State, size: usize) -> Open {
        state.newest += 1;
        let Address {
            from,
            peer,
            kind,
            lane,
            ..
        } = &self.address;
        let room = size.max(state.usual);
        Open {
            number: state.newest,
            writer: FrameWriter::with_room(from.clone(), Some(peer.clone()), *kind, *lane, room),
        }
    }

    /// The next frame; from here on its calls may have run. When there is none, the duty to drain is over.
    fn next(&self) -> Option<Sealed> {
        let mut state = self.lock();
        if let Some(refused) = state.refused.take() {
            return Some(refused);
        }
        let Some(open) = state.full.pop_front().or_else(|| state.open.take()) else {
            state.draining = false;
            return None;
        };
        state.handed = open.number;
        state.usual = open.writer.len();
        if state.open.is_none() && state.full.is_empty() {
            state.waiting = 0;
        } else {
            state.waiting = state.waiting.saturating_sub(open.writer.len());
        }
        drop(state);
        Some(self.seal(open))
    }

    fn seal(&self, Open { number, writer }: Open) -> Sealed {
        let (to, reply) = match &self.address.to {
            Destination::Inbox {
                subject,
                subjects,
                token,
            } => {
                let Origin { host, epoch } = &self.address.from;
                let frame = frame_of(self.address.lane, number);
                (
                    subject.clone(),
                    Some(subjects.reply(host, *epoch, *token, frame)),
                )
            }
            Destination::Replies(subject) => (subject.clone(), None),
        };
        Sealed {
            number,
            to,
            reply,
            bytes: writer.seal(&self.auth, number),
        }
    }

    fn drain_now(&self) {
        while let Some(frame) = self.next() {
            let Sealed {
                number,
                to,
                reply,
                bytes,
            } = frame.clone();
            if let Some(result) = self.bus.publish(to, reply, bytes).now_or_never() {
                self.published(number, result);
                continue;
            }
            // Should it have left after all, its receiver drops the second one: they have the same number.
            self.lock().refused = Some(frame);
            return self.wake.notify_one();
        }
    }

    async fn write(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            self.let_company_in().await;
            while let Some(frame) = self.next() {
                let sent = self.bus.publish(frame.to, frame.reply, frame.bytes);
                self.published(frame.number, sent.await);
            }
        }
    }

    /// Lets everyone who is about to call get into the same frame, for as long as each turn brings somebody: a third of the
    /// rate comes from the first turn, a fifth of the CPU time of a crowd is saved by the others.
    async fn let_company_in(&self) {
        let mut before = 0;
        for _ in 0..TURNS {
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
            (self.lost.0)(number, error);
        }
        let mut state = self.lock();
        state.published = number.max(state.published);
        drop(state);
        self.sent.notify_waiters();
    }
}
