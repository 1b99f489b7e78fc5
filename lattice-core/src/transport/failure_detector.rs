//! Detects that a host is gone while calls wait for its replies, or sessions with it are open.
//!
//! When a call has waited for [`PROBE_AFTER`], its host is probed, once per host and not per call.
//! [`UNANSWERED_PROBES`] unanswered probes, [`PROBE_EVERY`] apart, end every call to that boot of
//! the host. A peer with open sessions is probed in the same way after each [`PROBE_AFTER`] without
//! a message of it.
//!
//! A notice of the bus that no one received a call or a probe is only a hint, because every client
//! of the bus can send one: the host is probed at once, and its calls end if it stays silent for
//! [`DOUBT`]. Any authentic frame of the host refutes the hint.
//!
//! The task that ends calls never waits for the bus.

use super::{Events, Transport, id::ReplyAddress, peer::PeerConn};
use crate::{
    sync::Mutex,
    wire::{Body as _, Frame, Probe, ProbeAck},
};
use futures_util::FutureExt as _;
use std::{
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long a call waits before its host is probed: well over a healthy call, well under a person's
/// patience.
const PROBE_AFTER: Duration = Duration::from_millis(100);
/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Unanswered probes after which a host counts as lost.
const UNANSWERED_PROBES: u32 = 3;
/// How often calls in flight are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a host has to refute that no one received a frame to it: many round trips, since a live
/// host replies to probes before anything else. Meanwhile, calls prefer other replicas.
const DOUBT: Duration = Duration::from_millis(25);

/// Ends calls at their deadlines, probes hosts that keep calls waiting, and ends the calls of those
/// that are gone.
pub(crate) async fn run(transport: Arc<Transport>, events: Arc<impl Events>) {
    let opened = transport.peers.session_count.opened.clone();
    loop {
        let now = Instant::now();
        let found = transport.in_flight.sweep(now);
        let peers = transport.peers.snapshot();
        let mut look = found.next_deadline.map(|at| at.min(now + LOOK));
        for peer in peers.values() {
            let oldest_call = found.oldest.get(&peer.token).copied();
            let sessions = peer.sessions.tick();
            if sessions.is_again {
                look = Some(look.map_or(now + LOOK, |at| at.min(now + LOOK)));
            }
            let oldest = oldest_call.into_iter().chain(sessions.busy_since).min();
            match peer.liveness.step(oldest, now) {
                Step::Nothing => {}
                Step::Wait(until) => look = Some(look.map_or(until, |at| at.min(until))),
                Step::Probe(nonce) => transport.probe(peer, nonce),
                Step::Lost => {
                    events.host_lost(&peer.peer);
                    transport.peer_lost(&peer.peer);
                }
            }
        }
        if !transport.in_flight.sweep_again(look) {
            continue;
        }
        if let Some(look) = look {
            tokio::select! {
                biased;
                () = sleep_until(look) => {}
                () = transport.new_deadline.notified() => {}
                () = opened.notified() => {}
            }
        } else {
            tokio::select! {
                () = transport.new_deadline.notified() => {}
                () = opened.notified() => {}
            }
        }
    }
}

impl Transport {
    fn probe(&self, peer: &PeerConn, nonce: u64) {
        let (endpoint, to) = (self.endpoint.clone(), peer.peer.clone());
        let reply = ReplyAddress::Peer(peer.token, nonce);
        self.posts.post(
            async move {
                let subject = endpoint.subjects().call(&to.host, to.epoch);
                let reply = reply.subject(endpoint.subjects(), endpoint.origin());
                let probe = Probe { nonce };
                let sent = endpoint.send(subject, Some(reply), Some(&to), &probe).await;
                if let Err(error) = sent {
                    tracing::debug!(%error, host = %to.host, "a probe was not sent");
                }
            }
            .boxed(),
        );
    }

    /// Takes the hint that a peer is gone: it is probed at once, and has a moment to refute it.
    pub(super) fn doubt(&self, peer: &PeerConn) {
        if let Some(nonce) = peer.liveness.doubt(Instant::now()) {
            self.probe(peer, nonce);
            // The task looks again when the moment is over.
            self.new_deadline.notify_one();
        }
    }

    /// Answers the probes of another host.
    pub(crate) fn acknowledge(&self, probes: &Frame) {
        for envelope in probes.envelopes() {
            match Probe::decode(envelope) {
                Ok(probe) => {
                    let ack = ProbeAck {
                        nonce: probe.nonce,
                        epoch: self.endpoint.origin().epoch,
                    };
                    let (endpoint, to) = (self.endpoint.clone(), probes.sender().clone());
                    let reply = async move { endpoint.reply_alone(&to, &ack).await };
                    self.posts.post(reply.boxed());
                }
                Err(error) => self.endpoint.refuse(&error.to_string()),
            }
        }
    }
}

/// Whether a peer is still there, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Something arrived since the last step.
    received: AtomicBool,
    /// There was a hint that the peer is gone, and nothing has arrived since.
    doubted: AtomicBool,
    probes: Mutex<ProbeState>,
}

