//! Calls that wait for their reply: a table of slots, so that a reply finds its caller without hashing, and a reused slot
//! never takes a late reply for the one before it.

use crate::call::CallError;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::{sync::oneshot, time::Instant};

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
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    call: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Token of the peer that has to answer.
    peer: u64,
    /// The frame that carries it; unknown until it is queued.
    frame: Option<u64>,
    since: Instant,
    answer: oneshot::Sender<Outcome>,
}

/// Frees the slot when the caller goes away, whatever the reason.
#[derive(Debug)]
pub(crate) struct Ticket<'p> {
    pending: &'p Pending,
    pub(crate) id: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.pending.lock().take(self.id);
    }
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

    /// A slot for a call to `peer`; `None` when there are too many calls in flight.
    pub(crate) fn open(
        &self,
        peer: u64,
        now: Instant,
    ) -> Option<(Ticket<'_>, oneshot::Receiver<Outcome>)> {
        let (answer, receiver) = oneshot::channel();
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
        slot.call = Some(Waiting {
            peer,
            frame: None,
            since: now,
            answer,
        });
        let id = u64::from(slot.generation) << 32 | u64::from(index);
        Some((Ticket { pending: self, id }, receiver))
    }

    /// Notes which frame carries the call.
    pub(crate) fn sent(&self, id: u64, frame: u64) {
        if let Some(waiting) = self.lock().slot(id).and_then(|slot| slot.call.as_mut()) {
            waiting.frame = Some(frame);
        }
    }

    /// The reply of `peer` to call `id` arrived. False when nobody waits for it, or not from that peer.
    pub(crate) fn complete(&self, id: u64, peer: u64, outcome: Outcome) -> bool {
        let mut table = self.lock();
        if table
            .slot(id)
            .and_then(|slot| slot.call.as_ref())
            .is_none_or(|waiting| waiting.peer != peer)
        {
            return false;
        }
        let waiting = table.take(id);
        drop(table);
        waiting.is_some_and(|waiting| waiting.answer.send(outcome).is_ok())
    }

    /// Ends calls to `peer`, or to anyone: each frame (`None`: not queued yet) with what `error` says for it, if anything.
    pub(crate) fn fail(
        &self,
        peer: Option<u64>,
        error: impl Fn(Option<u64>) -> Option<CallError>,
    ) -> usize {
        let mut table = self.lock();
        let mut ended = Vec::new();
        for index in 0..table.slots.len() {
            let slot = &table.slots[index];
            let meant = |waiting: &&Waiting| peer.is_none_or(|peer| waiting.peer == peer);
            let Some(waiting) = slot.call.as_ref().filter(meant) else {
                continue;
            };
            let Some(error) = error(waiting.frame) else {
                continue;
            };
            let id = u64::from(slot.generation) << 32 | index as u64;
            ended.extend(table.take(id).map(|waiting| (waiting, error)));
        }
        drop(table);
        let count = ended.len();
        for (waiting, error) in ended {
            // The caller may have gone in this moment; then nobody is left to tell.
            let _ = waiting.answer.send(Err(error));
        }
        count
    }

    /// Since when the longest waiting call to `peer` waits.
    pub(crate) fn oldest(&self, peer: u64) -> Option<Instant> {
        let table = self.lock();
        table
            .slots
            .iter()
            .filter_map(|slot| slot.call.as_ref())
            .filter(|w| w.peer == peer)
            .map(|w| w.since)
            .min()
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

    fn take(&mut self, id: u64) -> Option<Waiting> {
        let slot = self.slot(id)?;
        let waiting = slot.call.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push((id & u64::from(u32::MAX)) as u32);
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Outcome = Ok(Bytes::from_static(b"x"));

    #[test]
    fn a_reply_ends_its_own_call_only() {
        let pending = Pending::new(8);
        let (a, mut answer_a) = pending.open(1, Instant::now()).expect("room");
        let (b, mut answer_b) = pending.open(2, Instant::now()).expect("room");
        assert!(!pending.complete(a.id, 2, OK), "another peer can't answer");
        assert!(pending.complete(a.id, 1, OK));
        assert!(!pending.complete(a.id, 1, OK), "nor anyone twice");
        assert_eq!(answer_a.try_recv().expect("answered"), OK);
        assert!(answer_b.try_recv().is_err());
        drop((a, b));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_dropped_caller_frees_its_slot_and_a_late_reply_finds_nobody() {
        let pending = Pending::new(1);
        let (ticket, _answer) = pending.open(1, Instant::now()).expect("room");
        assert!(pending.open(1, Instant::now()).is_none(), "bounded");
        let late = ticket.id;
        drop(ticket);
        let (next, mut answer) = pending.open(1, Instant::now()).expect("freed");
        assert_ne!(next.id, late);
        assert!(!pending.complete(late, 1, OK));
        assert!(answer.try_recv().is_err());
    }

    #[test]
    fn a_lost_peer_ends_its_calls_frame_by_frame() {
        let pending = Pending::new(8);
        let (a, mut answer_a) = pending.open(1, Instant::now()).expect("room");
        let (b, mut answer_b) = pending.open(1, Instant::now()).expect("room");
        let (_other, mut answer_other) = pending.open(2, Instant::now()).expect("room");
        pending.sent(a.id, 1);
        pending.sent(b.id, 2);
        let count = pending.fail(Some(1), |frame| {
            (frame == Some(2)).then_some(CallError::LinkTableBehind)
        });
        assert_eq!(count, 1);
        assert!(answer_a.try_recv().is_err());
        assert_eq!(
            answer_b.try_recv().expect("ended"),
            Err(CallError::LinkTableBehind)
        );
        assert!(answer_other.try_recv().is_err());
        assert!(pending.oldest(1).is_some());
        assert!(pending.oldest(3).is_none());
    }
}
