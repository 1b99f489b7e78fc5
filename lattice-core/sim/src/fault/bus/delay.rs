//! Messages held back: a delay that keeps its order, and some beside it that are passed by. No I/O; the time is handed in.

use bytes::Bytes;
use lattice_core::subject::Subject;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// More than this held back at once is lost: a test's mistake should not eat the machine.
const MOST_HELD: usize = 65_536;

/// What befalls one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) lost: bool,
    pub(super) copies: usize,
    pub(super) delay: Option<Duration>,
    pub(super) passed_by: Option<Duration>,
}

/// A message that waits.
pub(super) struct Held {
    pub(super) to: Subject,
    pub(super) reply: Option<Subject>,
    pub(super) payload: Bytes,
    pub(super) copies: usize,
}

/// What [`DelayQueue::enter`] did with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing is in its way: send it now.
    SendNow,
    /// It waits.
    Held,
    /// It is lost.
    Full,
}

/// Whether a message keeps its place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Kept,
    Passed,
}

#[derive(Default)]
pub(super) struct DelayQueue {
    /// By when they are due, then by when they came.
    held: BTreeMap<(Instant, u64), (Held, Order)>,
    came: u64,
    /// Those that keep their order and have not been sent yet: no later one may be sent before them.
    in_order: usize,
    /// When the last of them is due.
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

    /// Takes out the next message that is due. [`left`](Self::left) follows when it has been sent.
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