impl Liveness {
    /// Notes that something authentic arrived from the peer.
    pub(super) fn mark_received(&self) {
        self.received.store(true, Ordering::Relaxed);
        if self.doubted.load(Ordering::Relaxed) {
            self.doubted.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the peer may be gone.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Takes a hint that the peer is gone. Returns the nonce of a probe that has to be sent now;
    /// `None` if the peer is in doubt already, or was until a moment ago.
    fn doubt(&self, now: Instant) -> Option<u64> {
        let mut probes = self.lock();
        // Messages that were received before the hint don't refute it.
        if self.received.swap(false, Ordering::Relaxed) {
            probes.mark_received(now);
        }
        let probe = probes.doubt(now)?;
        self.doubted.store(true, Ordering::Relaxed);
        Some(probe)
    }

    /// Returns what to do about the peer's calls, the oldest of which has waited since `oldest`.
    fn step(&self, oldest: Option<Instant>, now: Instant) -> Step {
        let mut probes = self.lock();
        if self.received.swap(false, Ordering::Relaxed) {
            probes.mark_received(now);
        }
        probes.step(oldest, now)
    }

    /// Whether `nonce` is that of the last probe, and it has not been answered.
    pub(super) fn has_probed(&self, nonce: u64) -> bool {
        !self.received.load(Ordering::Relaxed) && self.lock().nonce == Some(nonce)
    }

    fn lock(&self) -> MutexGuard<'_, ProbeState> {
        self.probes.lock()
    }
}

/// The next action for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Look again at this time.
    Wait(Instant),
    /// Send a probe with this nonce.
    Probe(u64),
    Lost,
}

/// The probes of a peer. Pure: no clock, no I/O.
#[derive(Debug, Default)]
struct ProbeState {
    received: Option<Instant>,
    probed: Option<Instant>,
    unanswered: u32,
    /// When the last hint came that the peer is gone.
    hinted: Option<Instant>,
    /// Nothing has refuted that hint.
    doubted: bool,
    /// The nonce of the last probe. No one on the bus can guess it.
    nonce: Option<u64>,
}

impl ProbeState {
    fn mark_received(&mut self, now: Instant) {
        self.received = Some(now);
        self.doubted = false;
        self.reset();
    }

    fn doubt(&mut self, now: Instant) -> Option<u64> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < DOUBT;
        if self.doubted || self.hinted.is_some_and(is_recent) {
            return None;
        }
        self.doubted = true;
        self.hinted = Some(now);
        self.nonce = crate::entropy::number();
        Some(self.nonce.unwrap_or_default())
    }

    fn in_doubt(&self, now: Instant) -> Option<Step> {
        let until = self.hinted.filter(|_| self.doubted)? + DOUBT;
        Some(if now < until {
            Step::Wait(until)
        } else {
            Step::Lost
        })
    }

    fn reset(&mut self) {
        self.unanswered = 0;
        self.probed = None;
        self.nonce = None;
    }

    fn step(&mut self, oldest: Option<Instant>, now: Instant) -> Step {
        if let Some(step) = self.in_doubt(now) {
            return step;
        }
        let Some(oldest) = oldest else {
            self.reset();
            return Step::Nothing;
        };
        let quiet_since = self
            .received
            .map_or(oldest, |received| received.max(oldest));
        if now.saturating_duration_since(quiet_since) < PROBE_AFTER {
            return Step::Nothing;
        }
        if self
            .probed
            .is_some_and(|at| now.saturating_duration_since(at) < PROBE_EVERY)
        {
            return Step::Nothing;
        }
        if self.unanswered >= UNANSWERED_PROBES {
            return Step::Lost;
        }
        self.unanswered += 1;
        self.probed = Some(now);
        // Without randomness, a notice that no one received a probe is not even a hint.
        self.nonce = crate::entropy::number();
        Step::Probe(self.nonce.unwrap_or_default())
    }
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
    fn a_silent_peer_is_probed_three_times_and_then_lost() {
        let (mut peer, start) = (ProbeState::default(), Instant::now());
        let since = Some(start);
        assert_eq!(peer.step(since, start + ms(99)), Step::Nothing);
        assert!(asks(peer.step(since, start + ms(100))));
        assert_eq!(peer.step(since, start + ms(250)), Step::Nothing);
        assert!(asks(peer.step(since, start + ms(300))));
        assert!(asks(peer.step(since, start + ms(500))));
        assert_eq!(peer.step(since, start + ms(699)), Step::Nothing);
        assert_eq!(peer.step(since, start + ms(700)), Step::Lost);
    }

    #[test]
    fn a_hint_is_a_loss_only_if_nothing_refutes_it_in_time() {
        let (mut peer, start) = (ProbeState::default(), Instant::now());
        assert!(peer.doubt(start).is_some(), "the peer is probed");
        assert_eq!(peer.doubt(start + ms(10)), None, "once");
        let until = Step::Wait(start + DOUBT);
        assert_eq!(peer.step(Some(start), start + ms(24)), until);
        peer.mark_received(start + ms(24));
        assert_eq!(peer.step(Some(start), start + DOUBT), Step::Nothing);
        assert!(peer.doubt(start + ms(60)).is_some());
        assert_eq!(peer.step(None, start + ms(60) + DOUBT), Step::Lost);
    }

    #[test]
    fn hints_that_are_refuted_at_once_are_taken_at_a_bounded_rate() {
        let (mut peer, start) = (ProbeState::default(), Instant::now());
        let mut probes = 0;
        for at in 0..1_000 {
            probes += u32::from(peer.doubt(start + ms(at)).is_some());
            peer.mark_received(start + ms(at));
        }
        assert_eq!(probes, 40);
    }

    #[test]
    fn a_reply_resets_the_probe_timeout() {
        let (mut peer, start) = (ProbeState::default(), Instant::now());
        let since = Some(start);
        for round in 0..20 {
            let now = start + ms(100 * (round + 1));
            assert!(asks(peer.step(since, now)));
            peer.mark_received(now);
        }
        assert_eq!(peer.step(None, start + ms(9_000)), Step::Nothing);
    }
}
