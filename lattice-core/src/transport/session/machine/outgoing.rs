//! A channel in which this end sends.

use super::{
    chunk::{Chunk, Totals},
    pace::{Overdue, Pace, Sent, Way},
    timing::{ASK, SLOWEST_ASK},
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

impl Queued {
    /// It is sent now. Returns when it was before.
    fn sent_now(&mut self, now: Instant) -> Option<Sent> {
        let before = self.sent;
        self.sent = Some(Sent {
            at: now,
            frame: 0,
            is_again: before.is_some(),
        });
        before
    }
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
    parts: VecDeque<Queued>,
    numbers: Numbers,
    /// How the last part that was taken can be put back.
    before: Before,
    amounts: Amounts,
    /// Bytes of the parts that were sent and not acknowledged.
    flying: usize,
    pace: Pace,
    /// The first number when the receiver last reported a gap.
    gap_at: Option<u64>,
    opened: Instant,
    silence: Silence,
    pub(super) is_ended: bool,
    pub(super) marks: Marks,
    /// Wakes the user of the channel.
    pub(super) waiting: Option<Waker>,
}

/// The numbers of parts.
#[derive(Debug, Default)]
struct Numbers {
    /// The first one that was not acknowledged.
    first: u64,
    /// The next one to send.
    next: u64,
    /// The one after the last that was ever sent.
    sent: u64,
    /// The receiver has the handles of so many chunks.
    taken: u64,
    /// The sender waits until it has those of so many.
    tracked: u64,
}

/// What the parts of a channel count for.
#[derive(Debug, Default)]
struct Amounts {
    /// All that was queued so far.
    queued: Totals,
    /// What was acknowledged of it.
    acknowledged: Totals,
    /// What the receiver has room for; `None` until it has said so.
    credit: Option<Totals>,
}

/// A part, and when it was last sent.
#[derive(Debug)]
struct Queued {
    part: Part,
    sent: Option<Sent>,
}

/// How long nothing has come from the receiver.
#[derive(Debug)]
struct Silence {
    /// When it was last heard of, or asked.
    since: Instant,
    /// When it is asked after that.
    pause: Duration,
}

/// What the machine knows of a channel.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// It is in the list of those that have something to send.
    pub(super) is_ready: bool,
    /// Its user has given up the handle to it.
    pub(super) has_no_user: bool,
}

/// What the last part changed that was taken to be sent.
#[derive(Debug, Default)]
struct Before {
    /// The number after the last part that was ever sent.
    sent: u64,
    /// When that part was sent before.
    part: Option<Sent>,
    was_probe: bool,
}

/// What the newest part says that a credit acknowledges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledged {
    /// When it was last sent.
    pub(super) sent: Instant,
    /// It was sent once.
    pub(super) is_sample: bool,
    /// How often something of the channel was sent again, since the acknowledgement before.
    pub(super) resends: u32,
    /// How long it has been since that one.
    pub(super) waited: Duration,
}

/// What a credit says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credit {
    /// Chunks received in order, the end included.
    pub(super) received: u64,
    /// Of so many chunks, the receiver has the handles.
    pub(super) taken: u64,
    /// What may be sent in total.
    pub(super) room: Totals,
    /// A later chunk than the next one has arrived.
    pub(super) gap: bool,
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

