//! Calls that wait for their reply: a table of slots, so that a reply finds its caller without hashing, and a reused slot
//! never takes a late reply for the one before it.
//!
//! States of a slot: *free* → *waiting* → *done* (its caller has yet to look) → free. Nothing is allocated per call, and no
//! timer is set: one task [sweeps](Pending::sweep) the table, when the first deadline passes at the latest.

use crate::call::{CallError, Ran};
use bytes::Bytes;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::time::Instant;

/// What a call ends with.
pub(crate) type Outcome = Result<Bytes, CallError>;

/// Calls in flight to other hosts, bounded.
#[derive(Debug)]
pub(crate) struct Pending {
    table: Mutex<Table>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// When the next sweep is due; `None` when nobody is about to sweep.
    sweep_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Waiting(Waiting),
    Done(Outcome),
}

#[derive(Debug)]
struct Waiting {
    /// Token of the peer that has to answer.
    peer: u64,
    /// The frame that carries it; unknown until it is queued.
    frame: Option<u64>,
    since: Instant,
    deadline: Instant,
    caller: Option<Waker>,
}

/// One call: when it began, and when its caller stops waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
}

/// A call's answer to come. Frees the slot when the caller goes away, whatever the reason.
#[derive(Debug)]
pub(crate) struct Answer<'p> {
    pending: &'p Pending,
    pub(crate) id: u64,
}

impl Future for Answer<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut table = self.pending.lock();
        // Only this future frees the slot, so it is there.
        let Some(slot) = table.slot(self.id) else {
            return Poll::Ready(Err(CallError::Disconnected { ran: Ran::Maybe }));
        };
        match &mut slot.state {
            State::Waiting(waiting) => {
                match &mut waiting.caller {
                    Some(caller) => caller.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            done => match std::mem::take(done) {
                State::Done(outcome) => Poll::Ready(outcome),
                _ => Poll::Ready(Err(CallError::Disconnected { ran: Ran::Maybe })),
            },
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let freed = self.pending.lock().free(self.id);
        drop(freed);
    }
}

/// What a [sweep](Pending::sweep) found.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Since when the longest waiting call to each peer waits.
    pub(crate) oldest: HashMap<u64, Instant>,
    /// When the first of the deadlines passes.
    pub(crate) next_deadline: Option<Instant>,
}

