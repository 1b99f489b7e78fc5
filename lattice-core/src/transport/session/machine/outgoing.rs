//! A channel in which this end sends.

use super::{
    chunk::{Chunk, Totals},
    timing::{RESEND, SLOWEST_RESEND, SLOWEST_RESEND_BESIDE, STALLED, STALLED_BESIDE},
};
use crate::budget::Held;
use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

/// Most bytes that one channel keeps until they are acknowledged, whatever credit it has: the
/// largest window of a receiver.
const MOST_KEPT: u64 = 4 * 1024 * 1024;
/// Most chunks that it keeps.
const MOST_CHUNKS: usize = 1_024;

/// What comes next in a channel.
#[derive(Debug)]
pub(super) enum Part {
    Chunk { chunk: Chunk, _held: Option<Held> },
    End,
}

impl Part {
    fn size(&self) -> usize {
        match self {
            Self::Chunk { chunk, .. } => chunk.bytes.len(),
            Self::End => 0,
        }
    }
}

/// A channel in which this end sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What was not acknowledged yet, in order.
    parts: VecDeque<Part>,
    /// The number of the first of them.
    first: u64,
    /// The number of the next one to send.
    next: u64,
    /// The number after the last that was ever sent.
    sent: u64,
    /// What that was before the last part.
    sent_before: u64,
    /// All that was queued so far.
    queued: Totals,
    /// What was acknowledged of it.
    acknowledged: Totals,
    /// What the receiver has room for; `None` until it has said so.
    credit: Option<Totals>,
    /// Bytes of the parts that were sent and not acknowledged.
    flying: usize,
    pace: Pace,
    pub(super) is_ended: bool,
    /// Wakes the user of the channel.
    pub(super) waiting: Option<Waker>,
}

/// When to send again.
#[derive(Debug)]
struct Pace {
    /// Since when nothing was acknowledged.
    progress: Instant,
    /// When all was last sent again.
    resent: Instant,
    resends: u32,
    /// The first number when the receiver last reported a gap.
    gap_at: Option<u64>,
}

/// What a credit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credited {
    Valid,
    /// Everything was sent and acknowledged.
    Complete,
    /// It acknowledges what was never sent.
    Forged,
}

/// What to do about what was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    No,
    /// It is to be sent again.
    Resend,
    /// It was sent again often enough.
    Stalled,
}

