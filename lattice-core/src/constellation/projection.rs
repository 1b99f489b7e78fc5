//! Projects the events of all sources onto the view. Pure.

mod hosts;

use super::{
    items::{
        AppView, ComponentKind, ComponentView, Item, LinkView, StoreView, UnreadableView,
        WormholeView,
    },
    link_loads::LinkLoads,
    load::Reported,
    view::{Delta, ItemChange, View, differences},
};
use crate::{
    desired::{Declared, Desired, ProviderKind, Run, WormholeSpec},
    link::{LinkChange, LinkEntry, LinkKey, LinkTable},
    liveness::RivalBoot,
    membership::{Peer, Peers},
    name::{AppName, ComponentId, ConfigName, HostId, WormholeId},
    replica::ReplicaHealth,
    store::{KeyKind, StoreKey},
    wire::{Origin, Report, cut},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::SystemTime,
};
use tokio::time::Instant;

/// An event from a source.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Store(ReplicaHealth),
    Desired(Arc<Desired>),
    Links(Arc<LinkTable>),
    /// The hosts at this time of day.
    Peers(Arc<Peers>, SystemTime),
    /// All parts of one report.
    Report(Origin, Vec<Report>),
    /// A report of a boot that a later boot of the same id has replaced.
    OlderBoot(Origin),
    Tick,
}

/// The state machine.
#[derive(Debug, Default)]
pub(super) struct Projection {
    view: Arc<View>,
    desired: Arc<Desired>,
    links: Arc<LinkTable>,
    /// The app that owns each key.
    owners: HashMap<StoreKey, AppName>,
    peers: HashMap<HostId, Arc<Peer>>,
    reported: HashMap<HostId, Reported>,
    /// The calls over links that the hosts in `peers` have reported.
    link_loads: LinkLoads,
    rivals: HashMap<HostId, RivalBoot>,
    /// When the lost hosts that are shown were last heard.
    lost: HashMap<HostId, Instant>,
    /// The components of each host that are in the view.
    shown: HashMap<HostId, BTreeSet<ComponentId>>,
}

