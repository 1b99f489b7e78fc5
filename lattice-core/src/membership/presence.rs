//! Which hosts are live: the pure rules of membership, fed with beats and the time.
//!
//! A host is known from its first beat on and forgotten on its goodbye, when it has been silent for
//! three of its own intervals, or when a caller has lost it; after the latter two the same boot may
//! come back. The epoch of a host that said goodbye is kept as a tombstone: it is ignored, like any
//! epoch older than one already seen. A host that leaves repeats its goodbye until its calls have
//! ended, and is gone when it has been silent for three intervals after that.
//!
//! A host that is gone without a goodbye stays among the lost ones for ten minutes, so that people
//! can see it, until it is back or says goodbye after all.

mod peers;

#[cfg(feature = "view")]
pub(crate) use peers::LOST_FOR;
pub use peers::{Peer, Peers};

use crate::{
    entropy::HashState,
    id::Fence,
    liveness::{MAX_INTERVAL, MIN_INTERVAL, MISSED_BEATS},
    name::{ComponentId, HostId},
    types::Digest,
    wire::{Beat, Origin, Served},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Departed hosts whose last epoch is remembered, so that a late beat doesn't bring them back.
const TOMBSTONES: usize = 4_096;

/// The state machine.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    peers: Peers,
    /// The epoch, the time and the interval of the last beat of each host.
    last_beats: HashMap<HostId, (u64, Instant, Duration), HashState>,
    /// Highest epoch of each host that said goodbye, and when.
    tombstones: HashMap<HostId, (u64, Instant)>,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing of interest.
    None,
    /// A host, or a new boot of one, that was not there before.
    Joined(Origin),
    /// A known host has changed its served components.
    Updated,
    /// A host said goodbye: it takes no new calls and finishes running ones.
    Leaving(Origin),
    /// A caller of this process has lost a host, perhaps by mistake.
    Lost(Origin),
    /// These are gone.
    Left(Vec<Origin>),
}

impl Presence {
    /// Every live host.
    pub(crate) fn snapshot(&self) -> Peers {
        self.peers.clone()
    }

    /// A beat arrived.
    pub(crate) fn beat(&mut self, from: &Origin, beat: Beat, now: Instant) -> Change {
        self.incomplete_beat(from, beat, None, now)
    }

    /// A beat arrived, of a host that may have left something `unsaid`.
    pub(crate) fn incomplete_beat(
        &mut self,
        from: &Origin,
        beat: Beat,
        unsaid: Option<String>,
        now: Instant,
    ) -> Change {
        if self
            .tombstones
            .get(&from.host)
            .is_some_and(|(epoch, _)| from.epoch <= *epoch)
        {
            return Change::None;
        }
        let known = self.peers.hosts.get(&from.host).cloned();
        if known
            .as_ref()
            .is_some_and(|peer| peer.origin.epoch > from.epoch)
        {
            return Change::None;
        }
        let interval = beat.interval().clamp(MIN_INTERVAL, MAX_INTERVAL);
        self.last_beats
            .insert(from.host.clone(), (from.epoch, now, interval));
        self.peers.heard(&from.host);
        let fences = beat.components.iter().filter_map(|served| {
            let fence = Fence::new(served.fence)?;
            Some((served.id.clone(), fence))
        });
        let fences = fences.collect();
        let kept = beat
            .components
            .iter()
            .filter(|served| !served.replica_counts.is_empty());
        let generations: BTreeMap<_, BTreeMap<u64, u32>> = kept
            .map(|served| {
                let counts = served.replica_counts.iter();
                let counts = counts.map(|count| (count.generation, count.serving));
                (served.id.clone(), counts.collect())
            })
            .collect();
        let replicas = generations.iter().map(|(id, counts)| {
            let serving = counts.values().copied();
            (id.clone(), serving.fold(0, u32::saturating_add))
        });
        let incarnation = beat.follows();
        let (elsewhere, here): (Vec<Served>, Vec<Served>) = beat
            .components
            .into_iter()
            .partition(|served| served.digest == Served::ELSEWHERE);
        let peer = Peer {
            origin: from.clone(),
            replicas: replicas.collect(),
            generations,
            fences,
            components: here
                .into_iter()
                .map(|served| (served.id, served.digest))
                .collect(),
            elsewhere: elsewhere.into_iter().map(|served| served.id).collect(),
            labels: beat.labels,
            versions: beat.versions,
            duty: beat.duty,
            incarnation,
            unsaid,
        };
        let change = match known {
            Some(old) if *old == peer => return Change::None,
            Some(old) if old.origin == peer.origin => Change::Updated,
            _ => Change::Joined(from.clone()),
        };
        self.peers.hosts.insert(from.host.clone(), Arc::new(peer));
        self.peers.index();
        change
    }