impl Outgoing {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            parts: VecDeque::new(),
            numbers: Numbers::default(),
            before: Before::default(),
            amounts: Amounts::default(),
            flying: 0,
            pace: Pace::new(now),
            opened: now,
            silence: Silence {
                since: now,
                pause: ASK,
            },
            gap_at: None,
            marks: Marks::default(),
            is_ended: false,
            waiting: None,
        }
    }

    /// How many elements the next chunk may have, if it may have [`MAX_CHUNK`](super::MAX_CHUNK)
    /// bytes.
    pub(super) fn room(&self) -> Option<u64> {
        let left = self.amounts.credit?.minus(self.amounts.queued);
        let kept = self.amounts.queued.minus(self.amounts.acknowledged).bytes;
        let has_room = left.bytes >= Totals::LARGEST
            && left.elements > 0
            && kept + Totals::LARGEST <= MOST_KEPT
            && self.parts.len() < MOST_CHUNKS;
        has_room.then_some(left.elements)
    }

    /// Queues a chunk. Returns false if there is no room for it.
    pub(super) fn push(&mut self, chunk: Chunk, held: Option<Held>) -> bool {
        let queued = self.amounts.queued.plus(chunk.cost());
        let fits = self
            .amounts
            .credit
            .is_some_and(|credit| queued.is_within(credit));
        if !fits || self.is_ended {
            return false;
        }
        self.amounts.queued = queued;
        self.queue(Part::Chunk { chunk, _held: held });
        true
    }

    /// Queues the end.
    pub(super) fn end(&mut self) {
        if !self.is_ended {
            self.is_ended = true;
            self.queue(Part::End);
        }
    }

    fn queue(&mut self, part: Part) {
        self.parts.push_back(Queued { part, sent: None });
    }

    /// The next part to send, with its number.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, &Part)> {
        // Before the first credit, the receiver may not know the channel.
        self.amounts.credit?;
        let at = usize::try_from(self.numbers.next - self.numbers.first).ok()?;
        let queued = self.parts.get_mut(at)?;
        if self.numbers.sent == self.numbers.first {
            // Nothing was in flight.
            self.pace.start(now);
        }
        self.before = Before {
            sent: self.numbers.sent,
            part: queued.sent_now(now),
            was_probe: false,
        };
        let number = self.numbers.next;
        self.numbers.next += 1;
        self.numbers.sent = self.numbers.sent.max(self.numbers.next);
        self.flying += queued.part.size();
        Some((number, &queued.part))
    }

    /// The first part that is in flight, to be sent again.
    pub(super) fn probe(&mut self, now: Instant) -> Option<(u64, &Part)> {
        if self.numbers.next == self.numbers.first {
            return None;
        }
        let queued = self.parts.front_mut()?;
        self.before = Before {
            sent: self.numbers.sent,
            part: queued.sent_now(now),
            was_probe: true,
        };
        self.pace.probed(self.numbers.first, now);
        Some((self.numbers.first, &queued.part))
    }

    /// Takes back the last part that [`next`](Self::next) or [`probe`](Self::probe) returned, which
    /// was not sent.
    pub(super) fn put_back(&mut self) {
        let before = std::mem::take(&mut self.before);
        if before.was_probe {
            self.pace.probe_failed();
            if let Some(queued) = self.parts.front_mut() {
                queued.sent = before.part;
            }
            return;
        }
        if let Some(number) = self
            .numbers
            .next
            .checked_sub(1)
            .filter(|at| *at >= self.numbers.first)
        {
            self.numbers.next = number;
            self.numbers.sent = before.sent.max(self.numbers.first);
            if let Some(queued) = self.parts.get_mut((number - self.numbers.first) as usize) {
                queued.sent = before.part;
                self.flying -= queued.part.size();
            }
        }
    }

    /// Notes which frame carries a part that was taken to be sent.
    pub(super) fn in_frame(&mut self, number: u64, frame: u64) {
        let at = number
            .checked_sub(self.numbers.first)
            .and_then(|at| usize::try_from(at).ok());
        let queued = at.and_then(|at| self.parts.get_mut(at));
        if let Some(sent) = queued.and_then(|queued| queued.sent.as_mut()) {
            sent.frame = frame;
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.amounts.credit.is_some()
            && self.numbers.next < self.numbers.first + self.parts.len() as u64
    }

    /// How long the first credit has taken, until it is there.
    pub(super) fn without_credit(&self, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(self.opened);
        self.amounts.credit.is_none().then_some(waited)
    }

    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    /// Whether the receiver has everything, the end and the handles included.
    pub(super) fn is_complete(&self) -> bool {
        let is_taken = self.numbers.taken >= self.numbers.tracked;
        self.is_ended && self.parts.is_empty() && is_taken
    }

    /// The first so many chunks have handles, and the channel isn't complete before the receiver
    /// has them.
    pub(super) fn track(&mut self, chunks: u64) {
        self.numbers.tracked = self.numbers.tracked.max(chunks);
    }

    /// Of how many chunks the receiver has the handles, as far as is known.
    pub(super) fn taken(&self) -> u64 {
        self.numbers.taken
    }

    /// Takes a credit. Returns as well what it says of the way to the receiver, if it acknowledges
    /// anything new.
    pub(super) fn credited(
        &mut self,
        credit: Credit,
        now: Instant,
    ) -> (Credited, Option<Acknowledged>) {
        let Credit {
            received,
            taken,
            room,
            gap,
        } = credit;
        if received > self.numbers.sent || taken > received {
            return (Credited::Forged, None);
        }
        self.numbers.taken = self.numbers.taken.max(taken);
        self.silence = Silence {
            since: now,
            pause: ASK,
        };
        self.amounts.credit = Some(self.amounts.credit.unwrap_or_default().max(room));
        let acknowledged = self.acknowledge(received, now);
        // Once for each gap: the chunks behind it report it again.
        if gap && received == self.numbers.first && self.gap_at != Some(received) {
            self.gap_at = Some(received);
            self.rewind();
        }
        let credited = if self.is_complete() {
            Credited::Complete
        } else {
            Credited::Valid
        };
        (credited, acknowledged)
    }

    fn acknowledge(&mut self, received: u64, now: Instant) -> Option<Acknowledged> {
        if received <= self.numbers.first {
            return None;
        }
        let (resends, waited) = self.pace.acknowledged(received, now);
        let mut newest = None;
        while self.numbers.first < received {
            let Some(Queued { part, sent }) = self.parts.pop_front() else {
                break;
            };
            newest = sent;
            if self.numbers.first < self.numbers.next {
                self.flying -= part.size();
            }
            if let Part::Chunk { chunk, .. } = &part {
                self.amounts.acknowledged = self.amounts.acknowledged.plus(chunk.cost());
            }
            self.numbers.first += 1;
        }
        self.numbers.next = self.numbers.next.max(self.numbers.first);
        newest.map(|sent| Acknowledged {
            sent: sent.at,
            is_sample: !sent.is_again,
            resends,
            waited,
        })
    }

    /// Has everything sent again that was not acknowledged.
    fn rewind(&mut self) {
        self.numbers.next = self.numbers.first;
        self.flying = 0;
        self.pace.rewound();
    }

    /// Looks at the time.
    pub(super) fn tick(&mut self, now: Instant, way: &Way) -> Overdue {
        if self.numbers.sent == self.numbers.first {
            return Overdue::No;
        }
        let Some(first) = self.parts.front().and_then(|queued| queued.sent) else {
            return Overdue::No;
        };
        let overdue = self.pace.look(first, way, now);
        if overdue == Overdue::Resend {
            self.rewind();
        }
        overdue
    }

    /// Whether to ask the receiver now what it has received. It has been silent for long, and
    /// nothing is in flight that it would have to acknowledge.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let is_flying = self.numbers.sent != self.numbers.first;
        let silent = now.saturating_duration_since(self.silence.since);
        if is_flying || silent < self.silence.pause {
            return false;
        }
        // While only the handles are not taken, the receiver may soon forget the whole channel.
        let is_received = self.is_ended && self.parts.is_empty();
        let pause = if is_received {
            ASK
        } else {
            (self.silence.pause * 2).min(SLOWEST_ASK)
        };
        self.silence = Silence { since: now, pause };
        true
    }

    /// Drops what was not acknowledged.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.flying = 0;
        self.numbers.next = self.numbers.first;
        self.numbers.sent = self.numbers.first;
    }
}
