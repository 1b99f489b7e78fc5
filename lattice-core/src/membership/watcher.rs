//! The task around [`Presence`]: reads beats, keeps time, publishes snapshots.

use super::{
    parts::{Assembled, Parts},
    presence::{Change, Peers, Presence},
};
use crate::{
    bus::{BusError, BusState, Message, Subscription},
    name::{ComponentId, HostId},
    replay::BootGuard,
    sync::Mutex,
    transport::{
        Medium,
        overflow::Overflow,
        receiver::{Audience, Boot, Receiver, Refused},
    },
    types::Digest,
    wire::{Beat, BeatPart, Body as _, Goodbye, KeepAlive, Kind, Origin},
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    task::unconstrained,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

/// Beats that may wait: enough for a thousand hosts.
const WAITING: usize = 4_096;
/// How many changes a slow follower may be behind before it has to read all hosts again.
const CHANGES: usize = 1_024;
/// Beats kept of hosts that may be gone.
const SPARE: usize = 64;
/// How often silent hosts are looked for.
const TICK: Duration = Duration::from_millis(250);
/// If the last tick was longer ago than this, this process or the machine was stopped.
const STOPPED: Duration = Duration::from_secs(1);

/// A message from a host, including this one.
#[derive(Debug, Clone)]
pub(crate) enum MemberEvent {
    Beat(Origin, Arc<Beat>),
    /// The sender of this last beat is alive, but a later beat was missed.
    Alive(Origin, Arc<Beat>),
    /// A beat of a boot that a later one has replaced: two hosts may have one id.
    OlderBeat(Origin, Arc<Beat>),
    Goodbye(Origin),
}

impl MemberEvent {
    /// The boot of a host that it is about.
    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Beat(origin, _)
            | Self::Alive(origin, _)
            | Self::OlderBeat(origin, _)
            | Self::Goodbye(origin) => origin,
        }
    }
}

/// The live hosts, kept up to date.
#[derive(Debug)]
pub(crate) struct PresenceWatcher {
    snapshots: Arc<Snapshots>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Snapshots {
    presence: Mutex<Presence>,
    peers: ArcSwap<Peers>,
    changes: broadcast::Sender<Change>,
    events: broadcast::Sender<MemberEvent>,
    version: watch::Sender<u64>,
}

impl PresenceWatcher {
    /// Starts to watch the beats on this bus.
    pub(crate) async fn start(medium: Medium) -> Result<Self, BusError> {
        let Medium {
            bus,
            subjects,
            auth,
            budgets,
        } = medium;
        let beats = bus.subscribe(subjects.beat(), WAITING).await?;
        beats.share(&budgets.received);
        let snapshots = Arc::new(Snapshots {
            presence: Mutex::default(),
            peers: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGES),
            events: broadcast::Sender::new(CHANGES),
            version: watch::Sender::new(0),
        });
        let reader = BeatReader::new(Receiver::new(auth, accepts));
        let task = tokio::spawn(run(snapshots.clone(), reader, beats, bus.state()));
        Ok(Self {
            snapshots,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Every live host.
    pub(crate) fn peers(&self) -> Arc<Peers> {
        self.snapshots.peers.load_full()
    }

    /// The same for the length of a lookup, without touching a reference count.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Peers>> {
        self.snapshots.peers.load()
    }

    /// Subscribes to all changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.snapshots.changes.subscribe()
    }

    /// Subscribes to every beat and goodbye from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<MemberEvent> {
        self.snapshots.events.subscribe()
    }

    /// Takes a beat of a node on this connection, which may have left something `unsaid` to others.
    pub(crate) fn beat(&self, from: &Origin, beat: Beat, unsaid: Option<String>) {
        self.snapshots
            .apply(|presence| presence.incomplete_beat(from, beat, unsaid, Instant::now()));
    }

