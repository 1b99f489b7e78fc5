//! Messages that are held back: some in a queue that keeps their order, and some that others may
//! pass. Pure: it does no I/O, and the time is passed in.

use bytes::Bytes;
use lattice_core::subject::Subject;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How many messages are held back at most. More are lost, so that a mistake in a test doesn't
/// exhaust memory.
const MOST_HELD: usize = 65_536;

/// The fate of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) lost: bool,
    pub(super) copies: usize,
    pub(super) delay: Option<Duration>,
    pub(super) passed_by: Option<Duration>,
}

/// A message that is held back.
pub(super) struct Held {
    pub(super) to: Subject,
    pub(super) reply: Option<Subject>,
    pub(super) payload: Bytes,
    pub(super) copies: usize,
}

/// The result of [`DelayQueue::enter`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing has to be sent before it: send it now.
    SendNow,
    /// It is held back.
    Held,
    /// It is lost.
    Full,
}

/// Whether a message keeps its order with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Kept,
    Passed,
}

#[derive(Default)]
pub(super) struct DelayQueue {
    /// By due time, then by the order in which they came.
    held: BTreeMap<(Instant, u64), (Held, Order)>,
    came: u64,
    /// How many in-order messages have not been sent yet: no later one may be sent before them.
    in_order: usize,
    /// The due time of the last of them.
    last_due: Option<Instant>,
}

impl DelayQueue {
    pub(super) fn enter(&mut self, now: Instant, fate: Fate, message: Held) -> Entry {
        if fate.delay.is_none() && fate.passed_by.is_none() && self.in_order == 0 {
            return Entry::SendNow;
        }
        if self.held.len() >= MOST_HELD {
            return Entry::Full;
        }
        let (due, order) = if let Some(after) = fate.passed_by {
            (now + after, Order::Passed)
        } else {
            let own = now + fate.delay.unwrap_or_default();
            let due = self.last_due.map_or(own, |last| last.max(own));
            self.last_due = Some(due);
            self.in_order += 1;
            (due, Order::Kept)
        };
        self.came += 1;
        self.held.insert((due, self.came), (message, order));
        Entry::Held
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.keys().next().map(|(due, _)| *due)
    }

    /// Takes out the next message that is due. The caller reports by [`left`](Self::left) when it
    /// has been sent.
    pub(super) fn leave(&mut self, now: Instant) -> Option<(Held, Order)> {
        let first = self.held.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn left(&mut self, order: Order) {
        if order == Order::Kept {
            self.in_order -= 1;
        }
    }
}
