//! The task around [`Presence`]: hears beats, keeps time, publishes snapshots.

use crate::{
    auth::{Auth, BootGuard, Seen},
    bus::{Body as Carried, Bus, BusError, BusState, Message, Subscription},
    name::ComponentId,
    node::presence::{Change, Peers, Presence},
    subject::Subjects,
    types::Digest,
    wire::{Beat, Body as _, Frame, Goodbye, Kind, Origin},
};
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

/// Beats that may wait: a thousand hosts' worth.
const WAITING: usize = 4_096;
/// Changes that a slow follower may be behind before it has to look at everything again.
const CHANGES: usize = 1_024;
/// How often silence is looked for.
const TICK: Duration = Duration::from_millis(250);

/// What was heard on the bus, one's own words among it.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    Beat(Origin, Arc<Beat>),
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
    let mut guard = BootGuard::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = beats.next() => {
                let Some(message) = message else { return };
                if let Err(reason) = hear(&state, &mut guard, &auth, message) {
                    tracing::debug!(reason, "refused a beat");
                }
            }
            _ = tick.tick() => {
                // While the bus is down it is we who are deaf.
                if *bus.borrow() == BusState::Connected {
                    state.apply(|presence| presence.tick(Instant::now()));
                }
            }
            changed = bus.changed() => {
                if changed.is_err() {
                    return;
                }
                if *bus.borrow_and_update() == BusState::Connected {
                    state.presence.lock().unwrap_or_else(PoisonError::into_inner).reconnected(Instant::now());
                }
            }
        }
    }
}

fn hear(state: &State, guard: &mut BootGuard, auth: &Auth, message: Message) -> Result<(), String> {
    let Carried::Payload(bytes) = message.body else {
        return Ok(());
    };
    let frame = Frame::open(auth, bytes).map_err(|error| error.to_string())?;
    let now = Instant::now();
    let seen = guard.see(&frame, now);
    if frame.target().is_some() || seen == Seen::Before {
        return Err("it was seen before, or is not for everyone".to_owned());
    }
    for envelope in frame.envelopes() {
        match frame.kind() {
            Kind::Beat => {
                let beat = Beat::decode(envelope).map_err(|error| error.to_string())?;
                if seen == Seen::OlderBoot {
                    let _ = state
                        .heard
                        .send(Heard::OlderBeat(frame.sender().clone(), Arc::new(beat)));
                    continue;
                }
                if state.heard.receiver_count() > 0 {
                    let beat = Heard::Beat(frame.sender().clone(), Arc::new(beat.clone()));
                    // Whoever listened has just gone: fine.
                    let _ = state.heard.send(beat);
                }
                state.apply(|presence| presence.beat(frame.sender(), beat, now));
            }
            Kind::Goodbye => {
                Goodbye::decode(envelope).map_err(|error| error.to_string())?;
                let _ = state.heard.send(Heard::Goodbye(frame.sender().clone()));
                state.apply(|presence| presence.goodbye(frame.sender(), now));
            }
            other => return Err(format!("a frame of kind {other:?} among the beats")),
        }
    }
    Ok(())
}
