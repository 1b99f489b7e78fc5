//! A channel in which this end receives.

use super::{
    MAX_CHUNK,
    chunk::{Chunk, Totals},
    timing::{REPEAT, SLOWEST_REPEAT},
};
use crate::{
    budget::{Held, Share},
    wire::Item,
};
use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

/// So many bytes of all channels are acknowledged together. It is half of what a sender has in
/// flight beside small calls.
pub(super) const ACKNOWLEDGED: u64 = 64 * 1024;

/// So many chunks whose handles the user has are told at once.
const SETTLED: u64 = 64;

/// The windows of all channels of a peer grow until they take this together. Without it, those of a
/// thousand readers would grow before they stop.
const GROWN: usize = 8 * 1024 * 1024;

/// How much a receiver has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Bytes at first; less if there is less memory, but at least one chunk.
    pub(crate) bytes: usize,
    /// Bytes at most, for a reader that keeps up: each time it has read a whole window, the window
    /// doubles.
    pub(crate) most: usize,
    /// Elements that were not read yet.
    pub(crate) elements: u64,
}

impl Window {
    /// For a transfer of known size whose reader always keeps up.
    pub(crate) const BULK: Self = Self {
        bytes: 1024 * 1024,
        most: 2 * 1024 * 1024,
        elements: u64::MAX,
    };
}

/// A channel in which this end receives.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Received in order, and not taken yet.
    chunks: VecDeque<Chunk>,
    counts: Counts,
    arrived: Totals,
    taken: Totals,
    window: Totals,
    most: u64,
    /// The memory of the window.
    memory: Vec<Held>,
    /// What was taken when the window last grew.
    grown_at: u64,
    told: Told,
    is_ended: bool,
    pub(super) marks: Marks,
    /// Wakes the user of the channel.
    pub(super) waiting: Option<Waker>,
}

/// Numbers of chunks.
#[derive(Debug, Default)]
struct Counts {
    /// Received in order, the end included.
    received: u64,
    /// Taken by the user.
    taken: u64,
    /// Those of them of which the user has the handles.
    settled: u64,
}

/// The lists of the machine that a channel is in.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) is_dirty: bool,
    pub(super) is_owing: bool,
}

/// What the sender was told, and what it has to be told.
#[derive(Debug)]
struct Told {
    /// The last credit; `None` before the first.
    credit: Option<Totals>,
    received: u64,
    settled: u64,
    /// The bytes that had arrived then.
    bytes: u64,
    at: Instant,
    /// When it is repeated if nothing arrives.
    again: Duration,
    /// It has to be told at once: something arrived twice, or out of order.
    now: bool,
    gap: bool,
}

/// What a part was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    Next,
    /// It was received before, or a part before it is missing.
    Dropped,
    /// It is beyond the credit or after the end.
    Forbidden,
}

impl Incoming {
    /// A channel with memory from `room`; `None` if there is not enough for a chunk.
    pub(super) fn new(window: Window, room: &Share, now: Instant) -> Option<Self> {
        let least = Totals::LARGEST as usize;
        let mut bytes = window.bytes.min(room.largest()).max(least);
        let held = loop {
            match room.hold(bytes) {
                Some(held) => break held,
                // What the other channels have doesn't count for the least that it needs.
                None if bytes == least => break room.hold_beside(0, least)?,
                None => bytes = (bytes / 2).max(least),
            }
        };
        Some(Self {
            chunks: VecDeque::new(),
            counts: Counts::default(),
            arrived: Totals::default(),
            taken: Totals::default(),
            window: Totals {
                bytes: bytes as u64,
                elements: window.elements.max(1),
            },
            most: window.most as u64,
            memory: vec![held],
            grown_at: 0,
            told: Told {
                credit: None,
                received: 0,
                settled: 0,
                bytes: 0,
                at: now,
                again: REPEAT,
                now: false,
                gap: false,
            },
            is_ended: false,
            marks: Marks::default(),
            waiting: None,
        })
    }

    /// Takes a chunk, or the end, which has the number after the last chunk.
    pub(super) fn arrived(&mut self, number: u64, chunk: Option<Chunk>) -> Arrived {
        if number < self.counts.received {
            // Its sender may have missed the acknowledgement.
            self.told.now = true;
            return Arrived::Dropped;
        }
        if self.is_ended {
            return Arrived::Forbidden;
        }
        if number > self.counts.received {
            self.told.now |= !self.told.gap;
            self.told.gap = true;
            return Arrived::Dropped;
        }
        if let Some(chunk) = chunk {
            let arrived = self.arrived.plus(chunk.cost());
            let granted = self.told.credit.unwrap_or_default();
            if chunk.bytes.len() > MAX_CHUNK || !arrived.is_within(granted) {
                return Arrived::Forbidden;
            }
            self.arrived = arrived;
            self.chunks.push_back(chunk);
        } else {
            self.is_ended = true;
        }
        self.counts.received += 1;
        self.told.gap = false;
        self.told.again = REPEAT;
        Arrived::Next
    }

