//! The constellation as of one moment, and how it changes.

use super::items::{
    AppView, ComponentView, HostView, Item, LinkView, ReplicaKey, ReplicaView, StoreView,
    UnreadableView, WormholeView,
};
use crate::{
    desired::{Placement, Replicas, Run},
    link::LinkKey,
    name::{AppName, ComponentId, HostId, WormholeId},
    place::{Assignment, Candidate, Duty, Workload, place},
    store::StoreKey,
};
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, sync::Arc};

/// Items of one kind by their keys. In JSON a list.
type ItemsByKey<V> = BTreeMap<<V as Item>::Key, Arc<V>>;

/// The constellation as of one moment. A clone shares its things.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct View {
    /// How this process sees the store.
    pub store: StoreView,
    /// Logical: actors, providers, and what is served without being declared.
    #[serde(serialize_with = "list")]
    pub components: BTreeMap<ComponentId, Arc<ComponentView>>,
    /// Logical: links.
    #[serde(serialize_with = "list")]
    pub links: BTreeMap<LinkKey, Arc<LinkView>>,
    /// Logical: wormholes.
    #[serde(serialize_with = "list")]
    pub wormholes: BTreeMap<WormholeId, Arc<WormholeView>>,
    /// Logical: apps.
    #[serde(serialize_with = "list")]
    pub apps: BTreeMap<AppName, Arc<AppView>>,
    /// Records that can't be read.
    #[serde(serialize_with = "list")]
    pub unreadable: BTreeMap<StoreKey, Arc<UnreadableView>>,
    /// Infrastructure: live hosts.
    #[serde(serialize_with = "list")]
    pub hosts: BTreeMap<HostId, Arc<HostView>>,
    /// Infrastructure: what runs, or is to run, where.
    #[serde(serialize_with = "list")]
    pub replicas: BTreeMap<ReplicaKey, Arc<ReplicaView>>,
}

/// How a constellation changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Delta {
    /// This is all there is: at first, and when a reader was too slow for each change.
    Snapshot(Arc<View>),
    /// This process sees the store otherwise.
    Store(StoreView),
    /// A component.
    Component(ItemChange<ComponentView>),
    /// A link.
    Link(ItemChange<LinkView>),
    /// A wormhole.
    Wormhole(ItemChange<WormholeView>),
    /// An app.
    App(ItemChange<AppView>),
    /// A record that can't be read.
    Unreadable(ItemChange<UnreadableView>),
    /// A host.
    Host(ItemChange<HostView>),
    /// A component on a host.
    Replica(ItemChange<ReplicaView>),
}

/// How one thing changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemChange<V> {
    /// It is there, and like this.
    Is(Arc<V>),
    /// It is gone; this is how it was.
    Gone(Arc<V>),
}

impl View {
    /// The replicas of a component, in the order of their hosts.
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

    /// Which host is to run what: what each host works out for itself, out of this view.
    pub fn assignment(&self) -> Assignment {
        let placements: Vec<(&ComponentId, Placement)> = self
            .components
            .values()
            .filter_map(|component| Some((&component.id, placement(component)?)))
            .collect();
        let workloads: Vec<Workload<'_>> = placements
            .iter()
            .map(|(id, placement)| Workload { id, placement })
            .collect();
        let candidates: Vec<Candidate<'_>> = self
            .hosts
            .values()
            .filter(|host| !host.is_apart)
            .map(|host| Candidate {
                id: &host.id,
                labels: &host.labels,
                duty: if host.is_leaving {
                    Duty::Leaves
                } else {
                    Duty::Works
                },
            })
            .collect();
        place(&workloads, &candidates)
    }

    /// Takes in a change.
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
        }
    }

    /// What changes from this view to `newer`.
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
        deltas
    }
}

/// What holds for a component's placement: one that runs once always has one replica.
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
    /// The thing as it is, or as it was when it is gone.
    pub fn thing(&self) -> &Arc<V> {
        match self {
            Self::Is(thing) | Self::Gone(thing) => thing,
        }
    }
}

/// What changes from some things to others of their kind.
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

/// The host id that comes before all others.
fn least_host() -> Option<HostId> {
    HostId::new("0").ok()
}

fn list<K, V: Serialize, S: Serializer>(
    things: &BTreeMap<K, Arc<V>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(things.values())
}
