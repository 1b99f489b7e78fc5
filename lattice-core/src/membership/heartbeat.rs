//! A node's own beats: once a second, and soon after something changed. Among many hosts most of
//! them are keep-alives.

use super::{Membership, ReplicaCounts};
use crate::{
    entropy,
    replica::Replica,
    transport::endpoint::SendError,
    wire::{Beat, Goodbye, KeepAlive, Served, Versions},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};

/// How soon after the last beat changes may be sent: a component that was added or removed, or a
/// new host.
const SOONEST: Duration = Duration::from_millis(50);

/// How long the bus may take to accept a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The components that a node has in service, for its beats.
pub(crate) trait Roster: Send + Sync + 'static {
    /// Whether there are none.
    fn is_empty(&self) -> bool;
    /// The components that take calls.
    fn components(&self, replica_counts: &ReplicaCounts) -> Vec<Served>;
}

/// Sends beats for as long as the node lives.
pub(crate) async fn run(membership: Arc<Membership>, roster: Arc<impl Roster>, replica: Replica) {
    let mut known = false;
    let mut sent = SentBeats::default();
    loop {
        let interval = Beat::interval_among(membership.presence.peers().iter().count());
        let speaks = membership.speaks(&*roster);
        // Once more after the last component is gone, so that no host looks for it here.
        if (speaks || known) && !membership.is_leaving() {
            membership
                .send_beat(&*roster, &replica, interval, &mut sent)
                .await;
            known = speaks;
        }
        let due = Instant::now() + interval;
        let soonest = Instant::now() + SOONEST;
        tokio::select! {
            biased;
            () = sleep_until(due) => {}
            () = membership.changed.notified() => {
                // There may be a new host, which has received no beat of ours.
                sent = SentBeats::default();
                sleep_until(soonest).await;
            }
        }
    }
}

impl Membership {
    async fn send_beat(
        &self,
        roster: &impl Roster,
        replica: &Replica,
        interval: Duration,
        sent: &mut SentBeats,
    ) {
        let table = replica.links();
        let beat = Beat {
            sent_ms: entropy::since_1970().as_millis() as u64,
            components: roster.components(&self.replica_counts.load()),
            duty: self.duty(),
            labels: self.labels.clone(),
            incarnation: table.incarnation(),
            revision: table.revision(),
            versions: Versions::OURS,
            interval_ms: interval.as_millis() as u32,
        };
        drop(table);
        let endpoint = &self.transport.endpoint;
        // Callers on this connection need not wait until the bus delivers it.
        self.presence.beat(endpoint.origin(), beat.clone());
        let subject = endpoint.subjects().beat();
        let shortened = sent.shortened(beat);
        let send = async {
            match shortened {
                Shortened::Beat(beat) => endpoint.send(subject, None, None, &*beat).await,
                Shortened::KeepAlive(keep_alive) => {
                    endpoint.send(subject, None, None, &keep_alive).await
                }
            }
        };
        // While the bus takes nothing, callers on this connection still get the next beat.
        let result = timeout(interval, send).await;
        if !matches!(result, Ok(Ok(()))) {
            // The next beat is sent whole.
            *sent = SentBeats::default();
        }
        let Ok(result) = result else {
            return tracing::debug!("the bus did not take a beat in time");
        };
        match result {
            Ok(()) => {}
            Err(SendError::Encode(error)) => tracing::error!(
                %error,
                "a beat exceeds the frame limit; serve fewer components on this host, or shorten its labels"
            ),
            Err(error) => tracing::debug!(%error, "a beat was not sent"),
        }
    }

    /// Announces that this node leaves: from now on it sends no beats, and others send it no new
    /// calls.
    pub(crate) async fn leave(&self, grace: Duration) {
        self.stop_beats();
        let endpoint = &self.transport.endpoint;
        self.presence.goodbye(endpoint.origin());
        let goodbye = Goodbye {
            grace_ms: grace.as_millis() as u32,
        };
        let subject = endpoint.subjects().beat();
        match timeout(GOODBYE, endpoint.send(subject, None, None, &goodbye)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the goodbye was not sent"),
            Err(_) => tracing::debug!("the bus did not take the goodbye in time"),
        }
    }
}

/// The last whole beat, and how often it was repeated.
#[derive(Debug, Default)]
struct SentBeats {
    beat: Option<Arc<Beat>>,
    /// Keep-alives sent since.
    keep_alives: u32,
}

/// A beat as it is sent.
#[derive(Debug, PartialEq)]
enum Shortened {
    Beat(Arc<Beat>),
    KeepAlive(KeepAlive),
}

