//! Reads heartbeats, keep-alives and goodbyes as they arrive.

use super::{
    parts::{Assembled, Parts},
    presence::Peers,
    watcher::{MemberEvent, Snapshots},
};
use crate::{
    bus::Message,
    name::HostId,
    replay::BootGuard,
    transport::receiver::{Boot, Receiver, Refused},
    wire::{Beat, BeatPart, Body as _, Goodbye, KeepAlive, Kind, Origin},
};
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;

/// Beats kept of hosts that may be gone.
const SPARE: usize = 64;

/// Reads beats, and remembers what it needs for the next ones.
#[derive(Debug)]
pub(super) struct BeatReader {
    receiver: Receiver<BootGuard>,
    /// The last beat of each host, which keep-alives repeat.
    last: HashMap<HostId, (Origin, Arc<Beat>)>,
    /// The newest beat or keep-alive of each host, by its number.
    newest: HashMap<HostId, (Origin, u64)>,
    /// Beats that have not arrived whole.
    parts: Parts,
}

impl BeatReader {
    pub(super) fn new(receiver: Receiver<BootGuard>) -> Self {
        Self {
            receiver,
            last: HashMap::new(),
            newest: HashMap::new(),
            parts: Parts::default(),
        }
    }

    pub(super) fn take(&mut self, snapshots: &Snapshots, message: Message) {
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
        let unsaid = Some(part.unsaid.clone()).filter(|unsaid| !unsaid.is_empty());
        let head = part.beat.clone();
        match self.parts.take(from, part)? {
            Assembled::Whole(beat) if unsaid.is_none() => {
                self.whole(snapshots, from, boot, beat);
            }
            Assembled::Whole(_) | Assembled::Begun if boot == Boot::Newest => {
                let known = self.last.get(&from.host);
                let known = known.filter(|(origin, _)| origin == from);
                let last = match known {
                    Some((_, last)) => Beat {
                        labels: last.labels.clone(),
                        components: last.components.clone(),
                        ..head
                    },
                    None if unsaid.is_some() => head,
                    None => return Ok(()),
                };
                snapshots.publish(MemberEvent::Alive(from.clone(), Arc::new(last.clone())));
                snapshots.apply(|presence| presence.alive(from, last, unsaid, Instant::now()));
            }
            Assembled::Whole(_) | Assembled::Begun | Assembled::Continued => {}
        }
        Ok(())
    }

    /// Returns whether no later beat of that boot was received. An older one may have been delayed,
    /// and its contents are outdated.
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
            snapshots.publish(MemberEvent::Alive(from.clone(), Arc::new(beat.clone())));
            snapshots.apply(|presence| presence.beat(from, beat, now));
        }
    }

    /// Forgets hosts that are gone.
    pub(super) fn tidy(&mut self, peers: &Peers) {
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
    use super::{super::watcher::accepts, *};
    use crate::{
        auth::Auth,
        name::ComponentId,
        store::{Incarnation, Revision},
        subject::Subject,
        types::Digest,
        wire::{Duty, FrameWriter, Served, Versions},
    };
    use std::collections::BTreeMap;
    use tokio::sync::broadcast;

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
            let snapshots = Snapshots::new();
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

        // A beat without contents removes nothing that is known.
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