impl Pending {
    /// At most `limit` calls at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            table: Mutex::default(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a call to `peer`, and whether the sweeper has to be told of its deadline; `None` when there are too many
    /// calls in flight.
    pub(crate) fn open(&self, peer: u64, span: Span) -> Option<(Answer<'_>, bool)> {
        let mut table = self.lock();
        let index = match table.free.pop() {
            Some(index) => index,
            None if table.slots.len() < self.limit => {
                table.slots.push(Slot::default());
                u32::try_from(table.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let slot = &mut table.slots[index as usize];
        slot.state = State::Waiting(Waiting {
            peer,
            frame: None,
            since: span.since,
            deadline: span.deadline,
            caller: None,
        });
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        let too_late = table.sweep_at.is_none_or(|at| span.deadline < at);
        if too_late {
            table.sweep_at = Some(span.deadline);
        }
        Some((Answer { pending: self, id }, too_late))
    }

    /// Notes which frame carries the call.
    pub(crate) fn sent(&self, id: u64, frame: u64) {
        if let Some(slot) = self.lock().slot(id)
            && let State::Waiting(waiting) = &mut slot.state
        {
            waiting.frame = Some(frame);
        }
    }

    /// Replies of `peer` arrived; those that nobody waits for any more, or not from that peer, end nothing. Callers are woken
    /// together, after the last one.
    pub(crate) fn complete(&self, peer: u64, replies: impl Iterator<Item = (u64, Outcome)>) {
        let mut callers = Vec::with_capacity(replies.size_hint().0);
        let mut table = self.lock();
        for (id, outcome) in replies {
            if let Some(slot) = table.slot(id)
                && matches!(&slot.state, State::Waiting(waiting) if waiting.peer == peer)
            {
                callers.extend(slot.end(outcome));
            }
        }
        drop(table);
        for caller in callers {
            caller.wake();
        }
    }

    /// Ends calls to `peer`, or to anyone: each frame (`None`: not queued yet) with what `error` says for it, if anything.
    /// Answers how many.
    pub(crate) fn fail(
        &self,
        peer: Option<u64>,
        error: impl Fn(Option<u64>) -> Option<CallError>,
    ) -> usize {
        self.end_where(|waiting| {
            let meant = peer.is_none_or(|peer| waiting.peer == peer);
            meant.then(|| error(waiting.frame)).flatten()
        })
    }

    fn end_where(&self, mut error: impl FnMut(&Waiting) -> Option<CallError>) -> usize {
        let (mut count, mut callers) = (0, Vec::new());
        let mut table = self.lock();
        for slot in &mut table.slots {
            if let State::Waiting(waiting) = &slot.state
                && let Some(error) = error(waiting)
            {
                count += 1;
                callers.extend(slot.end(Err(error)));
            }
        }
        drop(table);
        for caller in callers {
            caller.wake();
        }
        count
    }

    /// Ends what is late, and looks who else waits.
    pub(crate) fn sweep(&self, now: Instant) -> Sweep {
        let mut found = Sweep::default();
        self.end_where(|waiting| {
            if waiting.deadline <= now {
                // It may be on its way, whatever the outbox says: a frame can leave in this very moment.
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

    /// Says when the next sweep will be; with `None` the sweeper goes to sleep. False when it must not, because a call came
    /// meanwhile whose deadline is before that.
    pub(crate) fn sweep_again(&self, at: Option<Instant>) -> bool {
        let mut table = self.lock();
        let waits = |slot: &Slot| match &slot.state {
            State::Waiting(waiting) => at.is_none_or(|at| waiting.deadline < at),
            _ => false,
        };
        if table.slots.iter().any(waits) {
            return false;
        }
        table.sweep_at = at;
        true
    }

    /// How many calls wait.
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

    fn free(&mut self, id: u64) -> Option<State> {
        let slot = self.slot(id)?;
        let state = std::mem::take(&mut slot.state);
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push((id & u64::from(u32::MAX)) as u32);
        Some(state)
    }
}

impl Slot {
    /// Ends the call, and answers who is to be woken.
    fn end(&mut self, outcome: Outcome) -> Option<Waker> {
        match std::mem::replace(&mut self.state, State::Done(outcome)) {
            State::Waiting(waiting) => waiting.caller,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    const OK: Outcome = Ok(Bytes::from_static(b"x"));

    fn span() -> Span {
        let since = Instant::now();
        Span {
            since,
            deadline: since + Duration::from_secs(2),
        }
    }

    fn open(pending: &Pending, peer: u64) -> Answer<'_> {
        pending.open(peer, span()).expect("room").0
    }

    fn complete(pending: &Pending, id: u64, peer: u64) {
        pending.complete(peer, std::iter::once((id, OK)));
    }

    #[test]
    fn a_reply_ends_its_own_call_only() {
        let pending = Pending::new(8);
        let (mut a, mut b) = (open(&pending, 1), open(&pending, 2));
        complete(&pending, a.id, 2);
        assert_eq!((&mut a).now_or_never(), None, "another peer can't answer");
        complete(&pending, a.id, 1);
        pending.complete(1, std::iter::once((a.id, Err(CallError::LinkTableBehind))));
        assert_eq!((&mut a).now_or_never(), Some(OK), "nor anyone twice");
        assert_eq!((&mut b).now_or_never(), None);
        drop((a, b));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_dropped_caller_frees_its_slot_and_a_late_reply_finds_nobody() {
        let pending = Pending::new(1);
        let answer = open(&pending, 1);
        assert!(pending.open(1, span()).is_none(), "bounded");
        let late = answer.id;
        drop(answer);
        let mut next = open(&pending, 1);
        assert_ne!(next.id, late);
        complete(&pending, late, 1);
        assert_eq!((&mut next).now_or_never(), None);
    }

    #[test]
    fn a_lost_peer_ends_its_calls_frame_by_frame() {
        let pending = Pending::new(8);
        let (mut a, mut b) = (open(&pending, 1), open(&pending, 1));
        let _other = open(&pending, 2);
        pending.sent(a.id, 1);
        pending.sent(b.id, 2);
        let count = pending.fail(Some(1), |frame| {
            (frame == Some(2)).then_some(CallError::LinkTableBehind)
        });
        assert_eq!(count, 1);
        assert_eq!((&mut a).now_or_never(), None);
        let ended = (&mut b).now_or_never();
        assert_eq!(ended, Some(Err(CallError::LinkTableBehind)));
    }

    #[test]
    fn a_sweep_ends_what_is_late_and_tells_who_waits_since_when() {
        let pending = Pending::new(8);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let from = |since, within| Span {
            since,
            deadline: since + within,
        };
        let (mut late, told) = pending.open(1, from(start, second)).expect("room");
        assert!(told, "nobody sweeps yet");
        let (_old, told) = pending.open(1, from(start, second * 3)).expect("room");
        assert!(!told, "a sweep comes before that");
        let (_new, _) = pending
            .open(1, from(start + second, second * 9))
            .expect("room");
        let found = pending.sweep(start + second);
        let ended = (&mut late).now_or_never();
        assert_eq!(
            ended,
            Some(Err(CallError::DeadlineExceeded { ran: Ran::Maybe }))
        );
        assert_eq!(found.oldest, HashMap::from([(1, start)]));
        assert_eq!(found.next_deadline, Some(start + second * 3));
        assert!(!pending.sweep_again(None), "calls wait");
        assert!(pending.sweep_again(found.next_deadline));
    }
}
