//! Calls that wait for their reply: a table of slots, so that a reply finds its caller without
//! hashing, and a reused slot never takes a late reply for its predecessor.
//!
//! States of a slot: *free* → *waiting* → *done* (its caller has yet to poll) → free. Nothing is
//! allocated per call, and no timer is set: one task [sweeps](InFlight::sweep) the table, no later
//! than the first deadline.

use super::id::{FrameId, PeerToken};
use crate::{
    budget::Held,
    call::{CallError, Ran},
    sync::Mutex,
    wire::Opening,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker},
};
use tokio::time::Instant;

/// How a call ends.
pub(crate) type CallResult = Result<Bytes, CallError>;

/// How a peer replies to a call.
pub(crate) type Outcome = Result<Reply, CallError>;

/// The reply to a call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The result.
    Whole(Bytes),
    /// The result, which has handles in it.
    Passed(Bytes),
    /// A session carries the result.
    InSession(Opening),
    /// A session carries the result, which has handles in it, and their streams.
    PassedInSession(Opening),
}

/// Calls in flight to other hosts, bounded.
#[derive(Debug)]
pub(crate) struct InFlight {
    table: Mutex<Table>,
    limit: usize,
    /// Results with handles, of callers that were dropped before they have taken them.
    unclaimed: Mutex<Vec<(PeerToken, Bytes)>>,
}

/// Most of such results that are kept. They are taken at once, so that there are hardly any.
const MOST_UNCLAIMED: usize = 1_024;

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// When the next sweep is due; `None` while the sweeper sleeps.
    sweep_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    state: SlotState,
}

#[derive(Debug, Default)]
enum SlotState {
    #[default]
    Free,
    Waiting(Waiting),
    Done {
        outcome: Outcome,
        /// The peer that has replied, or should have.
        peer: PeerToken,
        /// The memory of the frame that has the result.
        _held: Option<Arc<Held>>,
    },
}

#[derive(Debug)]
struct Waiting {
    /// The peer that has to reply.
    peer: PeerToken,
    /// The frame that carries the call.
    frame: FrameId,
    since: Instant,
    deadline: Instant,
    caller: Waker,
}

/// A call that is about to be sent.
#[derive(Debug, Clone)]
pub(crate) struct NewCall {
    /// The peer that has to reply.
    pub(crate) peer: PeerToken,
    pub(crate) since: Instant,
    /// When its caller stops waiting.
    pub(crate) deadline: Instant,
    /// The task that makes the call and awaits the response.
    pub(crate) caller: Waker,
}

/// The response to a call. Frees the slot when it is dropped.
#[derive(Debug)]
pub(crate) struct ResponseFuture<'p> {
    calls: &'p InFlight,
    pub(crate) id: u64,
    /// Whether the call's deadline is before the next sweep, so that the sweeper has to be woken.
    pub(crate) is_due_early: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The task that opened it will be woken, and has not polled it yet.
    New,
    Polled,
    /// It no longer has a slot.
    Freed,
}

impl Future for ResponseFuture<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.stage == Stage::New {
            // A reply that came since it was opened wakes the task once more.
            self.stage = Stage::Polled;
            return Poll::Pending;
        }
        let mut table = self.calls.lock();
        // Only this future frees the slot, so it is there.
        if let Some(slot) = table.slot(self.id)
            && let SlotState::Waiting(waiting) = &mut slot.state
        {
            waiting.caller.clone_from(cx.waker());
            return Poll::Pending;
        }
        let freed = table.free(self.id);
        drop(table);
        self.stage = Stage::Freed;
        Poll::Ready(match freed {
            Some(SlotState::Done { outcome, .. }) => outcome,
            _ => Err(CallError::Disconnected { ran: Ran::Maybe }),
        })
    }
}

impl Drop for ResponseFuture<'_> {
    fn drop(&mut self) {
        if self.stage != Stage::Freed {
            let freed = self.calls.lock().free(self.id);
            if let Some(SlotState::Done {
                outcome: Ok(Reply::Passed(result)),
                peer,
                ..
            }) = freed
            {
                self.calls.keep_unclaimed(peer, result);
            }
        }
    }
}

/// The result of a [sweep](InFlight::sweep).
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// For each peer, when its oldest call began to wait.
    pub(crate) oldest: HashMap<PeerToken, Instant>,
    /// The first deadline.
    pub(crate) next_deadline: Option<Instant>,
}

