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
}

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
            drop(freed);
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

    /// Ends calls with the replies of `peer`, and adds the wakers of their callers to `callers`.
    /// Replies to calls that have ended, or that went to another peer, are ignored. The memory of
    /// their frame is `held` until the last of the callers has its result.
    pub(crate) fn complete(
        &self,
        peer: PeerToken,
        replies: &mut Vec<(u64, Outcome)>,
        held: Option<&Arc<Held>>,
        callers: &mut Vec<Waker>,
    ) {
        let mut table = self.lock();
        for (id, outcome) in replies.drain(..) {
            if let Some(slot) = table.slot(id)
                && matches!(&slot.state, SlotState::Waiting(waiting) if waiting.peer == peer)
            {
                callers.extend(slot.end(outcome, held.cloned()));
            }
        }
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
        let done = SlotState::Done {
            outcome,
            _held: held,
        };
        match std::mem::replace(&mut self.state, done) {
            SlotState::Waiting(waiting) => Some(waiting.caller),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Lane;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    const OK: Outcome = Ok(Reply::Whole(Bytes::from_static(b"x")));

    fn token(number: u64) -> PeerToken {
        PeerToken::from_number(number)
    }

    fn id(frame: u64) -> FrameId {
        FrameId::new(Lane::Small, frame)
    }

    fn waits(peer: u64, since: Instant, within: Duration) -> NewCall {
        NewCall {
            peer: token(peer),
            since,
            deadline: since + within,
            caller: Waker::noop().clone(),
        }
    }

    fn try_open(in_flight: &InFlight, peer: u64, frame: u64) -> Option<ResponseFuture<'_>> {
        let call = waits(peer, Instant::now(), Duration::from_secs(2));
        let mut answer = in_flight.open(call, id(frame))?;
        assert_eq!((&mut answer).now_or_never(), None, "it is pending");
        Some(answer)
    }

    fn open(in_flight: &InFlight, peer: u64, frame: u64) -> ResponseFuture<'_> {
        try_open(in_flight, peer, frame).expect("room")
    }

    fn complete(in_flight: &InFlight, id: u64, peer: u64, outcome: Outcome) {
        in_flight.complete(token(peer), &mut vec![(id, outcome)], None, &mut Vec::new());
    }

    #[test]
    fn a_reply_completes_only_its_own_call() {
        let in_flight = InFlight::new(8);
        let (mut a, mut b) = (open(&in_flight, 1, 1), open(&in_flight, 2, 1));
        complete(&in_flight, a.id, 2, OK);
        assert_eq!((&mut a).now_or_never(), None, "another peer can't reply");
        complete(&in_flight, a.id, 1, OK);
        complete(&in_flight, a.id, 1, Err(CallError::LinkTableBehind));
        assert_eq!(
            (&mut a).now_or_never(),
            Some(OK),
            "a second reply is ignored"
        );
        assert_eq!((&mut b).now_or_never(), None);
        drop((a, b));
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn a_dropped_caller_frees_its_slot_and_a_late_reply_is_ignored() {
        let in_flight = InFlight::new(1);
        let answer = open(&in_flight, 1, 1);
        assert!(try_open(&in_flight, 1, 2).is_none(), "bounded");
        let late = answer.id;
        drop(answer);
        let mut next = open(&in_flight, 1, 3);
        assert_ne!(next.id, late);
        complete(&in_flight, late, 1, OK);
        assert_eq!((&mut next).now_or_never(), None);
    }

    #[test]
    fn a_lost_peer_fails_its_calls_frame_by_frame() {
        let in_flight = InFlight::new(8);
        let (mut a, mut b) = (open(&in_flight, 1, 1), open(&in_flight, 1, 2));
        let _other = open(&in_flight, 2, 2);
        let count = in_flight.fail(Some(token(1)), |frame| {
            (frame == id(2)).then_some(CallError::LinkTableBehind)
        });
        assert_eq!(count, 1);
        assert_eq!((&mut a).now_or_never(), None);
        let ended = (&mut b).now_or_never();
        assert_eq!(ended, Some(Err(CallError::LinkTableBehind)));
    }

    #[test]
    fn a_reply_before_the_first_poll_wakes_the_caller() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let count = std::sync::Arc::new(Count(0.into()));
        let in_flight = InFlight::new(1);
        let mut call = waits(1, Instant::now(), Duration::from_secs(2));
        call.caller = count.clone().into();
        let mut answer = in_flight.open(call, id(1)).expect("room");
        let mut callers = Vec::new();
        in_flight.complete(token(1), &mut vec![(answer.id, OK)], None, &mut callers);
        callers.into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert_eq!((&mut answer).now_or_never(), None);
        assert_eq!((&mut answer).now_or_never(), Some(OK));
    }

    #[test]
    fn a_sweep_ends_late_calls_and_returns_the_oldest_pending_call_of_each_peer() {
        let in_flight = InFlight::new(8);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let open = |since, within| {
            in_flight
                .open(waits(1, since, within), id(1))
                .expect("room")
        };
        let mut late = open(start, second);
        assert!(late.is_due_early, "no sweep is planned");
        assert_eq!((&mut late).now_or_never(), None);
        let old = open(start, second * 3);
        assert!(!old.is_due_early, "a sweep comes before that");
        let _new = open(start + second, second * 9);
        let found = in_flight.sweep(start + second);
        let ended = (&mut late).now_or_never();
        assert_eq!(
            ended,
            Some(Err(CallError::DeadlineExceeded { ran: Ran::Maybe }))
        );
        assert_eq!(found.oldest, HashMap::from([(token(1), start)]));
        assert_eq!(found.next_deadline, Some(start + second * 3));
        assert!(!in_flight.sweep_again(None), "calls are pending");
        assert!(in_flight.sweep_again(found.next_deadline));
    }
}
