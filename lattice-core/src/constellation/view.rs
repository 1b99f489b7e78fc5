//! The constellation at one moment, and how it changes.

use super::{
    items::{
        AppView, ComponentView, HostView, Item, LinkView, LostHostView, ReplicaKey, ReplicaView,
        StoreView, UnreadableView, WormholeView,
    },
    json,
};
use crate::{
    desired::{Placement, Replicas, Run},
    link::LinkKey,
    name::{AppName, ComponentId, HostId, WormholeId},
    place::{Assignment, Candidate, Duty, Workload, place},
    store::StoreKey,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Items of one kind by their keys. A list in JSON.
type ItemsByKey<V> = BTreeMap<<V as Item>::Key, Arc<V>>;

/// The constellation at one moment. A clone shares its items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct View {
    /// How this process sees the store.
    pub store: StoreView,
    /// Logical: actors, providers, and components that are served without being declared.
    #[serde(with = "json::list")]
    pub components: BTreeMap<ComponentId, Arc<ComponentView>>,
    /// Logical: links.
    #[serde(with = "json::list")]
    pub links: BTreeMap<LinkKey, Arc<LinkView>>,
    /// Logical: wormholes.
    #[serde(with = "json::list")]
    pub wormholes: BTreeMap<WormholeId, Arc<WormholeView>>,
    /// Logical: apps.
    #[serde(with = "json::list")]
    pub apps: BTreeMap<AppName, Arc<AppView>>,
    /// Records that can't be read.
    #[serde(with = "json::list")]
    pub unreadable: BTreeMap<StoreKey, Arc<UnreadableView>>,
    /// Infrastructure: live hosts.
    #[serde(with = "json::list")]
    pub hosts: BTreeMap<HostId, Arc<HostView>>,
    /// Infrastructure: what runs or should run on which host.
    #[serde(with = "json::list")]
    pub replicas: BTreeMap<ReplicaKey, Arc<ReplicaView>>,
    /// Infrastructure: hosts that fell silent without a goodbye in the last ten minutes, at most
    /// 256. None of them is live.
    #[serde(default, with = "json::list")]
    pub lost_hosts: BTreeMap<HostId, Arc<LostHostView>>,
}

/// How a constellation changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Delta {
    /// The whole constellation: sent first, and when a reader was too slow for single changes.
    Snapshot(Arc<View>),
    /// This process's view of the store changed.
    Store(StoreView),
    /// A component changed.
    Component(ItemChange<ComponentView>),
    /// A link changed.
    Link(ItemChange<LinkView>),
    /// A wormhole changed.
    Wormhole(ItemChange<WormholeView>),
    /// An app changed.
    App(ItemChange<AppView>),
    /// An unreadable record changed.
    Unreadable(ItemChange<UnreadableView>),
    /// A host changed.
    Host(ItemChange<HostView>),
    /// A component on a host changed.
    Replica(ItemChange<ReplicaView>),
    /// A host fell silent, or is back or forgotten.
    LostHost(ItemChange<LostHostView>),
}

/// How one item changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemChange<V> {
    /// It exists, in this state.
    Is(Arc<V>),
    /// It is gone; this was its last state.
    Gone(Arc<V>),
}

