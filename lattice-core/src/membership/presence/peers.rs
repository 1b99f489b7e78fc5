//! The live hosts at one moment, and which of them serve what.

use crate::{
    entropy::HashState,
    id::{Fence, Incarnation},
    name::{ComponentId, HostId},
    types::Digest,
    wire::{Duty, Origin, Versions},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long a host that fell silent is kept: as long as an operator may need to look at it.
pub(crate) const LOST_FOR: Duration = Duration::from_mins(10);
/// The most of them that are kept: those that were heard last.
pub(super) const MOST_LOST: usize = 256;

/// A live host, as its last beat described it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The boot of the host.
    pub origin: Origin,
    /// The components that it serves, each with the digest of its types.
    pub components: BTreeMap<ComponentId, Digest>,
    /// The components that it looks after, and that processes of their own serve, which are other
    /// nodes.
    pub elsewhere: BTreeSet<ComponentId>,
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
    /// The incarnation of the store that it follows; `None` if it follows none, or that is not
    /// known.
    pub incarnation: Option<Incarnation>,
    /// What its heartbeats can't say, and why, if there is something.
    pub unsaid: Option<String>,
}

impl Peer {
    pub(super) fn bare(origin: Origin) -> Self {
        Self {
            origin,
            components: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            replicas: BTreeMap::new(),
            generations: BTreeMap::new(),
            fences: BTreeMap::new(),
            labels: BTreeMap::new(),
            versions: Versions::OURS,
            duty: Duty::Apart,
            incarnation: None,
            unsaid: None,
        }
    }
}

/// A host that is gone without a goodbye.
#[derive(Debug, Clone)]
pub(crate) struct LostPeer {
    /// As its last beat described it.
    pub(crate) peer: Arc<Peer>,
    /// When it was last heard.
    pub(crate) heard: Instant,
}

/// All live hosts, and those that fell silent lately.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    pub(super) hosts: HashMap<HostId, Arc<Peer>, HashState>,
    serving: HashMap<ComponentId, Hosts, HashState>,
    /// None of them is live.
    lost: HashMap<HostId, LostPeer, HashState>,
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

    /// Returns whether that boot of a host is live.
    pub fn contains(&self, origin: &Origin) -> bool {
        self.hosts
            .get(&origin.host)
            .is_some_and(|peer| peer.origin == *origin)
    }

    /// The boot of this host that is live.
    pub(crate) fn boot_of(&self, host: &HostId) -> Option<&Origin> {
        self.hosts.get(host).map(|peer| &peer.origin)
    }

    /// Returns every live host, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.hosts.values()
    }

    /// Returns the hosts that are gone without a goodbye, in no particular order. Some may have
    /// been silent for longer than [`LOST_FOR`].
    pub(crate) fn lost(&self) -> impl Iterator<Item = &LostPeer> {
        self.lost.values()
    }

    /// Keeps a host that fell silent, and forgets those that have been silent for long.
    pub(super) fn lose(&mut self, peer: Arc<Peer>, heard: Instant, now: Instant) {
        let host = peer.origin.host.clone();
        self.lost.insert(host, LostPeer { peer, heard });
        self.lost
            .retain(|_, lost| now.saturating_duration_since(lost.heard) <= LOST_FOR);
        if self.lost.len() > MOST_LOST
            && let Some(oldest) = self
                .lost
                .iter()
                .min_by_key(|(_, lost)| lost.heard)
                .map(|(host, _)| host.clone())
        {
            self.lost.remove(&oldest);
        }
    }

    /// A host is live.
    pub(super) fn heard(&mut self, host: &HostId) {
        self.lost.remove(host);
    }

    /// A boot of a host has left in order. Returns whether it was among the lost ones.
    pub(super) fn left(&mut self, who: &Origin) -> bool {
        let lost = self.lost.get(&who.host);
        let is_lost = lost.is_some_and(|lost| lost.peer.origin.epoch <= who.epoch);
        if is_lost {
            self.lost.remove(&who.host);
        }
        is_lost
    }

    pub(super) fn index(&mut self) {
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
