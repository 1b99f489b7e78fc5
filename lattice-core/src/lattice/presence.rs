//! The task around [`Presence`]: hears beats, keeps time, publishes snapshots.

use crate::{
    auth::Auth,
    bus::{Body as Carried, Bus, BusError, BusState, Message, Subscription},
    name::{ComponentId, HostId},
    node::presence::{Change, Peers, Presence},
    replay::{BootGuard, Seen},
    subject::Subjects,
    types::Digest,
    wire::{Beat, Body as _, Frame, Goodbye, KeepAlive, Kind, Origin},
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    task::unconstrained,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

/// Beats that may wait: a thousand hosts' worth.
const WAITING: usize = 4_096;
/// Changes that a slow follower may be behind before it has to look at everything again.
const CHANGES: usize = 1_024;
/// Beats kept of hosts that may be gone.
const SPARE: usize = 64;
/// How often silence is looked for.
const TICK: Duration = Duration::from_millis(250);
/// Whoever has not looked for this long was stopped, or the machine was.
const STOPPED: Duration = Duration::from_secs(1);

/// What was heard on the bus, one's own words among it.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    Beat(Origin, Arc<Beat>),
    /// Whoever sent this beat last is alive, and does something else by now.
    Alive(Origin, Arc<Beat>),
    /// One of a boot that a later one has taken the place of: two hosts have one id.
    OlderBeat(Origin, Arc<Beat>),
    Goodbye(Origin),
}

/// Who is there, kept up to date.
#[derive(Debug)]
pub(crate) struct PresenceKeeper {
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    presence: Mutex<Presence>,
    peers: ArcSwap<Peers>,
    changes: broadcast::Sender<Change>,
    heard: broadcast::Sender<Heard>,
    version: watch::Sender<u64>,
}

impl PresenceKeeper {
    pub(super) async fn start(
        subjects: &Subjects,
        bus: Arc<dyn Bus>,
        auth: Auth,
    ) -> Result<Self, BusError> {
        let beats = bus.subscribe(subjects.beat(), WAITING).await?;
        let state = Arc::new(State {
            presence: Mutex::default(),
            peers: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGES),
            heard: broadcast::Sender::new(CHANGES),
            version: watch::Sender::new(0),
        });
        let task = tokio::spawn(listen(state.clone(), beats, bus.state(), auth));
        Ok(Self {
            state,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Everyone who is there.
    pub(crate) fn peers(&self) -> Arc<Peers> {
        self.state.peers.load_full()
    }

    /// The same for the length of a lookup, without a count kept.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Peers>> {
        self.state.peers.load()
    }

    /// What changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.state.changes.subscribe()
    }

    /// Every beat and goodbye from now on, as they come in.
    pub(crate) fn heard(&self) -> broadcast::Receiver<Heard> {
        self.state.heard.subscribe()
    }

    /// A beat of a node on this connection.
    pub(crate) fn beat(&self, from: &Origin, beat: Beat) {
        self.state
            .apply(|presence| presence.beat(from, beat, Instant::now()));
    }

    /// A goodbye of a node on this connection.
    pub(crate) fn goodbye(&self, from: &Origin) {
        self.state
            .apply(|presence| presence.goodbye(from, Instant::now()));
    }

    /// A caller found this boot gone.
    pub(crate) fn lost(&self, who: &Origin) {
        self.state.apply(|presence| presence.lost(who));
    }

    /// Somebody says that these serve `component`.
    pub(crate) fn found(&self, component: &ComponentId, hosts: &[(Origin, Digest)]) {
        for (origin, digest) in hosts {
            self.state
                .apply(|presence| presence.found(origin, component, *digest, Instant::now()));
        }
    }

    /// Waits until some host serves `component`.
    pub(crate) async fn served(&self, component: &ComponentId) {
        let mut version = self.state.version.subscribe();
        while self.peers().serving(component).is_empty() {
            if version.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn tell(&self, heard: Heard) {
        // Nobody may be listening: fine.
        let _ = self.heard.send(heard);
    }

    fn beat(&self, from: &Origin, beat: Arc<Beat>, now: Instant) {
        self.tell(Heard::Beat(from.clone(), beat.clone()));
        self.apply(|presence| presence.beat(from, Arc::unwrap_or_clone(beat), now));
    }

    fn apply(&self, event: impl FnOnce(&mut Presence) -> Change) {
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let change = event(&mut presence);
        if change == Change::None {
            return;
        }
        self.peers.store(Arc::new(presence.snapshot()));
        drop(presence);
        // Nobody may be following: that is fine.
        let _ = self.changes.send(change);
        self.version.send_modify(|version| *version += 1);
    }
}

async fn listen(
    state: Arc<State>,
    mut beats: Subscription,
    mut bus: watch::Receiver<BusState>,
    auth: Auth,
) {
    let mut ear = Ear::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            biased;
            changed = bus.changed() => {
                if changed.is_err() {
                    return;
                }
                if *bus.borrow_and_update() == BusState::Connected {
                    state.presence.lock().unwrap_or_else(PoisonError::into_inner).reconnected(Instant::now());
                }
            }
            _ = tick.tick() => {
                // Whoever was stopped for a while first hears what was said meanwhile.
                for _ in 0..WAITING {
                    let Some(message) = unconstrained(beats.next()).now_or_never().flatten() else {
                        break;
                    };
                    ear.take(&state, &auth, message);
                }
                ear.tidy(&state.peers.load());
                // While the bus is down it is we who are deaf, and so it is when we were stopped: what was said meanwhile may
                // still be on its way through this process.
                let now = Instant::now();
                let was_stopped = now.saturating_duration_since(last) > STOPPED;
                last = now;
                if was_stopped {
                    state.presence.lock().unwrap_or_else(PoisonError::into_inner).reconnected(now);
                } else if *bus.borrow() == BusState::Connected {
                    state.apply(|presence| presence.tick(now));
                }
            }
            // Last: of these there may be more than can be read.
            message = beats.next() => {
                let Some(message) = message else { return };
                ear.take(&state, &auth, message);
            }
        }
    }
}