impl InFlight {
    /// A table for at most `limit` calls at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            table: Mutex::default(),
            limit,
            unclaimed: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Returns a slot for a call that `frame` carries, or `None` if there are too many calls in
    /// flight. The calling task has to await the response before anything else.
    pub(crate) fn open(&self, call: NewCall, frame: FrameId) -> Option<ResponseFuture<'_>> {
        let mut table = self.lock();
        let index = match table.free.pop() {
            Some(index) => index,
            None if table.slots.len() < self.limit => {
                table.slots.push(Slot::default());
                u32::try_from(table.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let NewCall {
            peer,
            since,
            deadline,
            caller,
        } = call;
        let slot = &mut table.slots[index as usize];
        slot.state = SlotState::Waiting(Waiting {
            peer,
            frame,
            since,
            deadline,
            caller,
        });
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        let is_due_early = table.sweep_at.is_none_or(|at| deadline < at);
        if is_due_early {
            table.sweep_at = Some(deadline);
        }
        Some(ResponseFuture {
            calls: self,
            id,
            is_due_early,
            stage: Stage::New,
        })
    }

    fn keep_unclaimed(&self, peer: PeerToken, result: Bytes) {
        let mut unclaimed = self.unclaimed.lock();
        if unclaimed.len() < MOST_UNCLAIMED {
            unclaimed.push((peer, result));
        }
    }

    /// Takes the results with handles whose callers were dropped before they have taken them.
    pub(crate) fn take_unclaimed(&self) -> Vec<(PeerToken, Bytes)> {
        std::mem::take(&mut *self.unclaimed.lock())
    }

    /// Ends calls with the replies of `peer`, and adds the wakers of their callers to `callers`.
    /// Replies to calls that have ended, or that went to another peer, are ignored; of them, the
    /// results with handles are returned. The memory of their frame is `held` until the last of the
    /// callers has its result.
    pub(crate) fn complete(
        &self,
        peer: PeerToken,
        replies: &mut Vec<(u64, Outcome)>,
        held: Option<&Arc<Held>>,
        callers: &mut Vec<Waker>,
    ) -> Vec<Bytes> {
        let mut unclaimed = Vec::new();
        let mut table = self.lock();
        for (id, outcome) in replies.drain(..) {
            if let Some(slot) = table.slot(id)
                && matches!(&slot.state, SlotState::Waiting(waiting) if waiting.peer == peer)
            {
                callers.extend(slot.end(outcome, held.cloned()));
            } else if let Ok(Reply::Passed(result)) = outcome {
                unclaimed.push(result);
            }
        }
        unclaimed
    }

    /// Ends the calls to `peer`, or to every peer, for whose frame `error` returns an error.
    /// Returns how many.
    pub(crate) fn fail(
        &self,
        peer: Option<PeerToken>,
        error: impl Fn(FrameId) -> Option<CallError>,
    ) -> usize {
        self.end_where(|waiting| {
            let meant = peer.is_none_or(|peer| waiting.peer == peer);
            meant.then(|| error(waiting.frame)).flatten()
        })
    }

    /// Whether the frame with this number carries calls to `peer` that are in flight.
    pub(crate) fn are_carried(&self, peer: PeerToken, frame: u64) -> bool {
        let carried = |slot: &Slot| {
            matches!(&slot.state, SlotState::Waiting(waiting)
                if waiting.peer == peer && waiting.frame.as_number() == frame)
        };
        self.lock().slots.iter().any(carried)
    }

    fn end_where(&self, mut error: impl FnMut(&Waiting) -> Option<CallError>) -> usize {
        let (mut count, mut callers) = (0, Vec::new());
        let mut table = self.lock();
        for slot in &mut table.slots {
            if let SlotState::Waiting(waiting) = &slot.state
                && let Some(error) = error(waiting)
            {
                count += 1;
                callers.extend(slot.end(Err(error), None));
            }
        }
        drop(table);
        for caller in callers {
            caller.wake();
        }
        count
    }

    /// Ends the calls whose deadline has passed, and returns what it found of the others.
    pub(crate) fn sweep(&self, now: Instant) -> Sweep {
        let mut found = Sweep::default();
        self.end_where(|waiting| {
            if waiting.deadline <= now {
                // It may have been sent, whatever the state of the send queue: a frame can leave at
                // this very moment.
                return Some(CallError::DeadlineExceeded { ran: Ran::Maybe });
            }
            let oldest = found.oldest.entry(waiting.peer).or_insert(waiting.since);
            *oldest = waiting.since.min(*oldest);
            let next = found.next_deadline.get_or_insert(waiting.deadline);
            *next = waiting.deadline.min(*next);
            None
        });
        found
    }

    /// Sets when the next sweep will be; with `None` there is none until the sweeper is woken.
    /// Returns false, and sets nothing, if a call came meanwhile whose deadline is before that.
    pub(crate) fn sweep_again(&self, at: Option<Instant>) -> bool {
        let mut table = self.lock();
        let waits = |slot: &Slot| match &slot.state {
            SlotState::Waiting(waiting) => at.is_none_or(|at| waiting.deadline < at),
            _ => false,
        };
        if table.slots.iter().any(waits) {
            return false;
        }
        table.sweep_at = at;
        true
    }

    /// How many calls are in flight.
    pub(crate) fn len(&self) -> usize {
        let table = self.lock();
        table.slots.len() - table.free.len()
    }
}

impl Table {
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut((id & u64::from(u32::MAX)) as usize)?;
        (u64::from(slot.generation) == id >> 32).then_some(slot)
    }

    fn free(&mut self, id: u64) -> Option<SlotState> {
        let slot = self.slot(id)?;
        let state = std::mem::take(&mut slot.state);
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push((id & u64::from(u32::MAX)) as u32);
        Some(state)
    }
}

impl Slot {
    /// Ends the call, and returns the waker of its caller.
    fn end(&mut self, outcome: Outcome, held: Option<Arc<Held>>) -> Option<Waker> {
        match std::mem::take(&mut self.state) {
            SlotState::Waiting(waiting) => {
                self.state = SlotState::Done {
                    outcome,
                    peer: waiting.peer,
                    _held: held,
                };
                Some(waiting.caller)
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
