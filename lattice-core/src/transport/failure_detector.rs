//! Detects that a host is gone while calls wait for its replies.
//!
//! When a call has waited for [`PROBE_AFTER`], its host is probed, once per host and not per call.
//! [`MISSES`] unanswered probes, [`PROBE_EVERY`] apart, end every call to that boot of the host. So
//! does a notice of the bus that no one received a probe.

use super::{Events, Transport, id::ReplyAddress, peer::PeerConn};
use crate::{
    sync::Mutex,
    wire::{Body as _, Frame, Probe, ProbeAck},
};
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
const MISSES: u32 = 3;
/// How often calls in flight are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Ends calls at their deadlines, probes hosts that keep calls waiting, and ends the calls of those
/// that are gone.
pub(crate) async fn run(transport: Arc<Transport>, events: Arc<impl Events>) {
    loop {
        let now = Instant::now();
        let found = transport.in_flight.sweep(now);
        let peers = transport.peers.snapshot();
        for peer in peers.values() {
            let oldest = found.oldest.get(&peer.token).copied();
            match peer.liveness.step(oldest, now) {
                Step::Nothing => {}
                Step::Probe(nonce) => transport.probe(peer, nonce).await,
                Step::Lost => {
                    events.host_lost(&peer.peer);
                    transport.peer_lost(&peer.peer);
                }
            }
        }
        let look = found.next_deadline.map(|at| at.min(now + LOOK));
        if !transport.in_flight.sweep_again(look) {
            continue;
        }
        match look {
            Some(look) => tokio::select! {
                biased;
                () = sleep_until(look) => {}
                () = transport.new_deadline.notified() => {}
            },
            None => transport.new_deadline.notified().await,
        }
    }
}

impl Transport {
    async fn probe(&self, peer: &PeerConn, nonce: u64) {
        let (endpoint, to) = (&self.endpoint, &peer.peer);
        let subject = endpoint.subjects().call(&to.host, to.epoch);
        let reply = ReplyAddress::Peer(peer.token, nonce);
        let reply = reply.subject(endpoint.subjects(), endpoint.origin());
        let probe = Probe { nonce };
        let sent = endpoint.send(subject, Some(reply), Some(to), &probe).await;
        if let Err(error) = sent {
            tracing::debug!(%error, host = %to.host, "a probe was not sent");
        }
    }

    /// Answers the probes of another host.
    pub(crate) async fn acknowledge(&self, probes: &Frame) {
        for envelope in probes.envelopes() {
            match Probe::decode(envelope) {
                Ok(probe) => {
                    let ack = ProbeAck {
                        nonce: probe.nonce,
                        epoch: self.endpoint.origin().epoch,
                    };
                    self.reply_alone(probes.sender(), &ack).await;
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
    watch: Mutex<Watch>,
}

impl Liveness {
    /// Notes that something authentic arrived from the peer.
    pub(super) fn mark_received(&self) {
        self.received.store(true, Ordering::Relaxed);
    }

    /// Returns what to do about the peer's calls, the oldest of which has waited since `oldest`.
    fn step(&self, oldest: Option<Instant>, now: Instant) -> Step {
        let mut watch = self.lock();
        if self.received.swap(false, Ordering::Relaxed) {
            watch.mark_received(now);
        }
        watch.step(oldest, now)
    }

    /// Whether `nonce` is that of the last probe, and it has not been answered.
    pub(super) fn has_probed(&self, nonce: u64) -> bool {
        !self.received.load(Ordering::Relaxed) && self.lock().nonce == Some(nonce)
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock()
    }
}

/// The next action for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Send a probe with this nonce.
    Probe(u64),
    Lost,
}

/// The pure part: no clock, no I/O.
#[derive(Debug, Default)]
struct Watch {
    received: Option<Instant>,
    probed: Option<Instant>,
    unanswered: u32,
    /// The nonce of the last probe. No one on the bus can guess it.
    nonce: Option<u64>,
}

impl Watch {
    fn mark_received(&mut self, now: Instant) {
        self.received = Some(now);
        self.reset();
    }

    fn reset(&mut self) {
        self.unanswered = 0;
        self.probed = None;
        self.nonce = None;
    }

    fn step(&mut self, oldest: Option<Instant>, now: Instant) -> Step {
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
        if self.unanswered >= MISSES {
            return Step::Lost;
        }
        self.unanswered += 1;
        self.probed = Some(now);
        // Without randomness, a notice that no one received a probe proves nothing.
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
    fn a_reply_resets_the_probe_timeout() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let since = Some(start);
        for round in 0..20 {
            let now = start + ms(100 * (round + 1));
            assert!(asks(watch.step(since, now)));
            watch.mark_received(now);
        }
        assert_eq!(watch.step(None, start + ms(9_000)), Step::Nothing);
    }
}
