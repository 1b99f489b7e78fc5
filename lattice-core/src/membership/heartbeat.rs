//! A node's own beats: once a second, and soon after something changed. Among many hosts, and when
//! a beat needs several messages, most of them are keep-alives. What can't be sent is logged, and a
//! beat without contents takes its place: a host that serves is never silent.

use super::{Membership, ReplicaCounts};
use crate::{
    bus::BusError,
    entropy,
    replica::Replica,
    transport::endpoint::SendError,
    wire::{Beat, Body as _, Goodbye, KeepAlive, MAX_COALESCED, Origin, Served, Versions},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How soon after the last beat changes may be sent: a component that was added or removed, or a
/// new host.
const SOONEST: Duration = Duration::from_millis(50);

/// How long the bus may take to accept a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a beat that can't be sent is logged.
const COMPLAIN: Duration = Duration::from_mins(1);

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
    let (mut sent, mut trouble) = (SentBeats::default(), Trouble::default());
    loop {
        let interval = Beat::interval_among(membership.presence.peers().iter().count());
        // Also after the last component is gone: other hosts would take a node that falls silent
        // for lost, and end the calls that it makes.
        known |= membership.speaks(&*roster);
        if known && !membership.is_leaving() {
            let beat = membership.next_beat(&*roster, &replica, interval);
            membership.send_beat(beat, &mut sent, &mut trouble).await;
        }
        let due = Instant::now() + interval;
        // A beat of many messages would load the bus with each component of many that start.
        let soonest = Instant::now() + interval.min(SOONEST * u32::from(sent.parts.max(1)));
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
    fn next_beat(&self, roster: &impl Roster, replica: &Replica, interval: Duration) -> Beat {
        let table = replica.links();
        // Another host takes the leases of one that doesn't follow the store, or may not write to
        // it.
        let follows = replica.health().state.is_live() && self.takes_leases();
        let follows = follows.then(|| table.incarnation());
        Beat {
            sent_ms: entropy::since_1970().as_millis() as u64,
            components: roster.components(&self.replica_counts.load()),
            duty: self.duty(),
            labels: self.labels.clone(),
            incarnation: follows.unwrap_or_default(),
            revision: table.revision(),
            versions: Versions::OURS,
            interval_ms: interval.as_millis() as u32,
        }
    }

    async fn send_beat(&self, beat: Beat, sent: &mut SentBeats, trouble: &mut Trouble) {
        let (origin, interval) = (self.transport.endpoint.origin(), beat.interval());
        // Callers on this connection need not wait until the bus delivers it.
        self.presence
            .beat(origin, beat.clone(), trouble.unsaid.clone());
        let shortened = sent.shortened(beat);
        let send = async {
            match &shortened {
                Shortened::Beat(beat) => self.send_whole(beat).await,
                Shortened::KeepAlive(keep_alive) => {
                    let subject = self.transport.endpoint.subjects().beat();
                    let sent = self
                        .transport
                        .endpoint
                        .send(subject, None, None, keep_alive);
                    sent.await.map(|()| None)
                }
            }
        };
        // While the bus takes nothing, callers on this connection still get the next beat.
        let result = timeout(interval, send).await;
        if let Ok(Ok(parts)) = result {
            sent.parts = parts.unwrap_or(sent.parts);
            return trouble.ended(origin);
        }
        // The next beat is sent whole.
        *sent = SentBeats::default();
        match result {
            Ok(Err(error)) if is_refused(&error) => {
                if trouble.found(&error, Instant::now()) {
                    tracing::error!(
                        host = %origin.host,
                        %error,
                        "this host can't announce what it serves, so others don't learn of it; raise the server's `max_payload`, serve fewer components on this host, or shorten its labels"
                    );
                }
                if let Shortened::Beat(beat) = &shortened {
                    self.send_without_contents(beat, &error).await;
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "a beat was not sent"),
            _ => tracing::debug!("the bus did not take a beat in time"),
        }
    }

    /// Sends a beat, in several messages if it is large: a large message waits behind others of its
    /// kind, and hosts that receive no beat for three seconds take this one for lost. Returns in
    /// how many.
    async fn send_whole(&self, beat: &Beat) -> Result<Option<u16>, SendError> {
        let endpoint = &self.transport.endpoint;
        let (subject, largest) = (
            endpoint.subjects().beat(),
            endpoint.max_message().min(MAX_COALESCED),
        );
        match beat.encode() {
            Ok(encoded) if encoded.len() <= largest => {
                endpoint.send(subject, None, None, beat).await?;
                return Ok(Some(1));
            }
            _ => {}
        }
        let Some(parts) = beat.parts(largest) else {
            // Sending it fails with the reason.
            endpoint.send(subject, None, None, beat).await?;
            return Ok(Some(1));
        };
        for part in &parts {
            endpoint.send(subject.clone(), None, None, part).await?;
        }
        Ok(Some(parts.len() as u16))
    }

    /// Sends a heartbeat without contents, with the reason.
    async fn send_without_contents(&self, beat: &Beat, why: &SendError) {
        let endpoint = &self.transport.endpoint;
        let part = beat.without_contents(&why.to_string());
        let send = endpoint.send(endpoint.subjects().beat(), None, None, &part);
        match timeout(beat.interval(), send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "not even a beat without contents was sent"),
            Err(_) => tracing::debug!("the bus did not take a beat without contents in time"),
        }
    }

    /// Announces that this node leaves: from now on it sends no beats, and others send it no new
    /// calls. Then does `work`, which is to end what still runs, and meanwhile repeats the goodbye
    /// in place of beats. Otherwise hosts would take this one for lost, and end its calls and
    /// streams.
    pub(crate) async fn leave<T>(&self, grace: Duration, work: impl Future<Output = T>) -> T {
        self.stop_beats();
        self.presence.goodbye(self.origin());
        let goodbye = Goodbye {
            grace_ms: u32::try_from(grace.as_millis()).unwrap_or(u32::MAX),
        };
        self.say(&goodbye).await;
        let repeats = async {
            loop {
                let hosts = self.presence.peers().iter().count();
                sleep(Beat::interval_among(hosts)).await;
                // One that has vanished says nothing.
                if !self.transport.is_closed() {
                    self.say(&goodbye).await;
                }
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            never = repeats => never,
        }
    }

    async fn say(&self, goodbye: &Goodbye) {
        let endpoint = &self.transport.endpoint;
        let subject = endpoint.subjects().beat();
        match timeout(GOODBYE, endpoint.send(subject, None, None, goodbye)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a goodbye was not sent"),
            Err(_) => tracing::debug!("the bus did not take a goodbye in time"),
        }
    }
}

/// Whether the beat itself can't be sent, whatever the state of the bus.
fn is_refused(error: &SendError) -> bool {
    match error {
        SendError::Encode(_) => true,
        SendError::Bus(error) => matches!(error, BusError::TooLarge { .. } | BusError::Refused(_)),
    }
}

/// The part of a node's state that its heartbeats can't contain.
#[derive(Debug, Default)]
struct Trouble {
    unsaid: Option<String>,
    logged: Option<Instant>,
}

impl Trouble {
    /// A beat can't be sent. Returns whether to log that.
    fn found(&mut self, error: &SendError, now: Instant) -> bool {
        self.unsaid = Some(error.to_string());
        let is_due = |at: Instant| now.saturating_duration_since(at) >= COMPLAIN;
        let is_due = self.logged.is_none_or(is_due);
        if is_due {
            self.logged = Some(now);
        }
        is_due
    }

    /// A beat was sent.
    fn ended(&mut self, origin: &Origin) {
        if self.unsaid.take().is_some() {
            tracing::info!(host = %origin.host, "this host announces again what it serves");
        }
    }
}

/// The last whole beat, and how often it was repeated.
#[derive(Debug, Default)]
struct SentBeats {
    /// How many messages it needed.
    parts: u16,
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
    /// beat that fits one message is sent whole.
    fn shortened(&mut self, beat: Beat) -> Shortened {
        let is_costly = beat.interval() > Beat::interval_among(0) || self.parts > 1;
        let repeats = self
            .beat
            .as_deref()
            .filter(|_| is_costly && self.keep_alives < KeepAlive::BETWEEN_BEATS)
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
        budget::Budgets,
        bus::{Body as Carried, Bus as _, memory::MemoryNetwork},
        membership::{Announce, PresenceWatcher, ReplicaCounts},
        name::{HostId, LatticeName},
        store::{MemoryStore, record::Records},
        stream::Ledger,
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
            budgets: Budgets::default(),
        };
        let presence = PresenceWatcher::start(medium()).await.expect("it starts");
        let me = Origin::new(HostId::new("me").expect("valid"), 1);
        let opened = Transport::open(medium(), me, Ledger::new(auth.clone())).await;
        let (transport, _subscriptions) = opened.expect("it opens");
        let (presence, labels) = (Arc::new(presence), BTreeMap::new());
        let me = Membership::new(transport, presence, labels, Announce::Always);
        let records = Records::new(Arc::new(MemoryStore::new()), auth.clone());
        let replica = Replica::follow(records).await.expect("it follows");
        let other = network.connect();
        let beats = other.subscribe(medium().subjects.beat(), 16).await;
        let mut beats = beats.expect("it subscribes");

        let (mut sent, mut trouble) = (SentBeats::default(), Trouble::default());
        let beat = || me.next_beat(&Idle, &replica, Duration::from_secs(5));
        bus.disconnect();
        me.send_beat(beat(), &mut sent, &mut trouble).await;
        bus.reconnect();
        for kind in [Kind::Beat, Kind::KeepAlive] {
            me.send_beat(beat(), &mut sent, &mut trouble).await;
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
    fn a_beat_that_cannot_be_sent_is_logged_at_once_and_then_once_a_minute() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let host = crate::name::HostId::new("h").expect("a host");
        let error = SendError::Bus(BusError::TooLarge { size: 2, limit: 1 });
        assert!(is_refused(&error) && !is_refused(&BusError::Disconnected.into()));
        let found = |trouble: &mut Trouble, after: Duration| trouble.found(&error, start + after);
        assert!(found(&mut trouble, Duration::ZERO));
        assert!(!found(&mut trouble, COMPLAIN / 2));
        assert!(
            trouble
                .unsaid
                .as_ref()
                .is_some_and(|text| text.contains("`max_payload`"))
        );
        trouble.ended(&Origin::new(host, 1));
        assert_eq!(trouble.unsaid, None);
        assert!(
            !found(&mut trouble, COMPLAIN.saturating_sub(SOONEST)),
            "also if it comes and goes"
        );
        assert!(found(&mut trouble, COMPLAIN));
    }

    #[test]
    fn after_a_beat_in_parts_unchanged_beats_are_shortened_among_few_hosts_too() {
        let mut sent = SentBeats::default();
        let mut send = |parts| {
            let shortened = sent.shortened(beat(Duration::from_secs(1), 7, &[]));
            sent.parts = parts;
            matches!(shortened, Shortened::KeepAlive(_))
        };
        assert!(!send(1) && !send(3));
        for _ in 0..KeepAlive::BETWEEN_BEATS {
            assert!(send(3));
        }
        assert!(!send(3));
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