    /// The host is alive, but its message has no contents, or they could not be sent, for the
    /// reason `unsaid`. Its last contents stay in effect; `last` is for a host without any.
    pub(crate) fn alive(
        &mut self,
        from: &Origin,
        last: Beat,
        unsaid: Option<String>,
        now: Instant,
    ) -> Change {
        let known = self.peers.hosts.get(&from.host);
        let Some(known) = known.filter(|peer| peer.origin == *from) else {
            return self.incomplete_beat(from, last, unsaid, now);
        };
        let interval = last.interval().clamp(MIN_INTERVAL, MAX_INTERVAL);
        self.last_beats
            .insert(from.host.clone(), (from.epoch, now, interval));
        let peer = Peer {
            duty: last.duty,
            unsaid: unsaid.or_else(|| known.unsaid.clone()),
            ..Peer::clone(known)
        };
        if **known == peer {
            return Change::None;
        }
        self.peers.hosts.insert(from.host.clone(), Arc::new(peer));
        self.peers.index();
        Change::Updated
    }

    /// Another host reports that this one serves `component`. Its own beats will have the rest.
    pub(crate) fn found(
        &mut self,
        host: &Origin,
        component: &ComponentId,
        digest: Digest,
        now: Instant,
    ) -> Change {
        if self
            .tombstones
            .get(&host.host)
            .is_some_and(|(epoch, _)| host.epoch <= *epoch)
        {
            return Change::None;
        }
        let known = self
            .peers
            .hosts
            .get(&host.host)
            .filter(|peer| peer.origin == *host);
        if known.is_some_and(|peer| peer.components.contains_key(component))
            || self
                .peers
                .hosts
                .get(&host.host)
                .is_some_and(|peer| peer.origin.epoch > host.epoch)
        {
            return Change::None;
        }
        let mut peer = known.map_or_else(|| Peer::bare(host.clone()), |peer| Peer::clone(peer));
        peer.components.insert(component.clone(), digest);
        self.last_beats.entry(host.host.clone()).or_insert((
            host.epoch,
            now,
            Duration::from_secs(1),
        ));
        let change = if known.is_some() {
            Change::Updated
        } else {
            Change::Joined(host.clone())
        };
        self.peers.heard(&host.host);
        self.peers.hosts.insert(host.host.clone(), Arc::new(peer));
        self.peers.index();
        change
    }

    /// A host said goodbye: this boot of it never comes back. It repeats that until its calls have
    /// ended, and is not silent before.
    pub(crate) fn goodbye(&mut self, who: &Origin, now: Instant) -> Change {
        self.bury(who, now);
        if let Some((epoch, at, _)) = self.last_beats.get_mut(&who.host)
            && *epoch == who.epoch
        {
            *at = now;
        }
        if self.remove(who).is_some() {
            return Change::Leaving(who.clone());
        }
        // It was given up before its goodbye arrived.
        if self.peers.left(who) {
            return Change::Updated;
        }
        Change::None
    }

    /// A caller lost the host. That may be a mistake, so its next beat brings it back.
    pub(crate) fn lost(&mut self, who: &Origin, now: Instant) -> Change {
        let Some(peer) = self.remove(who) else {
            return Change::None;
        };
        // Its silence is still watched: its own calls end when it is silent for too long.
        let heard = self.last_beats.get(&who.host).map_or(now, |(_, at, _)| *at);
        self.peers.lose(peer, heard, now);
        Change::Lost(who.clone())
    }

    /// Removes a boot of a host from the live ones, if it is there.
    fn remove(&mut self, who: &Origin) -> Option<Arc<Peer>> {
        let peer = self.peers.hosts.get(&who.host);
        peer.filter(|peer| peer.origin.epoch <= who.epoch)?;
        let peer = self.peers.hosts.remove(&who.host);
        self.peers.index();
        peer
    }

    /// Whether this boot of a host was heard of lately: it is live, or leaving.
    pub(crate) fn hears(&self, who: &Origin) -> bool {
        let last = self.last_beats.get(&who.host);
        last.is_some_and(|(epoch, ..)| *epoch == who.epoch)
    }

    /// Time passed. Must not be called while the bus is down, when this process receives no beats.
    pub(crate) fn tick(&mut self, now: Instant) -> Change {
        let silent: Vec<Origin> = self
            .last_beats
            .iter()
            .filter(|(_, (_, at, interval))| {
                now.saturating_duration_since(*at) > *interval * MISSED_BEATS
            })
            .map(|(host, (epoch, ..))| Origin::new(host.clone(), *epoch))
            .collect();
        if silent.is_empty() {
            return Change::None;
        }
        for origin in &silent {
            let last = self.last_beats.remove(&origin.host);
            // One that has said goodbye, or that a caller has lost, isn't there any more.
            if let Some(peer) = self.peers.hosts.remove(&origin.host) {
                let heard = last.map_or(now, |(_, at, _)| at);
                self.peers.lose(peer, heard, now);
            }
        }
        self.peers.index();
        Change::Left(silent)
    }

    /// The bus is back: the silence of every host is counted from now.
    pub(crate) fn reconnected(&mut self, now: Instant) {
        for (_, at, _) in self.last_beats.values_mut() {
            *at = now;
        }
    }

    fn bury(&mut self, who: &Origin, now: Instant) {
        let entry = self
            .tombstones
            .entry(who.host.clone())
            .or_insert((who.epoch, now));
        *entry = (entry.0.max(who.epoch), now);
        if self.tombstones.len() > TOMBSTONES
            && let Some(oldest) = self
                .tombstones
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(host, _)| host.clone())
        {
            self.tombstones.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