/// What the listener remembers of whom it hears.
#[derive(Debug, Default)]
struct Ear {
    guard: BootGuard,
    /// The last beats, which pulses stand for.
    last: HashMap<HostId, (Origin, Arc<Beat>)>,
}

impl Ear {
    fn take(&mut self, state: &State, auth: &Auth, message: Message) {
        if let Err(reason) = self.hear(state, auth, message) {
            tracing::debug!(reason, "refused a beat");
        }
    }

    fn hear(&mut self, state: &State, auth: &Auth, message: Message) -> Result<(), String> {
        let Carried::Payload(bytes) = message.body else {
            return Ok(());
        };
        let frame = Frame::open(auth, bytes).map_err(|error| error.to_string())?;
        let now = Instant::now();
        let seen = self.guard.see(&frame, now.into_std());
        if frame.target().is_some() || seen == Seen::Before {
            return Err("it was seen before, or is not for everyone".to_owned());
        }
        let from = frame.sender();
        for envelope in frame.envelopes() {
            match frame.kind() {
                Kind::Beat => {
                    let beat = Beat::decode(envelope).map_err(|error| error.to_string())?;
                    let beat = Arc::new(beat);
                    if seen == Seen::OlderBoot {
                        state.tell(Heard::OlderBeat(from.clone(), beat));
                        continue;
                    }
                    let last = (from.clone(), beat.clone());
                    self.last.insert(from.host.clone(), last);
                    state.beat(from, beat, now);
                }
                Kind::KeepAlive => {
                    let pulse = KeepAlive::decode(envelope).map_err(|error| error.to_string())?;
                    self.pulse(state, from, &pulse, now);
                }
                Kind::Goodbye => {
                    Goodbye::decode(envelope).map_err(|error| error.to_string())?;
                    state.tell(Heard::Goodbye(from.clone()));
                    state.apply(|presence| presence.goodbye(from, now));
                }
                other => return Err(format!("a frame of kind {other:?} among the beats")),
            }
        }
        Ok(())
    }

    /// Whoever was never heard before joins with its next beat.
    fn pulse(&self, state: &State, from: &Origin, pulse: &KeepAlive, now: Instant) {
        let known = self.last.get(&from.host);
        let Some((_, last)) = known.filter(|(origin, _)| origin == from) else {
            return;
        };
        let (beat, is_same) = pulse.of(last);
        if is_same {
            state.beat(from, Arc::new(beat), now);
        } else {
            // A beat was missed: it is alive, and what it does is said again soon.
            state.tell(Heard::Alive(from.clone(), Arc::new(beat.clone())));
            state.apply(|presence| presence.beat(from, beat, now));
        }
    }

    /// Forgets who is gone.
    fn tidy(&mut self, peers: &Peers) {
        if self.last.len() > 2 * peers.iter().count() + SPARE {
            self.last.retain(|_, (origin, _)| peers.contains(origin));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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

    fn state() -> State {
        State {
            presence: Mutex::default(),
            peers: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGES),
            heard: broadcast::Sender::new(CHANGES),
            version: watch::Sender::new(0),
        }
    }

    /// One host speaks, and what it says is told.
    struct Line {
        state: State,
        ear: Ear,
        told: broadcast::Receiver<Heard>,
        said: u64,
    }

    impl Line {
        fn says<B: crate::wire::Body>(&mut self, body: &B) -> String {
            self.said += 1;
            let (auth, from) = (Auth::trusting(), HostId::new("h").expect("a host"));
            let frame = FrameWriter::message(&auth, Origin::new(from, 1), None, self.said, body);
            let message = Message {
                subject: Subject::from_wire("beat"),
                reply: None,
                body: Carried::Payload(frame.expect("a frame")),
            };
            let heard = self.ear.hear(&self.state, &auth, message);
            heard.expect("it is heard");
            match self.told.try_recv() {
                Ok(Heard::Beat(_, beat)) => format!("beat of {}", beat.components.len()),
                Ok(Heard::Alive(..)) => "alive".to_owned(),
                Ok(other) => panic!("{other:?}"),
                Err(_) => "nothing".to_owned(),
            }
        }
    }

    #[test]
    fn a_pulse_is_the_last_beat_again_or_a_sign_of_life() {
        let state = state();
        let mut line = Line {
            told: state.heard.subscribe(),
            state,
            ear: Ear::default(),
            said: 0,
        };
        let (first, second) = (beat(1, &["a"]), beat(2, &["a", "b"]));
        let pulse = |of: &Beat| KeepAlive::repeats(of, of).expect("the same");
        assert_eq!(line.says(&pulse(&first)), "nothing");
        assert_eq!(line.says(&first), "beat of 1");
        assert_eq!(line.says(&pulse(&first)), "beat of 1");
        assert_eq!(line.says(&pulse(&second)), "alive");
        assert_eq!(line.says(&second), "beat of 2");
        assert_eq!(line.says(&pulse(&second)), "beat of 2");
        assert_eq!(KeepAlive::repeats(&first, &second), None);
    }
}