    /// The next chunk.
    pub(super) fn take(&mut self, room: &Share) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.taken = self.taken.plus(chunk.cost());
        self.counts.taken += 1;
        self.grow(room);
        Some(chunk)
    }

    /// Doubles the window after a whole one was taken.
    fn grow(&mut self, room: &Share) {
        let window = self.window.bytes;
        if self.taken.bytes - self.grown_at < window || window >= self.most || self.is_ended {
            return;
        }
        self.grown_at = self.taken.bytes;
        let more = window.min(self.most - window);
        if room.held() + more as usize > (room.largest() / 4).min(GROWN) {
            // The rest is for channels that have nothing yet.
            return;
        }
        if let Some(held) = room.hold(more as usize) {
            self.memory.push(held);
            self.window.bytes += more;
        }
    }

    /// Whether all was received, the end included.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether all was taken, the end included.
    pub(super) fn is_complete(&self) -> bool {
        self.is_ended && self.chunks.is_empty()
    }

    /// How many chunks were received in order, the end included.
    pub(super) fn received(&self) -> u64 {
        self.counts.received
    }

    /// The user has the handles of all that it has taken so far. Returns the credit that says so,
    /// if it is due.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Item> {
        self.counts.settled = self.counts.taken;
        let untold = self.counts.settled - self.told.settled;
        (untold >= SETTLED).then(|| self.tell(now))
    }

    /// Of how many chunks the user has the handles.
    pub(super) fn settled(&self) -> u64 {
        self.counts.settled
    }

    /// Whether there is a chunk with such a number of elements that was not taken yet.
    pub(super) fn has_left(&self, is_such: impl Fn(u32) -> bool) -> bool {
        self.chunks.iter().any(|chunk| is_such(chunk.elements))
    }

    /// The credit to send now, if one is due.
    pub(super) fn credit(&mut self, now: Instant) -> Option<Item> {
        let due = self.told.now || self.is_unacknowledged() || self.is_short_of_credit();
        due.then(|| self.tell(now))
    }

    /// The same, when nothing more is expected to arrive soon: whatever wasn't acknowledged is due,
    /// and after some time without a chunk the last credit is, again. So this end learns if the
    /// other one has forgotten the channel, also while all of it is here and wasn't read.
    pub(super) fn credit_after_pause(&mut self, now: Instant) -> Option<Item> {
        if let Some(credit) = self.credit(now) {
            return Some(credit);
        }
        if self.is_owing() {
            return Some(self.tell(now));
        }
        let is_recent = now.saturating_duration_since(self.told.at) < self.told.again;
        if is_recent || self.is_complete() {
            return None;
        }
        self.told.again = (self.told.again * 2).min(SLOWEST_REPEAT);
        Some(self.tell(now))
    }

    /// The sender has missed the last credit, or there was none for long.
    pub(super) fn tell_again(&mut self) {
        self.told.now = true;
    }

    /// Whether something was received or settled that wasn't acknowledged.
    pub(super) fn is_owing(&self) -> bool {
        self.counts.received != self.told.received || self.counts.settled != self.told.settled
    }

    /// The credit that acknowledges what wasn't, if there is any of that.
    pub(super) fn acknowledgement(&mut self, now: Instant) -> Option<Item> {
        self.is_owing().then(|| self.tell(now))
    }

    fn is_unacknowledged(&self) -> bool {
        let more = self.arrived.bytes - self.told.bytes >= ACKNOWLEDGED;
        self.counts.received != self.told.received && (more || self.is_ended)
    }

    /// Whether the sender should know of room that it doesn't know of.
    fn is_short_of_credit(&self) -> bool {
        let Some(told) = self.told.credit else {
            return true;
        };
        if self.is_ended {
            return false;
        }
        let (more, left) = (self.limit().minus(told), told.minus(self.arrived));
        let a_quarter = |more: u64, of: u64| more > 0 && more >= of / 4;
        let short_of_bytes = a_quarter(more.bytes, self.window.bytes)
            || (more.bytes > 0 && left.bytes < Totals::LARGEST);
        let short_of_elements = a_quarter(more.elements, self.window.elements)
            || (more.elements > 0 && left.elements == 0);
        short_of_bytes || short_of_elements
    }

    fn limit(&self) -> Totals {
        self.taken.plus(self.window)
    }

    fn tell(&mut self, now: Instant) -> Item {
        let credit = self.limit();
        let Told {
            now: at_once, gap, ..
        } = self.told;
        self.told = Told {
            credit: Some(credit),
            received: self.counts.received,
            settled: self.counts.settled,
            bytes: self.arrived.bytes,
            at: now,
            again: self.told.again,
            now: false,
            gap,
        };
        Item::Credit {
            received: self.counts.received,
            bytes: credit.bytes,
            elements: credit.elements,
            taken: self.counts.settled,
            gap: gap && at_once,
        }
    }
}