impl Projection {
    /// Returns the constellation as it is now.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant) -> Vec<Delta> {
        let mut out = Vec::new();
        match event {
            Event::Store(health) => {
                let store = StoreView::of(&health);
                let before = self.view.store;
                if store != before {
                    self.put(&mut out, Delta::Store(store));
                }
                if store.incarnation != before.incarnation {
                    let hosts: Vec<HostId> = self.peers.keys().cloned().collect();
                    for host in hosts {
                        self.host(&host, &mut out);
                    }
                }
            }
            Event::Desired(desired) if !Arc::ptr_eq(&desired, &self.desired) => {
                self.desired(desired, &mut out);
            }
            Event::Links(links) if !Arc::ptr_eq(&links, &self.links) => {
                let changes = self.links.diff(&links);
                self.links = links;
                for change in &changes {
                    self.link(change, &mut out);
                }
            }
            Event::Desired(_) | Event::Links(_) => {}
            Event::Peers(peers, today) => {
                self.lost_hosts(&peers, (now, today), &mut out);
                self.peers(&peers, &mut out);
            }
            Event::Report(from, parts) => self.report(from, parts, now, &mut out),
            Event::OlderBoot(from) => self.older_boot(from, now, &mut out),
            Event::Tick => {
                self.forget_rivals(now, &mut out);
                self.forget_lost(now, &mut out);
            }
        }
        out
    }

    fn put(&mut self, out: &mut Vec<Delta>, delta: Delta) {
        Arc::make_mut(&mut self.view).apply(delta.clone());
        out.push(delta);
    }

    /// Replaces the items of one kind.
    fn show<V: Item + PartialEq>(
        &mut self,
        before: impl Fn(&View) -> &BTreeMap<V::Key, Arc<V>>,
        after: impl Iterator<Item = V>,
        delta: impl Fn(ItemChange<V>) -> Delta,
        out: &mut Vec<Delta>,
    ) {
        let after = after.map(|thing| (thing.key(), Arc::new(thing))).collect();
        let changes: Vec<_> = differences(before(&self.view), &after).collect();
        for change in changes {
            self.put(out, delta(change));
        }
    }

    fn desired(&mut self, desired: Arc<Desired>, out: &mut Vec<Delta>) {
        self.desired = desired.clone();
        self.components(out);
        let of = |(id, declared): (&WormholeId, &Arc<Declared<WormholeSpec>>)| {
            WormholeView::of(id, &declared.spec)
        };
        let wormholes = desired.wormholes.iter().map(of);
        self.show(|view| &view.wormholes, wormholes, Delta::Wormhole, out);
        let apps = desired.apps.iter().map(|(name, declared)| AppView {
            name: name.clone(),
            version: declared.spec.version.clone(),
            owns: declared.spec.owns.iter().cloned().collect(),
        });
        self.show(|view| &view.apps, apps, Delta::App, out);
        let unreadable = desired.unreadable.iter().map(|(key, why)| UnreadableView {
            key: key.clone(),
            reason: why.reason.clone(),
        });
        self.show(|view| &view.unreadable, unreadable, Delta::Unreadable, out);
        self.ownership(&desired, out);
    }

    /// Updates the owners of links. Only the records of apps have them.
    fn ownership(&mut self, desired: &Desired, out: &mut Vec<Delta>) {
        let owned = desired.apps.iter().flat_map(|(name, app)| {
            let links = app.spec.owns.iter();
            let links = links.filter(|key| matches!(key.kind(), Some(KeyKind::Link { .. })));
            links.map(move |key| (key.clone(), name.clone()))
        });
        let owners: HashMap<StoreKey, AppName> = owned.collect();
        if owners == self.owners {
            return;
        }
        self.owners = owners;
        let links = self.links.clone();
        let links: Vec<_> = links.entries().map(|entry| self.link_view(entry)).collect();
        self.show(|view| &view.links, links.into_iter(), Delta::Link, out);
    }

    fn owner(&self, link: &LinkKey) -> Option<AppName> {
        let key = StoreKey::link_at(&link.source, &link.interface, &link.name);
        self.owners.get(&key).cloned()
    }

    fn link_view(&self, entry: &LinkEntry) -> LinkView {
        let load = self.link_loads.of(&entry.key, &entry.link.target);
        LinkView::of(entry, self.owner(&entry.key), load)
    }

    fn link(&mut self, change: &LinkChange, out: &mut Vec<Delta>) {
        let link = Arc::new(self.link_view(change.entry()));
        let change = match change {
            LinkChange::Removed(_) => ItemChange::Gone(link),
            _ => ItemChange::Is(link),
        };
        self.put(out, Delta::Link(change));
    }

    fn components(&mut self, out: &mut Vec<Delta>) {
        let desired = self.desired.clone();
        let actors = desired.actors.iter().map(|(id, declared)| ComponentView {
            id: id.clone(),
            kind: ComponentKind::Actor,
            app: declared.spec.app.clone(),
            image: Some(declared.spec.image.to_string()),
            placement: Some(declared.spec.placement.clone()),
            run: Run::Replicated,
            revision: Some(declared.revision),
            is_rolled_back: desired.is_rolled_back(id, &declared.spec),
            rollback_reason: declared.spec.rejected_because.clone().map(cut),
            runs: desired
                .is_rolled_back(id, &declared.spec)
                .then(|| desired.running(id, &declared.spec).version()),
            frozen_by: frozen_by(&desired, StoreKey::actor(id), &declared.spec.configs),
        });
        // An id that is declared as both runs as an actor.
        let providers = desired.providers.iter();
        let providers = providers.filter(|(id, _)| !desired.actors.contains_key(*id));
        let providers = providers.map(|(id, declared)| ComponentView {
            id: id.clone(),
            kind: ComponentKind::Provider,
            app: declared.spec.app.clone(),
            image: Some(match &declared.spec.kind {
                ProviderKind::Builtin(name) => name.clone(),
                ProviderKind::Image(image) => image.to_string(),
            }),
            placement: Some(declared.spec.placement.clone()),
            run: declared.spec.run,
            revision: Some(declared.revision),
            is_rolled_back: false,
            rollback_reason: None,
            runs: None,
            frozen_by: frozen_by(&desired, StoreKey::provider(id), &declared.spec.configs),
        });
        let unread: BTreeMap<ComponentId, ComponentView> = unread(&desired).collect();
        let served: BTreeSet<ComponentId> = self.shown.values().flatten().cloned().collect();
        let by_hand = served
            .into_iter()
            .filter(|id| !desired.has_component(id) && !unread.contains_key(id))
            .map(|id| undeclared(id, ComponentKind::ByHand));
        let by_hand: Vec<_> = by_hand.collect();
        let all = actors.chain(providers).chain(by_hand);
        let all = all.chain(unread.into_values());
        self.show(|view| &view.components, all, Delta::Component, out);
    }
}

fn undeclared(id: ComponentId, kind: ComponentKind) -> ComponentView {
    ComponentView {
        id,
        kind,
        app: None,
        image: None,
        placement: None,
        run: Run::Replicated,
        revision: None,
        is_rolled_back: false,
        rollback_reason: None,
        runs: None,
        frozen_by: Vec::new(),
    }
}

/// Returns the components whose records can't be read and were never read here.
fn unread(desired: &Desired) -> impl Iterator<Item = (ComponentId, ComponentView)> + '_ {
    desired.unreadable.keys().filter_map(|key| {
        let (id, kind) = match key.kind()? {
            KeyKind::Actor(id) => (id, ComponentKind::Actor),
            KeyKind::Provider(id) => (id, ComponentKind::Provider),
            _ => return None,
        };
        let frozen = ComponentView {
            frozen_by: vec![key.clone()],
            ..undeclared(id.clone(), kind)
        };
        (!desired.has_component(&id)).then_some((id, frozen))
    })
}

/// Returns the unreadable records among those that decide what runs of a component.
fn frozen_by(desired: &Desired, own: StoreKey, configs: &[ConfigName]) -> Vec<StoreKey> {
    let configs = configs.iter().map(StoreKey::config);
    let all = std::iter::once(own).chain(configs);
    all.filter(|key| desired.unreadable.contains_key(key))
        .collect()
}

#[cfg(test)]
mod tests;