impl View {
    /// Returns the replicas of a component, ordered by host.
    pub fn replicas_of(
        &self,
        component: &ComponentId,
    ) -> impl Iterator<Item = &Arc<ReplicaView>> + use<'_> {
        let component = component.clone();
        let all = least_host().map(|host| {
            let component = component.clone();
            self.replicas.range(ReplicaKey { component, host }..)
        });
        all.into_iter()
            .flatten()
            .take_while(move |(key, _)| key.component == component)
            .map(|(_, replica)| replica)
    }

    /// Returns which host should run what: the placement that each host computes, from this view.
    pub fn assignment(&self) -> Assignment {
        let placements: Vec<(&ComponentView, Placement)> = self
            .components
            .values()
            .filter_map(|component| Some((&**component, placement(component)?)))
            .collect();
        let workloads: Vec<Workload<'_>> = placements
            .iter()
            .map(|(component, placement)| Workload {
                id: &component.id,
                placement,
                needs_lease: component.run == Run::Once,
            })
            .collect();
        let candidates: Vec<Candidate<'_>> = self
            .hosts
            .values()
            .filter(|host| !host.is_apart && !host.is_astray)
            .map(|host| Candidate {
                id: &host.id,
                labels: &host.labels,
                duty: if host.is_leaving {
                    Duty::Leaves
                } else {
                    Duty::Works
                },
                follows_store: host.store.is_some(),
            })
            .collect();
        place(&workloads, &candidates)
    }

    /// Applies a change.
    pub fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Snapshot(view) => *self = View::clone(&view),
            Delta::Store(store) => self.store = store,
            Delta::Component(change) => change.apply(&mut self.components),
            Delta::Link(change) => change.apply(&mut self.links),
            Delta::Wormhole(change) => change.apply(&mut self.wormholes),
            Delta::App(change) => change.apply(&mut self.apps),
            Delta::Unreadable(change) => change.apply(&mut self.unreadable),
            Delta::Host(change) => change.apply(&mut self.hosts),
            Delta::Replica(change) => change.apply(&mut self.replicas),
            Delta::LostHost(change) => change.apply(&mut self.lost_hosts),
        }
    }

    /// Returns the changes from this view to `newer`.
    pub fn diff(&self, newer: &Self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if self.store != newer.store {
            deltas.push(Delta::Store(newer.store));
        }
        deltas.extend(differences(&self.hosts, &newer.hosts).map(Delta::Host));
        deltas.extend(differences(&self.components, &newer.components).map(Delta::Component));
        deltas.extend(differences(&self.links, &newer.links).map(Delta::Link));
        deltas.extend(differences(&self.wormholes, &newer.wormholes).map(Delta::Wormhole));
        deltas.extend(differences(&self.apps, &newer.apps).map(Delta::App));
        deltas.extend(differences(&self.unreadable, &newer.unreadable).map(Delta::Unreadable));
        deltas.extend(differences(&self.replicas, &newer.replicas).map(Delta::Replica));
        deltas.extend(differences(&self.lost_hosts, &newer.lost_hosts).map(Delta::LostHost));
        deltas
    }
}

/// Returns the effective placement of a component: one that runs once always has one replica.
fn placement(component: &ComponentView) -> Option<Placement> {
    let mut placement = component.placement.clone()?;
    if component.run == Run::Once {
        placement.replicas = Replicas::Exactly(1);
    }
    Some(placement)
}

impl<V: Item> ItemChange<V> {
    fn apply(self, things: &mut ItemsByKey<V>) {
        match self {
            Self::Is(thing) => drop(things.insert(thing.key(), thing)),
            Self::Gone(thing) => drop(things.remove(&thing.key())),
        }
    }
}

impl<V> ItemChange<V> {
    /// Returns the item as it is, or as it was when it is gone.
    pub fn thing(&self) -> &Arc<V> {
        match self {
            Self::Is(thing) | Self::Gone(thing) => thing,
        }
    }
}

/// Returns the changes from some items to others of the same kind.
pub(super) fn differences<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, Arc<V>>,
    after: &'a BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = ItemChange<V>> + 'a {
    let gone = before.iter().filter(|(key, _)| !after.contains_key(key));
    let is = after.iter().filter(|(key, thing)| {
        let old = before.get(key);
        old.is_none_or(|old| !Arc::ptr_eq(old, thing) && old != *thing)
    });
    let gone = gone.map(|(_, thing)| ItemChange::Gone(thing.clone()));
    gone.chain(is.map(|(_, thing)| ItemChange::Is(thing.clone())))
}

/// Returns the host id that sorts before all others.
fn least_host() -> Option<HostId> {
    HostId::new("0").ok()
}