    /// Takes a goodbye of a node on this connection.
    pub(crate) fn goodbye(&self, from: &Origin) {
        self.snapshots
            .apply(|presence| presence.goodbye(from, Instant::now()));
    }

    /// Removes a boot of a host that a caller has lost.
    pub(crate) fn lost(&self, who: &Origin) {
        self.snapshots.apply(|presence| presence.lost(who));
    }

    /// Adds hosts that serve `component`, as another host reports.
    pub(crate) fn found(&self, component: &ComponentId, hosts: &[(Origin, Digest)]) {
        for (origin, digest) in hosts {
            self.snapshots
                .apply(|presence| presence.found(origin, component, *digest, Instant::now()));
        }
    }

    /// Waits until some host serves `component`.
    pub(crate) async fn served(&self, component: &ComponentId) {
        let mut version = self.snapshots.version.subscribe();
        while self.peers().serving(component).is_empty() {
            if version.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Snapshots {
    fn lock(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock()
    }

    fn publish(&self, event: MemberEvent) {
        // There may be no receiver.
        let _ = self.events.send(event);
    }

    fn beat(&self, from: &Origin, beat: Arc<Beat>, now: Instant) {
        self.publish(MemberEvent::Beat(from.clone(), beat.clone()));
        self.apply(|presence| presence.beat(from, Arc::unwrap_or_clone(beat), now));
    }

    /// The host of `beat`, the last one of it that is known, is alive.
    fn alive(&self, from: &Origin, beat: Beat, unsaid: Option<String>, now: Instant) {
        self.publish(MemberEvent::Alive(from.clone(), Arc::new(beat.clone())));
        self.apply(|presence| presence.incomplete_beat(from, beat, unsaid, now));
    }

    fn apply(&self, event: impl FnOnce(&mut Presence) -> Change) {
        let mut presence = self.lock();
        let change = event(&mut presence);
        if change == Change::None {
            return;
        }
        self.peers.store(Arc::new(presence.snapshot()));
        drop(presence);
        // There may be no receiver.
        let _ = self.changes.send(change);
        self.version.send_modify(|version| *version += 1);
    }
}

/// Which frames count as beats.
fn accepts(kind: Kind, audience: Audience) -> bool {
    audience == Audience::Everyone
        && matches!(
            kind,
            Kind::Beat | Kind::BeatPart | Kind::KeepAlive | Kind::Goodbye
        )
}

async fn run(
    snapshots: Arc<Snapshots>,
    mut reader: BeatReader,
    mut beats: Subscription,
    mut bus: watch::Receiver<BusState>,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut overflow) = (Instant::now(), Overflow::default());
    loop {
        tokio::select! {
            biased;
            changed = bus.changed() => {
                if changed.is_err() {
                    return;
                }
                if *bus.borrow_and_update() == BusState::Connected {
                    snapshots.lock().reconnected(Instant::now());
                }
            }
            _ = tick.tick() => {
                // After a stop, what arrived meanwhile is read first.
                for _ in 0..WAITING {
                    let Some(message) = unconstrained(beats.next()).now_or_never().flatten() else {
                        break;
                    };
                    reader.take(&snapshots, message);
                }
                reader.tidy(&snapshots.peers.load());
                overflow.report(beats.dropped(), "heartbeats");
                // While the bus is down, this process receives no beats. After a stop, beats that
                // arrived meanwhile may still be on their way through this process.
                let now = Instant::now();
                let was_stopped = now.saturating_duration_since(last) > STOPPED;
                last = now;
                if was_stopped {
                    snapshots.lock().reconnected(now);
                } else if *bus.borrow() == BusState::Connected {
                    snapshots.apply(|presence| presence.tick(now));
                }
            }
            // Last, since there may be more messages than can be read.
            message = beats.next() => {
                let Some(message) = message else { return };
                reader.take(&snapshots, message);
            }
        }
    }
}

/// Reads beats, and remembers what it needs for the next ones.
#[derive(Debug)]
struct BeatReader {
    receiver: Receiver<BootGuard>,
    /// The last beat of each host, which keep-alives repeat.
    last: HashMap<HostId, (Origin, Arc<Beat>)>,
    /// The newest beat or keep-alive of each host, by its number.
    newest: HashMap<HostId, (Origin, u64)>,
    /// Beats that have not arrived whole.
    parts: Parts,
}

impl BeatReader {
    fn new(receiver: Receiver<BootGuard>) -> Self {
        Self {
            receiver,
            last: HashMap::new(),
            newest: HashMap::new(),
            parts: Parts::default(),
        }
    }

    fn take(&mut self, snapshots: &Snapshots, message: Message) {
        if let Err(reason) = self.read(snapshots, message) {
            tracing::debug!(reason, "refused a beat");
        }
    }

    fn read(&mut self, snapshots: &Snapshots, message: Message) -> Result<(), String> {
        let (frame, boot) = match self.receiver.open(None, message) {
            Ok(opened) => opened,
            Err(Refused::NoPayload) => return Ok(()),
            Err(refused) => return Err(refused.to_string()),
        };
        let (from, now) = (frame.sender(), Instant::now());
        let is_beat = matches!(frame.kind(), Kind::Beat | Kind::BeatPart | Kind::KeepAlive);
        if is_beat && boot == Boot::Newest && !self.is_newest(from, frame.sequence()) {
            return Err("a beat that is older than the last one".to_owned());
        }
        for envelope in frame.envelopes() {
            match frame.kind() {
                Kind::Beat => {
                    let beat = Beat::decode(envelope).map_err(|error| error.to_string())?;
                    self.whole(snapshots, from, boot, beat);
                }
                Kind::BeatPart => {
                    let part = BeatPart::decode(envelope).map_err(|error| error.to_string())?;
                    self.part(snapshots, from, boot, part)?;
                }
                Kind::KeepAlive => {
                    let keep_alive =
                        KeepAlive::decode(envelope).map_err(|error| error.to_string())?;
                    self.keep_alive(snapshots, from, &keep_alive, now);
                }
                Kind::Goodbye => {
                    Goodbye::decode(envelope).map_err(|error| error.to_string())?;
                    snapshots.publish(MemberEvent::Goodbye(from.clone()));
                    snapshots.apply(|presence| presence.goodbye(from, now));
                }
                other => return Err(format!("a frame of kind {other} among the beats")),
            }
        }
        Ok(())
    }

    /// Takes a whole beat.
    fn whole(&mut self, snapshots: &Snapshots, from: &Origin, boot: Boot, beat: Beat) {
        let beat = Arc::new(beat);
        if boot == Boot::Older {
            return snapshots.publish(MemberEvent::OlderBeat(from.clone(), beat));
        }
        let last = (from.clone(), beat.clone());
        self.last.insert(from.host.clone(), last);
        snapshots.beat(from, beat, Instant::now());
    }

    /// Takes a part of a beat. Each shows that the host is alive, but only all of them together say
    /// what it serves.
    fn part(
        &mut self,
        snapshots: &Snapshots,
        from: &Origin,
        boot: Boot,
        part: BeatPart,
    ) -> Result<(), String> {
        let now = Instant::now();
        let unsaid = Some(part.unsaid.clone()).filter(|unsaid| !unsaid.is_empty());
        let head = part.beat.clone();
        match self.parts.take(from, part)? {
            Assembled::Whole(beat) if unsaid.is_none() => {
                self.whole(snapshots, from, boot, beat);
            }
            Assembled::Whole(_) | Assembled::Begun if boot == Boot::Newest => {
                let known = self.last.get(&from.host);
                if let Some((_, last)) = known.filter(|(origin, _)| origin == from) {
                    let beat = Beat {
                        labels: last.labels.clone(),
                        components: last.components.clone(),
                        ..head
                    };
                    snapshots.alive(from, beat, unsaid, now);
                } else if unsaid.is_some() {
                    snapshots.alive(from, head, unsaid, now);
                }
            }
            Assembled::Whole(_) | Assembled::Begun | Assembled::Continued => {}
        }
        Ok(())
    }

    /// Returns whether no later beat of that boot was received. An older one may have been kept back
    /// and says what was true then.
    fn is_newest(&mut self, from: &Origin, number: u64) -> bool {
        let newest = self.newest.get(&from.host);
        if newest.is_some_and(|(origin, newest)| origin == from && *newest > number) {
            return false;
        }
        self.newest
            .insert(from.host.clone(), (from.clone(), number));
        true
    }

    /// Takes a keep-alive. A host that isn't known yet joins with its next beat.
    fn keep_alive(
        &self,
        snapshots: &Snapshots,
        from: &Origin,
        keep_alive: &KeepAlive,
        now: Instant,
    ) {
        let known = self.last.get(&from.host);
        let Some((_, last)) = known.filter(|(origin, _)| origin == from) else {
            return;
        };
        let (beat, is_same) = keep_alive.of(last);
        if is_same {
            snapshots.beat(from, Arc::new(beat), now);
        } else {
            // A beat was missed: the host is alive, and will send a whole beat again soon.
            snapshots.alive(from, beat, None, now);
        }
    }

    /// Forgets hosts that are gone.
    fn tidy(&mut self, peers: &Peers) {
        if self.last.len() > 2 * peers.iter().count() + SPARE {
            self.last.retain(|_, (origin, _)| peers.contains(origin));
        }
        if self.newest.len() > 2 * peers.iter().count() + SPARE {
            self.newest.retain(|_, (origin, _)| peers.contains(origin));
        }
        self.parts.tidy(peers, SPARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        store::{Incarnation, Revision},
        subject::Subject,
        wire::{Duty, FrameWriter, Served, Versions},
    };
    use std::collections::BTreeMap;

    fn beat(sent_ms: u64, components: &[&str]) -> Beat {
        let served = |id: &&str| Served {
            id: ComponentId::new(id).expect("an id"),
            digest: Digest([1; 32]),
            fence: 0,
            replica_counts: Vec::new(),
        };
        Beat {
            sent_ms,
            interval_ms: 5_000,
            versions: Versions::OURS,
            incarnation: Incarnation(1),
            revision: Revision(sent_ms),
            labels: BTreeMap::new(),
            duty: Duty::Works,
            components: components.iter().map(served).collect(),
        }
    }

    fn snapshots() -> Snapshots {
        Snapshots {
            presence: Mutex::default(),
            peers: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGES),
            events: broadcast::Sender::new(CHANGES),
            version: watch::Sender::new(0),
        }
    }

    /// A host that sends beats, and what the watcher publishes of it.
    struct Sender {
        snapshots: Snapshots,
        reader: BeatReader,
        published: broadcast::Receiver<MemberEvent>,
        sent: u64,
    }

    impl Sender {
        fn sends<B: crate::wire::Body>(&mut self, body: &B) -> String {
            self.sent += 1;
            let (auth, from) = (Auth::trusting(), HostId::new("h").expect("a host"));
            let frame = FrameWriter::message(&auth, Origin::new(from, 1), None, self.sent, body);
            let message = Message {
                subject: Subject::from_wire("beat"),
                reply: None,
                body: crate::bus::Body::Payload(frame.expect("a frame")),
                received: Instant::now(),
            };
            if let Err(refused) = self.reader.read(&self.snapshots, message) {
                return refused;
            }
            match self.published.try_recv() {
                Ok(MemberEvent::Beat(_, beat)) => format!("beat of {}", beat.components.len()),
                Ok(MemberEvent::Alive(..)) => "alive".to_owned(),
                Ok(other) => panic!("{other:?}"),
                Err(_) => "nothing".to_owned(),
            }
        }
    }

    impl Sender {
        fn new() -> Self {
            let snapshots = snapshots();
            Self {
                published: snapshots.events.subscribe(),
                snapshots,
                reader: BeatReader::new(Receiver::new(Auth::trusting(), accepts)),
                sent: 0,
            }
        }
    }

    #[test]
    fn a_beat_that_was_kept_back_does_not_replace_a_later_one() {
        let mut host = Sender::new();
        let (first, second) = (beat(1, &["a"]), beat(2, &["a", "b"]));
        host.sent = 7;
        assert_eq!(host.sends(&second), "beat of 2");
        host.sent = 2;
        let refused = "a beat that is older than the last one";
        assert_eq!(host.sends(&first), refused);
        let keep_alive = KeepAlive::repeats(&first, &first).expect("the same");
        assert_eq!(host.sends(&keep_alive), refused);
        host.sent = 8;
        assert_eq!(host.sends(&first), "beat of 1");
    }

    #[test]
    fn a_beat_in_parts_counts_once_it_is_whole_and_until_then_the_host_lives() {
        let mut host = Sender::new();
        let components: Vec<String> = (0..90).map(|at| format!("component-{at:02}")).collect();
        let all: Vec<&str> = components.iter().map(String::as_str).collect();
        let (first, second) = (beat(1, &all), beat(2, &all));
        let parts = |beat: &Beat| beat.parts(2_000).expect("they fit");
        assert_eq!(parts(&first).len(), 3);
        let send = |host: &mut Sender, beat: &Beat, order: &[usize]| {
            let parts = parts(beat);
            let sent = order.iter().map(|at| host.sends(&parts[*at]));
            sent.collect::<Vec<_>>()
        };
        let joins = ["nothing", "nothing", "nothing", "beat of 90"];
        assert_eq!(send(&mut host, &first, &[2, 0, 0, 1]), joins);
        let peers = host.snapshots.peers.load_full();
        let peer = peers.iter().next().expect("it joined");
        assert_eq!((peer.components.len(), &peer.unsaid), (90, &None));
        assert_eq!(send(&mut host, &second, &[0, 1]), ["alive", "nothing"]);
        let again = ["alive", "nothing", "beat of 90"];
        assert_eq!(send(&mut host, &beat(3, &all), &[0, 1, 2]), again);
        let keep_alive = KeepAlive::repeats(&beat(3, &all), &beat(3, &all));
        assert_eq!(host.sends(&keep_alive.expect("the same")), "beat of 90");

        // What it can't say takes nothing away of what is known.
        assert_eq!(
            host.sends(&beat(4, &[]).without_contents("too much")),
            "alive"
        );
        let peers = host.snapshots.peers.load_full();
        let peer = peers.iter().next().expect("it is live");
        let unsaid = Some("too much".to_owned());
        assert_eq!((peer.components.len(), &peer.unsaid), (90, &unsaid));
        assert_eq!(host.sends(&beat(5, &["a"])), "beat of 1");
        let peers = host.snapshots.peers.load_full();
        assert_eq!(peers.iter().next().expect("it is live").unsaid, None);
    }

    #[test]
    fn a_keep_alive_repeats_the_last_beat_or_only_shows_that_the_host_lives() {
        let mut host = Sender::new();
        let (first, second) = (beat(1, &["a"]), beat(2, &["a", "b"]));
        let keep_alive = |of: &Beat| KeepAlive::repeats(of, of).expect("the same");
        assert_eq!(host.sends(&keep_alive(&first)), "nothing");
        assert_eq!(host.sends(&first), "beat of 1");
        assert_eq!(host.sends(&keep_alive(&first)), "beat of 1");
        assert_eq!(host.sends(&keep_alive(&second)), "alive");
        assert_eq!(host.sends(&second), "beat of 2");
        assert_eq!(host.sends(&keep_alive(&second)), "beat of 2");
        assert_eq!(KeepAlive::repeats(&first, &second), None);
    }
}
