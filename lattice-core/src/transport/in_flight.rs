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
    /// The frame that carries it.
    frame: u64,
    since: Instant,
    deadline: Instant,
    caller: Waker,
}

/// A call that is about to wait.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// Token of the peer that has to answer.
    pub(crate) peer: u64,
    pub(crate) since: Instant,
    /// When its caller stops waiting.
    pub(crate) deadline: Instant,
    /// The task that makes the call, and awaits the answer.
    pub(crate) caller: Waker,
}

/// A call's answer to come. Frees the slot when the caller goes away, whatever the reason.
#[derive(Debug)]
pub(crate) struct Answer<'p> {
    pending: &'p Pending,
    pub(crate) id: u64,
    /// Whether the sweeper has to be told of the call's deadline.
    pub(crate) early: bool,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The task that opened it is to be woken, and has not awaited it yet.
    Opened,
    Awaited,
    /// The slot is not its any more.
    Freed,
}

impl Future for Answer<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.step == Step::Opened {
            // Whatever came since it was opened wakes its task once more.
            self.step = Step::Awaited;
            return Poll::Pending;
        }
        let mut table = self.pending.lock();
        // Only this future frees the slot, so it is there.
        if let Some(slot) = table.slot(self.id)
            && let State::Waiting(waiting) = &mut slot.state
        {
            waiting.caller.clone_from(cx.waker());
            return Poll::Pending;
        }
        let freed = table.free(self.id);
        drop(table);
        self.step = Step::Freed;
        Poll::Ready(match freed {
            Some(State::Done(outcome)) => outcome,
            _ => Err(CallError::Disconnected { ran: Ran::Maybe }),
        })
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if self.step != Step::Freed {
            let freed = self.pending.lock().free(self.id);
            drop(freed);
        }
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

    /// A slot for a call that `frame` carries; `None` when there are too many calls in flight. The task that waits has to
    /// await the answer before it does anything else.
    pub(crate) fn open(&self, call: Waits, frame: u64) -> Option<Answer<'_>> {
        let mut table = self.lock();
        let index = match table.free.pop() {
            Some(index) => index,
            None if table.slots.len() < self.limit => {
                table.slots.push(Slot::default());
                u32::try_from(table.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let Waits {
            peer,
            since,
            deadline,
            caller,
        } = call;
        let slot = &mut table.slots[index as usize];
        slot.state = State::Waiting(Waiting {
            peer,
            frame,
            since,
            deadline,
            caller,
        });
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        let early = table.sweep_at.is_none_or(|at| deadline < at);
        if early {
            table.sweep_at = Some(deadline);
        }
        Some(Answer {
            pending: self,
            id,
            early,
            step: Step::Opened,
        })
    }

    /// Replies of `peer` arrived; those that nobody waits for any more, or not from that peer, end nothing. Answers in
    /// `callers` who is to be woken.
    pub(crate) fn complete(
        &self,
        peer: u64,
        replies: &mut Vec<(u64, Outcome)>,
        callers: &mut Vec<Waker>,
    ) {
        let mut table = self.lock();
        for (id, outcome) in replies.drain(..) {
            if let Some(slot) = table.slot(id)
                && matches!(&slot.state, State::Waiting(waiting) if waiting.peer == peer)
            {
                callers.extend(slot.end(outcome));
            }
        }
    }

    /// Ends calls to `peer`, or to anyone: each frame with what `error` says for it, if anything. Answers how many.
    pub(crate) fn fail(
        &self,
        peer: Option<u64>,
        error: impl Fn(u64) -> Option<CallError>,
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
            State::Waiting(waiting) => Some(waiting.caller),
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

    fn waits(peer: u64, since: Instant, within: Duration) -> Waits {
        Waits {
            peer,
            since,
            deadline: since + within,
            caller: Waker::noop().clone(),
        }
    }

    fn try_open(pending: &Pending, peer: u64, frame: u64) -> Option<Answer<'_>> {
        let call = waits(peer, Instant::now(), Duration::from_secs(2));
        let mut answer = pending.open(call, frame)?;
        assert_eq!((&mut answer).now_or_never(), None, "it only waits");
        Some(answer)
    }

    fn open(pending: &Pending, peer: u64, frame: u64) -> Answer<'_> {
        try_open(pending, peer, frame).expect("room")
    }

    fn complete(pending: &Pending, id: u64, peer: u64, outcome: Outcome) {
        pending.complete(peer, &mut vec![(id, outcome)], &mut Vec::new());
    }

    #[test]
    fn a_reply_ends_its_own_call_only() {
        let pending = Pending::new(8);
        let (mut a, mut b) = (open(&pending, 1, 1), open(&pending, 2, 1));
        complete(&pending, a.id, 2, OK);
        assert_eq!((&mut a).now_or_never(), None, "another peer can't answer");
        complete(&pending, a.id, 1, OK);
        complete(&pending, a.id, 1, Err(CallError::LinkTableBehind));
        assert_eq!((&mut a).now_or_never(), Some(OK), "nor anyone twice");
        assert_eq!((&mut b).now_or_never(), None);
        drop((a, b));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_dropped_caller_frees_its_slot_and_a_late_reply_finds_nobody() {
        let pending = Pending::new(1);
        let answer = open(&pending, 1, 1);
        assert!(try_open(&pending, 1, 2).is_none(), "bounded");
        let late = answer.id;
        drop(answer);
        let mut next = open(&pending, 1, 3);
        assert_ne!(next.id, late);
        complete(&pending, late, 1, OK);
        assert_eq!((&mut next).now_or_never(), None);
    }

    #[test]
    fn a_lost_peer_ends_its_calls_frame_by_frame() {
        let pending = Pending::new(8);
        let (mut a, mut b) = (open(&pending, 1, 1), open(&pending, 1, 2));
        let _other = open(&pending, 2, 2);
        let count = pending.fail(Some(1), |frame| {
            (frame == 2).then_some(CallError::LinkTableBehind)
        });
        assert_eq!(count, 1);
        assert_eq!((&mut a).now_or_never(), None);
        let ended = (&mut b).now_or_never();
        assert_eq!(ended, Some(Err(CallError::LinkTableBehind)));
    }

    #[test]
    fn what_came_before_the_first_look_wakes_whoever_opened_it() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let count = std::sync::Arc::new(Count(0.into()));
        let pending = Pending::new(1);
        let mut call = waits(1, Instant::now(), Duration::from_secs(2));
        call.caller = count.clone().into();
        let mut answer = pending.open(call, 1).expect("room");
        let mut callers = Vec::new();
        pending.complete(1, &mut vec![(answer.id, OK)], &mut callers);
        callers.into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert_eq!((&mut answer).now_or_never(), None);
        assert_eq!((&mut answer).now_or_never(), Some(OK));
    }

    #[test]
    fn a_sweep_ends_what_is_late_and_tells_who_waits_since_when() {
        let pending = Pending::new(8);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let open = |since, within| pending.open(waits(1, since, within), 1).expect("room");
        let mut late = open(start, second);
        assert!(late.early, "nobody sweeps yet");
        assert_eq!((&mut late).now_or_never(), None);
        let old = open(start, second * 3);
        assert!(!old.early, "a sweep comes before that");
        let _new = open(start + second, second * 9);
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
