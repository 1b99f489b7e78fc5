//! Which hosts are live: the pure rules of membership, fed with beats and the time.
//!
//! A host is known from its first beat on and forgotten on its goodbye, when it has been silent for
//! three of its own intervals, or when a caller has lost it; after the latter two the same boot may
//! come back. The epoch of a host that said goodbye is kept as a tombstone: it is ignored, like any
//! epoch older than one already seen.

use crate::{
    entropy::HashState,
    id::{Fence, Incarnation},
    liveness::{MAX_INTERVAL, MIN_INTERVAL, MISSED},
    name::{ComponentId, HostId},
    types::Digest,
    wire::{Beat, Duty, Origin, Versions},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Departed hosts whose last epoch is remembered, so that a late beat doesn't bring them back.
const TOMBSTONES: usize = 4_096;

/// A live host, as its last beat described it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The boot of the host.
    pub origin: Origin,
    /// The components that it serves, each with the digest of its types.
    pub components: BTreeMap<ComponentId, Digest>,
    /// How many replicas of each component serve there, counting those that an app started.
    pub replicas: BTreeMap<ComponentId, u32>,
    /// The generations of those that an app started, with the number of replicas that serve.
    pub generations: BTreeMap<ComponentId, BTreeMap<u64, u32>>,
    /// The fences of the components that it serves under a lease.
    pub fences: BTreeMap<ComponentId, Fence>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The versions of frames that it reads.
    pub versions: Versions,
    /// Whether it takes more replicas.
    pub duty: Duty,
    /// The incarnation of the store that it sees; the default one if it is not known.
    pub incarnation: Incarnation,
}

impl Peer {
    fn bare(origin: Origin) -> Self {
        Self {
            origin,
            components: BTreeMap::new(),
            replicas: BTreeMap::new(),
            generations: BTreeMap::new(),
            fences: BTreeMap::new(),
            labels: BTreeMap::new(),
            versions: Versions::OURS,
            duty: Duty::Apart,
            incarnation: Incarnation::default(),
        }
    }
}

/// All live hosts.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    hosts: HashMap<HostId, Arc<Peer>, HashState>,
    serving: HashMap<ComponentId, Hosts, HashState>,
}

/// The hosts that serve one component.
#[derive(Debug, Clone, Default)]
struct Hosts {
    origins: Vec<Origin>,
    /// The newest of their leases, if they need one.
    fence: Option<Fence>,
}

impl Peers {
    /// Returns the hosts that serve `component` and read frames that this one writes. Of hosts that
    /// serve it under a lease, only the one that acquired the lease last is returned.
    pub fn serving(&self, component: &ComponentId) -> &[Origin] {
        self.fenced(component).0
    }

    /// The same, with the fence of their lease, if they need one.
    pub(crate) fn fenced(&self, component: &ComponentId) -> (&[Origin], Option<Fence>) {
        let hosts = self.serving.get(component);
        hosts.map_or((&[], None), |hosts| (&hosts.origins, hosts.fence))
    }

    /// Returns how many replicas of `component` serve. A host on which no app started it counts as
    /// one.
    pub fn replicas(&self, component: &ComponentId) -> u32 {
        let hosts = self.serving(component).iter();
        let peers = hosts.filter_map(|origin| self.hosts.get(&origin.host));
        let replicas = peers.map(|peer| peer.replicas.get(component).copied().unwrap_or(1));
        replicas.fold(0, u32::saturating_add)
    }

    /// Returns how many replicas of each generation of `component` serve, of those that an app
    /// started.
    pub fn generations(&self, component: &ComponentId) -> BTreeMap<u64, u32> {
        let mut all = BTreeMap::new();
        for peer in self.hosts.values() {
            for (generation, serving) in peer.generations.get(component).into_iter().flatten() {
                let count: &mut u32 = all.entry(*generation).or_default();
                *count = count.saturating_add(*serving);
            }
        }
        all.retain(|_, serving| *serving > 0);
        all
    }

    /// Returns the digest of the types with which some host serves `component`.
    pub fn digest(&self, component: &ComponentId) -> Option<Digest> {
        let origin = self.serving(component).first()?;
        self.hosts
            .get(&origin.host)?
            .components
            .get(component)
            .copied()
    }

    /// Whether that boot of a host is live.
    pub fn contains(&self, origin: &Origin) -> bool {
        self.hosts
            .get(&origin.host)
            .is_some_and(|peer| peer.origin == *origin)
    }

    /// Returns every live host, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.hosts.values()
    }

    fn index(&mut self) {
        self.serving.clear();
        for peer in self.hosts.values() {
            for component in peer.components.keys() {
                let fence = peer.fences.get(component).copied();
                let hosts = self.serving.entry(component.clone()).or_default();
                if fence > hosts.fence {
                    *hosts = Hosts {
                        origins: Vec::new(),
                        fence,
                    };
                }
                // A host that can't read our frames can't be called, though it may be the one that
                // holds the lease.
                let is_reachable = peer.versions.common(Versions::OURS).is_some();
                if fence == hosts.fence && is_reachable {
                    hosts.origins.push(peer.origin.clone());
                }
            }
        }
    }
}