impl Outgoing {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            parts: VecDeque::new(),
            first: 0,
            next: 0,
            sent: 0,
            sent_before: 0,
            queued: Totals::default(),
            acknowledged: Totals::default(),
            credit: None,
            flying: 0,
            pace: Pace {
                progress: now,
                resent: now,
                resends: 0,
                gap_at: None,
            },
            is_ended: false,
            waiting: None,
        }
    }

    /// How many elements the next chunk may have, if it may have [`MAX_CHUNK`](super::MAX_CHUNK)
    /// bytes.
    pub(super) fn room(&self) -> Option<u64> {
        let left = self.credit?.minus(self.queued);
        let kept = self.queued.minus(self.acknowledged).bytes;
        let has_room = left.bytes >= Totals::LARGEST
            && left.elements > 0
            && kept + Totals::LARGEST <= MOST_KEPT
            && self.parts.len() < MOST_CHUNKS;
        has_room.then_some(left.elements)
    }

    /// Queues a chunk. Returns false if there is no room for it.
    pub(super) fn push(&mut self, chunk: Chunk, held: Option<Held>) -> bool {
        let queued = self.queued.plus(chunk.cost());
        let fits = self.credit.is_some_and(|credit| queued.is_within(credit));
        if !fits || self.is_ended {
            return false;
        }
        self.queued = queued;
        self.parts.push_back(Part::Chunk { chunk, _held: held });
        true
    }

    /// Queues the end.
    pub(super) fn end(&mut self) {
        if !self.is_ended {
            self.is_ended = true;
            self.parts.push_back(Part::End);
        }
    }

    /// The next part to send, with its number.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, &Part)> {
        // Before the first credit, the receiver may not know the channel.
        self.credit?;
        let at = usize::try_from(self.next - self.first).ok()?;
        let part = self.parts.get(at)?;
        if self.sent == self.first {
            // Nothing was in flight.
            self.pace.progress = now;
            self.pace.resent = now;
        }
        let number = self.next;
        self.next += 1;
        self.sent_before = self.sent;
        self.sent = self.sent.max(self.next);
        self.flying += part.size();
        Some((number, part))
    }

    /// Takes back the last part that [`next`](Self::next) returned, which was not sent.
    pub(super) fn put_back(&mut self) {
        if let Some(before) = self.next.checked_sub(1).filter(|at| *at >= self.first) {
            self.next = before;
            self.sent = self.sent_before.max(self.first);
            let part = self.parts.get((before - self.first) as usize);
            self.flying -= part.map_or(0, Part::size);
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.credit.is_some() && self.next < self.first + self.parts.len() as u64
    }

    /// The number of the first part that was not acknowledged.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    /// Whether the receiver has everything, the end included.
    pub(super) fn is_complete(&self) -> bool {
        self.is_ended && self.parts.is_empty()
    }

    /// Takes a credit.
    pub(super) fn credited(
        &mut self,
        received: u64,
        credit: Totals,
        gap: bool,
        now: Instant,
    ) -> Credited {
        if received > self.sent {
            return Credited::Forged;
        }
        self.credit = Some(self.credit.unwrap_or_default().max(credit));
        if received > self.first {
            self.pace.progress = now;
            self.pace.resent = now;
            self.pace.resends = 0;
        }
        while self.first < received {
            let Some(part) = self.parts.pop_front() else {
                break;
            };
            if self.first < self.next {
                self.flying -= part.size();
            }
            if let Part::Chunk { chunk, .. } = &part {
                self.acknowledged = self.acknowledged.plus(chunk.cost());
            }
            self.first += 1;
        }
        self.next = self.next.max(self.first);
        // Once for each gap: the chunks behind it report it again.
        if gap && received == self.first && self.pace.gap_at != Some(received) {
            self.pace.gap_at = Some(received);
            self.rewind();
        }
        if self.is_complete() {
            Credited::Complete
        } else {
            Credited::Valid
        }
    }

    /// Has everything sent again that was not acknowledged.
    fn rewind(&mut self) {
        self.next = self.first;
        self.flying = 0;
    }

    /// Looks at the time. The peer has acknowledged nothing in any channel for `quiet`; and with
    /// `is_sending`, some of what was sent has not left this node yet.
    pub(super) fn tick(&mut self, now: Instant, quiet: Duration, is_sending: bool) -> Overdue {
        if self.sent == self.first {
            return Overdue::No;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        // While the peer acknowledges other channels, this one waits for its turn on a slow link.
        // To send it again would slow all of them.
        let stalled = if quiet < STALLED {
            STALLED_BESIDE
        } else {
            STALLED
        };
        if since(self.pace.progress) >= stalled {
            return Overdue::Stalled;
        }
        let (first, slowest) = if is_sending {
            // It may well not have left yet.
            (SLOWEST_RESEND_BESIDE, SLOWEST_RESEND_BESIDE)
        } else if quiet < RESEND {
            (SLOWEST_RESEND, SLOWEST_RESEND_BESIDE)
        } else {
            (RESEND, SLOWEST_RESEND)
        };
        let after = first * 2_u32.saturating_pow(self.pace.resends.min(8));
        if since(self.pace.resent) < after.min(slowest) {
            return Overdue::No;
        }
        self.pace.resends += 1;
        self.pace.resent = now;
        self.rewind();
        Overdue::Resend
    }

    /// Drops what was not acknowledged.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.flying = 0;
        self.next = self.first;
        self.sent = self.first;
    }
}
