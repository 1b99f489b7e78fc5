//! The task around [`Presence`]: reads beats, keeps time, publishes snapshots.

use super::{
    presence::{Change, Peers, Presence},
    reader::BeatReader,
};
use crate::{
    bus::{BusError, BusState, Subscription},
    name::ComponentId,
    sync::Mutex,
    transport::{
        Medium,
        overflow::Overflow,
        receiver::{Audience, Receiver},
    },
    types::Digest,
    watch::Watch,
    wire::{Beat, Kind, Origin},
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
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
pub(super) struct Snapshots {
    presence: Mutex<Presence>,
    pub(super) peers: ArcSwap<Peers>,
    changes: broadcast::Sender<Change>,
    pub(super) events: broadcast::Sender<MemberEvent>,
    version: watch::Sender<u64>,
    /// How many times the bus was lost and is back.
    reconnects: AtomicU64,
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
        let snapshots = Arc::new(Snapshots::new());
        let reader = BeatReader::new(Receiver::new(auth, accepts));
        let mut state = bus.watch_state();
        // The present state isn't a change.
        let _ = state.next().now_or_never();
        let task = tokio::spawn(run(snapshots.clone(), reader, beats, state));
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

    /// Whether this boot of a host was heard of lately: it is live, or leaving.
    pub(crate) fn hears(&self, who: &Origin) -> bool {
        self.snapshots.lock().hears(who)
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

    /// How many times the bus was lost and is back.
    pub(crate) fn reconnects(&self) -> u64 {
        self.snapshots.reconnects.load(Ordering::Relaxed)
    }

    /// Removes a boot of a host that a caller has lost.
    pub(crate) fn lost(&self, who: &Origin) {
        self.snapshots
            .apply(|presence| presence.lost(who, Instant::now()));
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
    pub(super) fn new() -> Self {
        Self {
            presence: Mutex::default(),
            peers: ArcSwap::default(),
            changes: broadcast::Sender::new(CHANGES),
            events: broadcast::Sender::new(CHANGES),
            version: watch::Sender::new(0),
            reconnects: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock()
    }

    pub(super) fn publish(&self, event: MemberEvent) {
        // There may be no receiver.
        let _ = self.events.send(event);
    }

    pub(super) fn beat(&self, from: &Origin, beat: Arc<Beat>, now: Instant) {
        self.publish(MemberEvent::Beat(from.clone(), beat.clone()));
        self.apply(|presence| presence.beat(from, Arc::unwrap_or_clone(beat), now));
    }

    pub(super) fn apply(&self, event: impl FnOnce(&mut Presence) -> Change) {
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
pub(super) fn accepts(kind: Kind, audience: Audience) -> bool {
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
    mut bus: Watch<BusState>,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut overflow) = (Instant::now(), Overflow::default());
    loop {
        tokio::select! {
            biased;
            state = bus.next() => {
                let Some(state) = state else { return };
                if state == BusState::Connected {
                    snapshots.reconnects.fetch_add(1, Ordering::Relaxed);
                    snapshots.lock().reconnected(Instant::now());
                }
            }
            _ = tick.tick() => {
                // After a stop, messages that arrived meanwhile are read first.
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
                } else if bus.current() == BusState::Connected {
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