impl SentBeats {
    /// Returns a keep-alive in place of a beat that repeats the last one. Among few hosts every
    /// beat is sent whole.
    fn shortened(&mut self, beat: Beat) -> Shortened {
        let is_crowd = beat.interval() > Beat::interval_among(0);
        let repeats = self
            .beat
            .as_deref()
            .filter(|_| is_crowd && self.keep_alives < KeepAlive::BETWEEN_BEATS)
            .and_then(|last| KeepAlive::repeats(last, &beat));
        if let Some(keep_alive) = repeats {
            self.keep_alives += 1;
            return Shortened::KeepAlive(keep_alive);
        }
        let beat = Arc::new(beat);
        self.beat = Some(beat.clone());
        self.keep_alives = 0;
        Shortened::Beat(beat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        bus::{Body as Carried, Bus as _, memory::MemoryNetwork},
        membership::{Announce, PresenceWatcher, ReplicaCounts},
        name::{HostId, LatticeName},
        store::{MemoryStore, record::Records},
        subject::Subjects,
        transport::{Medium, Transport},
        wire::{Duty, Frame, Kind, Origin},
    };
    use futures_util::StreamExt as _;
    use std::collections::BTreeMap;

    /// A host that serves nothing.
    struct Idle;

    impl Roster for Idle {
        fn is_empty(&self) -> bool {
            true
        }

        fn components(&self, _: &ReplicaCounts) -> Vec<Served> {
            Vec::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_was_not_sent_is_not_repeated_by_a_keep_alive() {
        let (network, auth) = (MemoryNetwork::new(), Auth::trusting());
        let bus = network.connect();
        let medium = || Medium {
            bus: Arc::new(bus.clone()),
            subjects: Subjects::new(&LatticeName::new("dev").expect("valid")),
            auth: auth.clone(),
        };
        let presence = PresenceWatcher::start(medium()).await.expect("it starts");
        let me = Origin::new(HostId::new("me").expect("valid"), 1);
        let opened = Transport::open(medium(), me).await;
        let (transport, _subscriptions) = opened.expect("it opens");
        let (presence, labels) = (Arc::new(presence), BTreeMap::new());
        let me = Membership::new(transport, presence, labels, Announce::Always);
        let records = Records::new(Arc::new(MemoryStore::new()), auth.clone());
        let replica = Replica::follow(records).await.expect("it follows");
        let other = network.connect();
        let beats = other.subscribe(medium().subjects.beat(), 16).await;
        let mut beats = beats.expect("it subscribes");

        let (interval, mut sent) = (Duration::from_secs(5), SentBeats::default());
        bus.disconnect();
        me.send_beat(&Idle, &replica, interval, &mut sent).await;
        bus.reconnect();
        for kind in [Kind::Beat, Kind::KeepAlive] {
            me.send_beat(&Idle, &replica, interval, &mut sent).await;
            let message = timeout(Duration::from_secs(5), beats.next()).await;
            let message = message.expect("it arrives").expect("a message");
            let Carried::Payload(bytes) = message.body else {
                panic!("a payload")
            };
            let frame = Frame::open(&auth, bytes).expect("a frame");
            assert_eq!(frame.kind(), kind);
        }
    }

    #[test]
    fn many_hosts_send_beats_less_often() {
        let second = Duration::from_secs(1);
        assert_eq!(Beat::interval_among(0), second);
        assert_eq!(Beat::interval_among(200), second);
        assert_eq!(Beat::interval_among(1_000), second * 5);
    }

    fn beat(interval: Duration, revision: u64, labels: &[(&str, &str)]) -> Beat {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Beat {
            sent_ms: revision,
            interval_ms: interval.as_millis() as u32,
            versions: Versions::OURS,
            incarnation: crate::store::Incarnation(1),
            revision: crate::store::Revision(revision),
            labels: labels.iter().map(text).collect(),
            duty: Duty::Works,
            components: Vec::new(),
        }
    }

    #[test]
    fn with_many_hosts_unchanged_beats_are_shortened_and_sometimes_sent_in_full() {
        let (mut sent, slow) = (SentBeats::default(), Duration::from_secs(5));
        let mut send = |revision, labels: &[_]| match sent.shortened(beat(slow, revision, labels)) {
            Shortened::Beat(_) => "beat",
            Shortened::KeepAlive(keep_alive) if keep_alive.revision.0 == revision => "keep-alive",
            Shortened::KeepAlive(keep_alive) => panic!("{keep_alive:?}"),
        };
        for round in 0..3 {
            assert_eq!(send(10 * round, &[]), "beat");
            for number in 1..=u64::from(KeepAlive::BETWEEN_BEATS) {
                assert_eq!(send(10 * round + number, &[]), "keep-alive");
            }
        }
        assert_eq!(send(90, &[("zone", "eu")]), "beat", "something changed");
        assert_eq!(send(91, &[("zone", "eu")]), "keep-alive");

        let mut sent = SentBeats::default();
        for revision in 0..20 {
            let shortened = sent.shortened(beat(Duration::from_secs(1), revision, &[]));
            assert!(
                matches!(shortened, Shortened::Beat(_)),
                "with few hosts, the beat is sent"
            );
        }
    }
}