/// The state machine.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    peers: Peers,
    last_beats: HashMap<HostId, (Instant, Duration), HashState>,
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
        self.last_beats.insert(from.host.clone(), (now, interval));
        let fences = beat.components.iter().filter_map(|served| {
            let fence = Fence::new(served.fence)?;
            Some((served.id.clone(), fence))
        });
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
        let peer = Peer {
            origin: from.clone(),
            replicas: replicas.collect(),
            generations,
            fences: fences.collect(),
            components: beat
                .components
                .into_iter()
                .map(|served| (served.id, served.digest))
                .collect(),
            labels: beat.labels,
            versions: beat.versions,
            duty: beat.duty,
            incarnation: beat.incarnation,
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
        self.last_beats
            .entry(host.host.clone())
            .or_insert((now, Duration::from_secs(1)));
        let change = if known.is_some() {
            Change::Updated
        } else {
            Change::Joined(host.clone())
        };
        self.peers.hosts.insert(host.host.clone(), Arc::new(peer));
        self.peers.index();
        change
    }

    /// A host said goodbye: this boot of it never comes back.
    pub(crate) fn goodbye(&mut self, who: &Origin, now: Instant) -> Change {
        self.bury(who, now);
        match self.lost(who) {
            Change::Left(_) => Change::Leaving(who.clone()),
            change => change,
        }
    }

    /// A caller lost the host. That may be a mistake, so its next beat brings it back.
    pub(crate) fn lost(&mut self, who: &Origin) -> Change {
        if self
            .peers
            .hosts
            .get(&who.host)
            .is_none_or(|peer| peer.origin.epoch > who.epoch)
        {
            return Change::None;
        }
        self.peers.hosts.remove(&who.host);
        self.last_beats.remove(&who.host);
        self.peers.index();
        Change::Left(vec![who.clone()])
    }

    /// Time passed. Must not be called while the bus is down, when this process receives no beats.
    pub(crate) fn tick(&mut self, now: Instant) -> Change {
        let silent: Vec<Origin> = self
            .last_beats
            .iter()
            .filter(|(_, (at, interval))| now.saturating_duration_since(*at) > *interval * MISSED)
            .filter_map(|(host, _)| self.peers.hosts.get(host).map(|peer| peer.origin.clone()))
            .collect();
        if silent.is_empty() {
            return Change::None;
        }
        for origin in &silent {
            self.peers.hosts.remove(&origin.host);
            self.last_beats.remove(&origin.host);
        }
        self.peers.index();
        Change::Left(silent)
    }

    /// The bus is back: the silence of every host is counted from now.
    pub(crate) fn reconnected(&mut self, now: Instant) {
        for (at, _) in self.last_beats.values_mut() {
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
mod tests {
    use super::*;
    use crate::wire::Served;

    fn origin(host: &str, epoch: u64) -> Origin {
        Origin::new(HostId::new(host).expect("valid"), epoch)
    }

    fn beat(components: &[&str]) -> Beat {
        Beat {
            components: components
                .iter()
                .map(|id| Served {
                    id: ComponentId::new(id).expect("valid"),
                    digest: Digest([1; 32]),
                    fence: 0,
                    replica_counts: Vec::new(),
                })
                .collect(),
            sent_ms: 0,
            interval_ms: 1_000,
            versions: Versions::OURS,
            incarnation: crate::store::Incarnation(1),
            revision: crate::store::Revision(1),
            labels: BTreeMap::new(),
            duty: crate::wire::Duty::Works,
        }
    }

    fn serving(presence: &Presence, component: &str) -> Vec<Origin> {
        let mut hosts = presence
            .snapshot()
            .serving(&ComponentId::new(component).expect("valid"))
            .to_vec();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        hosts
    }

    #[test]
    fn a_host_joins_changes_and_leaves() {
        let (mut p, now) = (Presence::default(), Instant::now());
        assert_eq!(
            p.beat(&origin("a", 1), beat(&["x"]), now),
            Change::Joined(origin("a", 1))
        );
        assert_eq!(p.beat(&origin("a", 1), beat(&["x"]), now), Change::None);
        assert_eq!(
            p.beat(&origin("a", 1), beat(&["x", "y"]), now),
            Change::Updated
        );
        assert_eq!(
            p.beat(&origin("b", 1), beat(&["y"]), now),
            Change::Joined(origin("b", 1))
        );
        assert_eq!(serving(&p, "y"), [origin("a", 1), origin("b", 1)]);
        assert_eq!(
            p.goodbye(&origin("a", 1), now),
            Change::Leaving(origin("a", 1))
        );
        assert_eq!(serving(&p, "x"), []);
        assert_eq!(
            p.beat(&origin("a", 1), beat(&["x"]), now),
            Change::None,
            "it said goodbye"
        );
        assert_eq!(
            p.beat(&origin("a", 2), beat(&["x"]), now),
            Change::Joined(origin("a", 2))
        );
        assert_eq!(p.lost(&origin("a", 2)), Change::Left(vec![origin("a", 2)]));
        assert_eq!(
            p.beat(&origin("a", 2), beat(&["x"]), now),
            Change::Joined(origin("a", 2)),
            "only suspected"
        );
    }

    #[test]
    fn an_older_boot_never_replaces_a_newer_one() {
        let (mut p, now) = (Presence::default(), Instant::now());
        p.beat(&origin("a", 5), beat(&["x"]), now);
        assert_eq!(p.beat(&origin("a", 4), beat(&["y"]), now), Change::None);
        assert_eq!(p.goodbye(&origin("a", 4), now), Change::None);
        assert_eq!(serving(&p, "x"), [origin("a", 5)]);
    }

    #[test]
    fn only_the_newest_lease_holder_serves() {
        let (mut p, now) = (Presence::default(), Instant::now());
        let once = ComponentId::new("once").expect("valid");
        let under = |fence| {
            let mut beat = beat(&["once", "other"]);
            beat.components[0].fence = fence;
            beat
        };
        p.beat(&origin("a", 1), under(7), now);
        p.beat(&origin("b", 1), under(9), now);
        assert_eq!(serving(&p, "once"), [origin("b", 1)]);
        assert_eq!(p.snapshot().fenced(&once).1, Fence::new(9));
        assert_eq!(serving(&p, "other"), [origin("a", 1), origin("b", 1)]);
        p.beat(&origin("a", 1), under(12), now);
        assert_eq!(serving(&p, "once"), [origin("a", 1)]);
        p.goodbye(&origin("a", 1), now);
        assert_eq!(serving(&p, "once"), [origin("b", 1)]);
    }

    #[test]
    fn a_host_that_reads_none_of_our_frame_versions_is_not_called() {
        let (mut p, now) = (Presence::default(), Instant::now());
        let ours = Versions::OURS.max;
        let reads = |min, max| Beat {
            versions: Versions { min, max },
            ..beat(&["x"])
        };
        p.beat(&origin("later", 1), reads(ours + 1, ours + 2), now);
        assert_eq!(serving(&p, "x"), []);
        p.beat(&origin("both", 1), reads(ours, ours + 1), now);
        assert_eq!(serving(&p, "x"), [origin("both", 1)]);
        assert!(
            p.snapshot().contains(&origin("later", 1)),
            "the host is known"
        );
        // The holder of the lease can't be called. Then no host is called, least of all the
        // previous holder.
        let mut holds = reads(ours + 1, ours + 1);
        holds.components[0].fence = 9;
        p.beat(&origin("later", 1), holds, now);
        assert_eq!(serving(&p, "x"), []);
    }

    #[test]
    fn a_host_that_is_silent_for_three_intervals_is_removed_and_a_reconnect_restarts_the_timeout() {
        let (mut p, now) = (Presence::default(), Instant::now());
        p.beat(&origin("a", 1), beat(&["x"]), now);
        assert_eq!(p.tick(now + Duration::from_millis(3_000)), Change::None);
        p.reconnected(now + Duration::from_millis(3_000));
        assert_eq!(p.tick(now + Duration::from_millis(6_000)), Change::None);
        assert_eq!(
            p.tick(now + Duration::from_millis(6_001)),
            Change::Left(vec![origin("a", 1)])
        );
        let later = now + Duration::from_secs(9);
        assert_eq!(
            p.beat(&origin("a", 1), beat(&["x"]), later),
            Change::Joined(origin("a", 1))
        );
    }

    #[test]
    fn replicas_are_counted_instead_of_hosts() {
        let (mut p, now) = (Presence::default(), Instant::now());
        let id = ComponentId::new("x").expect("valid");
        p.beat(&origin("by-hand", 1), beat(&["x"]), now);
        let mut kept = beat(&["x"]);
        let count = |generation, serving| crate::wire::ReplicaCount {
            generation,
            serving,
            kept: serving,
        };
        kept.components[0].replica_counts = vec![count(1, 2), count(2, 3)];
        p.beat(&origin("kept", 1), kept, now);
        assert_eq!(p.snapshot().replicas(&id), 6);
        p.lost(&origin("kept", 1));
        assert_eq!(p.snapshot().replicas(&id), 1);
    }

    #[test]
    fn tombstones_are_bounded() {
        let (mut p, now) = (Presence::default(), Instant::now());
        for n in 0..TOMBSTONES + 10 {
            p.goodbye(
                &origin(&format!("h{n}"), 1),
                now + Duration::from_millis(n as u64),
            );
        }
        assert_eq!(p.tombstones.len(), TOMBSTONES);
    }
}
