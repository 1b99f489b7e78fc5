//! When a channel sends again what was not acknowledged.
//!
//! After a timeout, a channel sends the first part that is in flight again, as a *probe*. If the
//! peer then acknowledges more than the probe, or reports a gap, the others weren't lost with it.
//! If it acknowledges only the probe, and nothing for a while, all of the others are sent again.
//! That while is short if the acknowledgement came as soon after the probe as it usually does. So a
//! timeout that was too short costs one part, and not all that is in flight.

use super::{
    timing::{MOST_DOUBLED, SLOWEST_RESEND, STALLED, STALLED_BESIDE, STALLED_TIMEOUTS},
    uplink::Progress,
};
use std::time::{Duration, Instant};

/// What is known of the way to the peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// How long an acknowledgement may take.
    pub(super) timeout: Duration,
    /// The same with regard to acknowledgements that came only after parts were sent again.
    pub(super) backed_off: Duration,
    /// The longest usual time of an acknowledgement, if it is known.
    pub(super) usual: Option<Duration>,
    /// The peer has acknowledged something new meanwhile.
    pub(super) is_heard: bool,
    /// A channel may send again. While nothing is heard of the peer, they take turns.
    pub(super) may_probe: bool,
    /// The newest frame that the bus has taken.
    pub(super) taken: u64,
    /// What the other peers say about this node's queue.
    pub(super) uplink: Progress,
}

/// The probes of all channels since the peer last acknowledged anything new.
#[derive(Debug, Default)]
pub(super) struct Probes {
    last: Option<Instant>,
    count: u32,
}

impl Probes {
    pub(super) fn add(&mut self, now: Instant) {
        self.last = Some(now);
        self.count += 1;
    }

    /// Whether there may be another one now.
    pub(super) fn may_add(&self, timeout: Duration, backed_off: Duration, now: Instant) -> bool {
        let pause = doubled(timeout, self.count).max(backed_off);
        let since = |at| now.saturating_duration_since(at);
        self.last.is_none_or(|at| since(at) >= pause)
    }
}

/// The pause after `count` probes.
fn doubled(timeout: Duration, count: u32) -> Duration {
    let times = 2_u32.saturating_pow(count.min(8)).min(MOST_DOUBLED);
    (timeout * times).min(SLOWEST_RESEND)
}

/// What to do about what was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    No,
    /// The first part is to be sent again.
    Probe,
    /// All of it is to be sent again.
    Resend,
    /// It was sent again often enough.
    Stalled,
}

/// When a part was last sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
    /// The frame that carries it; 0 if it has left at once.
    pub(super) frame: u64,
    /// It was sent before.
    pub(super) is_again: bool,
}

/// The timer of a channel.
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when nothing was acknowledged, without the time for which this node's queue was the
    /// reason.
    progress: Instant,
    /// When the timer was last started.
    started: Instant,
    looked: Instant,
    /// How often something was sent again since then.
    resends: u32,
    front: Front,
    probe: Probe,
}

/// What is known of the first part that is in flight.
#[derive(Debug, Default)]
struct Front {
    /// It was seen to wait for the bus.
    was_held: bool,
    /// When it was given to the bus, or a little later.
    left: Option<Instant>,
    /// When it was first known that it doesn't wait in this node any more.
    passed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    None,
    /// The part with this number was sent again.
    Sent(u64, Instant),
    /// It was acknowledged after this time, and nothing else yet.
    Answered(Duration),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            progress: now,
            started: now,
            looked: now,
            resends: 0,
            front: Front::default(),
            probe: Probe::None,
        }
    }

    /// The channel begins to send, with nothing in flight.
    pub(super) fn start(&mut self, now: Instant) {
        self.progress = now;
        self.started = now;
        self.looked = now;
    }

    /// Everything before `received` is acknowledged. Returns how often something was sent again
    /// before, and how long that has taken.
    pub(super) fn acknowledged(&mut self, received: u64, now: Instant) -> (u32, Duration) {
        let waited = now.saturating_duration_since(self.progress);
        self.probe = match self.probe {
            Probe::Sent(number, at) if received == number + 1 => {
                Probe::Answered(now.saturating_duration_since(at))
            }
            _ => Probe::None,
        };
        self.start(now);
        self.front = Front::default();
        (std::mem::take(&mut self.resends), waited)
    }

    /// Everything is sent again.
    pub(super) fn rewound(&mut self) {
        self.front = Front::default();
        self.probe = Probe::None;
    }

    /// The first part is sent again.
    pub(super) fn probed(&mut self, number: u64, now: Instant) {
        self.front = Front::default();
        self.probe = Probe::Sent(number, now);
    }

    /// The probe could not be sent. It is its turn again after the next timeout.
    pub(super) fn probe_failed(&mut self) {
        self.probe = Probe::None;
    }

    /// Looks at the time, for a channel whose first part in flight was sent as `first`.
    pub(super) fn look(&mut self, first: Sent, way: &Way, now: Instant) -> Overdue {
        let since = |at: Instant| now.saturating_duration_since(at);
        let elapsed = since(std::mem::replace(&mut self.looked, now));
        let has_left = first.frame <= way.taken;
        let is_past = has_left && self.has_passed(first.at, way, now);
        if !is_past && way.uplink.is_moving(now, way.backed_off) {
            self.progress = (self.progress + elapsed).min(now);
        }
        let stalled = if way.is_heard {
            STALLED_BESIDE
        } else {
            STALLED.max(way.backed_off * STALLED_TIMEOUTS)
        };
        if since(self.progress) >= stalled {
            return Overdue::Stalled;
        }
        if !has_left {
            self.front.was_held = true;
            return Overdue::No;
        }
        if !way.may_probe {
            return Overdue::No;
        }
        let started = if is_past {
            self.front.passed
        } else {
            way.uplink.heard()
        };
        let started = self.started.max(first.at).max(started.unwrap_or(first.at));
        let started = started.max(self.front.left.unwrap_or(first.at));
        if since(started) < self.patience(way) {
            return Overdue::No;
        }
        self.resends += 1;
        self.started = now;
        if matches!(self.probe, Probe::Answered(_)) {
            Overdue::Resend
        } else {
            Overdue::Probe
        }
    }

    /// Whether the first part, which was given to the bus, is known not to wait in this node.
    fn has_passed(&mut self, sent: Instant, way: &Way, now: Instant) -> bool {
        let left = if self.front.was_held { now } else { sent };
        let left = *self.front.left.get_or_insert(left);
        if way.uplink.is_past(left) {
            self.front.passed.get_or_insert(now);
        }
        self.front.passed.is_some()
    }

    /// How long to wait for an acknowledgement.
    fn patience(&self, way: &Way) -> Duration {
        if let Probe::Answered(after) = self.probe {
            let usual = way.usual.filter(|usual| after <= *usual);
            return usual.unwrap_or(way.backed_off);
        }
        doubled(way.timeout, self.resends).max(way.backed_off)
    }
}
