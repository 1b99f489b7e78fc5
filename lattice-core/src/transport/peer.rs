//! The way to one boot of another host: two outboxes, and the question whether it is still there.
//!
//! A host's death is noticed by asking: when a call has waited [`PROBE_AFTER`], its host is probed, once per host and not
//! per call; [`MISSES`] probes unanswered, [`PROBE_EVERY`] apart, or the bus saying that nobody was there to get one, end
//! every call to that boot.

use crate::node::Inner;
use crate::node::frame_of;
use crate::transport::flow_control::{Share, SmallCalls, Window};
use crate::transport::send_queue::{Address, Destination, Duty, NotQueued, Outbox, Then};
use crate::{
    bus::BusError,
    wire::{Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::BytesMut;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A call that has waited this long has its host asked. Well over a healthy call, well under a person's patience.
const PROBE_AFTER: Duration = Duration::from_millis(100);
/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Unanswered probes after which a host counts as lost.
const MISSES: u32 = 3;

/// The way to one boot of another host.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) peer: Origin,
    pub(crate) token: u64,
    small: Outbox,
    bulk: Outbox,
    window: Window,
    small_calls: SmallCalls,
    in_flight: AtomicUsize,
    /// Since the last look: anything was called over it, anything was heard from its peer.
    used: AtomicBool,
    heard: AtomicBool,
    watch: Mutex<Watch>,
}

/// A call's share of [`Line::in_flight`].
pub(crate) struct InFlight<'l>(&'l Line);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// In which lane a call of `size` bytes travels: big ones apart, so that they don't hold up the small.
pub(crate) fn lane(size: usize) -> Lane {
    if size > MAX_COALESCED {
        Lane::Bulk
    } else {
        Lane::Small
    }
}

impl Line {
    /// `lost` hears of every frame that the bus did not take.
    pub(crate) fn open(
        node: &Inner,
        peer: Origin,
        token: u64,
        lost: impl Fn(u64, BusError) + Clone + Send + Sync + 'static,
    ) -> Self {
        let connection = &node.connection;
        let outbox = |lane: Lane| {
            let subject = connection.subjects.call(&peer.host, peer.epoch);
            let to = Destination::Inbox {
                subject,
                subjects: connection.subjects.clone(),
                token,
            };
            let address = Address {
                to,
                from: node.origin.clone(),
                peer: peer.clone(),
                kind: Kind::Call,
                lane,
            };
            let lost = lost.clone();
            let lost = move |number, error| lost(frame_of(lane, number), error);
            Outbox::start(
                address,
                connection.bus.clone(),
                connection.auth.clone(),
                lost,
            )
        };
        let (small, bulk) = (outbox(Lane::Small), outbox(Lane::Bulk));
        Self {
            peer,
            token,
            small,
            bulk,
            window: Window::new(node.small_calls.clone()),
            small_calls: node.small_calls.clone(),
            in_flight: AtomicUsize::new(0),
            used: AtomicBool::new(true),
            heard: AtomicBool::new(false),
            watch: Mutex::default(),
        }
    }

    /// Waits until the line has room for a bulk call of `size` bytes; the share is to be kept until the call is over.
    pub(crate) async fn room(&self, size: usize) -> Share<'_> {
        self.window.enter(size).await
    }

    /// Queues a call of about `size` bytes, and has it sent. `admit` hears which frame carries it before the frame can leave.
    pub(crate) fn send<T>(
        &self,
        size: usize,
        admit: impl FnOnce(u64) -> Option<T>,
        encode: impl FnOnce(&T, &mut BytesMut),
    ) -> Result<T, NotQueued> {
        let lane = lane(size);
        let outbox = match lane {
            Lane::Bulk => &self.bulk,
            Lane::Small => {
                self.small_calls.pass();
                &self.small
            }
        };
        self.used.store(true, Ordering::Relaxed);
        let (ticket, duty) = outbox.push(size, |number| admit(frame_of(lane, number)), encode)?;
        match duty {
            Duty::None => {}
            // Nobody else is about to call: waiting for company would only take time.
            Duty::Drain if self.in_flight() <= 1 => outbox.drain(),
            Duty::Drain => outbox.wake(),
        }
        Ok(ticket)
    }

    /// Drops what has not left, and answers which frames have.
    pub(crate) fn withdraw(&self, then: Then) -> Left {
        Left {
            small: self.small.withdraw(then),
            bulk: self.bulk.withdraw(then),
        }
    }

    /// Whether nothing was called over it since the last time that this was asked, and nothing is under way.
    pub(crate) fn is_unused(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
            && self.in_flight() == 0
            && self.small.is_idle()
            && self.bulk.is_idle()
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Calls in flight on this line.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Anything authentic arrived from the peer.
    pub(crate) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// What to do about calls that wait since `oldest`.
    pub(crate) fn step(&self, oldest: Option<Instant>, now: Instant) -> Step {
        let mut watch = self.lock();
        if self.heard.swap(false, Ordering::Relaxed) {
            watch.heard(now);
        }
        watch.step(oldest, now)
    }

    /// Whether `nonce` is that of a probe which has not been answered.
    pub(crate) fn asked(&self, nonce: u64) -> bool {
        !self.heard.load(Ordering::Relaxed) && self.lock().nonce == Some(nonce)
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which frames of a line were given to the bus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    small: u64,
    bulk: u64,
}

impl Left {
    /// Whether this frame was.
    pub(crate) fn has(self, frame: u64) -> bool {
        frame >> 8
            <= if frame & 0xff == Lane::Bulk as u64 {
                self.bulk
            } else {
                self.small
            }
    }
}

/// What the watch over a peer wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// With this nonce.
    Probe(u64),
    Lost,
}

/// The pure part: is the peer still there?
#[derive(Debug, Default)]
struct Watch {
    heard: Option<Instant>,
    probed: Option<Instant>,
    unanswered: u32,
    /// Of the last probe; nobody on the bus can guess it.
    nonce: Option<u64>,
}

impl Watch {
    fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.calm();
    }

    fn calm(&mut self) {
        self.unanswered = 0;
        self.probed = None;
        self.nonce = None;
    }

    fn step(&mut self, oldest: Option<Instant>, now: Instant) -> Step {
        let Some(oldest) = oldest else {
            self.calm();
            return Step::Nothing;
        };
        let quiet_since = self.heard.map_or(oldest, |heard| heard.max(oldest));
        if now.saturating_duration_since(quiet_since) < PROBE_AFTER {
            return Step::Nothing;
        }
        if self
            .probed
            .is_some_and(|at| now.saturating_duration_since(at) < PROBE_EVERY)
        {
            return Step::Nothing;
        }
        if self.unanswered >= MISSES {
            return Step::Lost;
        }
        self.unanswered += 1;
        self.probed = Some(now);
        // Without randomness a refused probe just proves nothing.
        self.nonce = crate::entropy::number();
        Step::Probe(self.nonce.unwrap_or_default())
    }
}

/// The number under which both ends know a boot of a host; also a token of reply subjects.
pub(crate) fn token(origin: &Origin) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(origin.host.as_str().as_bytes());
    hasher.update(&origin.epoch.to_le_bytes());
    let mut token = [0; 8];
    hasher.finalize_xof().fill(&mut token);
    u64::from_le_bytes(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn asks(step: Step) -> bool {
        matches!(step, Step::Probe(_))
    }

    #[test]
    fn a_silent_peer_is_asked_three_times_and_then_lost() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let since = Some(start);
        assert_eq!(watch.step(since, start + ms(99)), Step::Nothing);
        assert!(asks(watch.step(since, start + ms(100))));
        assert_eq!(watch.step(since, start + ms(250)), Step::Nothing);
        assert!(asks(watch.step(since, start + ms(300))));
        assert!(asks(watch.step(since, start + ms(500))));
        assert_eq!(watch.step(since, start + ms(699)), Step::Nothing);
        assert_eq!(watch.step(since, start + ms(700)), Step::Lost);
    }

    #[test]
    fn an_answer_starts_the_patience_over() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let since = Some(start);
        for round in 0..20 {
            let now = start + ms(100 * (round + 1));
            assert!(asks(watch.step(since, now)));
            watch.heard(now);
        }
        assert_eq!(watch.step(None, start + ms(9_000)), Step::Nothing);
    }
}
