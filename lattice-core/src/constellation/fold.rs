//! From what the sources say to the view, and how it changes. Pure.

use super::{
    Phase,
    items::{
        AppView, ComponentKind, ComponentView, HostView, Item, LinkView, ReplicaKey, ReplicaView,
        StoreView, UnreadableView, WormholeView,
    },
    load::Reported,
    view::{Change, Delta, View, differences},
};
use crate::{
    desired::{ActorSpec, Desired, ProviderKind, Run},
    keeper::Job,
    link::{LinkChange, LinkKey, LinkTable},
    name::{AppName, ComponentId, HostId},
    node::{Peer, Peers},
    replica::ReplicaHealth,
    store::{KeyKind, StoreKey},
    wire::{Duty, Origin, Report},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Reports of hosts whose beat was not heard yet are kept for at most so many.
const MAX_UNKNOWN: usize = 1_024;
/// Reports of another boot, while the later one lives, that make two hosts of one id.
const BOTH: u32 = 2;
/// A second host that was not heard for this long is gone: three reports.
const RIVAL_GONE: Duration = Duration::from_secs(15);

/// Something that a source says.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Store(ReplicaHealth),
    Desired(Arc<Desired>),
    Links(Arc<LinkTable>),
    Peers(Arc<Peers>),
    /// All parts of one report.
    Report(Origin, Vec<Report>),
    /// A boot reports that a later one of the same id has taken the place of.
    OlderBoot(Origin),
    Tick,
}

/// The state machine.
#[derive(Debug, Default)]
pub(super) struct Fold {
    view: Arc<View>,
    desired: Arc<Desired>,
    links: Arc<LinkTable>,
    /// Which app owns what.
    owners: HashMap<StoreKey, AppName>,
    peers: HashMap<HostId, Arc<Peer>>,
    reported: HashMap<HostId, Reported>,
    rivals: HashMap<HostId, Rival>,
    /// The components of each host that are in the view.
    shown: HashMap<HostId, BTreeSet<ComponentId>>,
}

/// Another host of the same id.
#[derive(Debug, Clone, Copy)]
struct Rival {
    epoch: u64,
    reports: u32,
    heard: Instant,
}

impl Fold {
    /// The constellation as it is now.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant) -> Vec<Delta> {
        let mut out = Vec::new();
        match event {
            Event::Store(health) => {
                let store = StoreView::of(&health);
                if store != self.view.store {
                    self.put(&mut out, Delta::Store(store));
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
            Event::Peers(peers) => self.peers(&peers, &mut out),
            Event::Report(from, parts) => self.report(from, parts, now, &mut out),
            Event::OlderBoot(from) => self.older_boot(from, now, &mut out),
            Event::Tick => self.forget_rivals(now, &mut out),
        }
        out
    }

    fn put(&mut self, out: &mut Vec<Delta>, delta: Delta) {
        Arc::make_mut(&mut self.view).apply(delta.clone());
        out.push(delta);
    }

    /// Shows these things of one kind, and no others.
    fn show<V: Item + PartialEq>(
        &mut self,
        before: impl Fn(&View) -> &BTreeMap<V::Key, Arc<V>>,
        after: impl Iterator<Item = V>,
        delta: impl Fn(Change<V>) -> Delta,
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
        let wormholes = desired.wormholes.iter().map(|(id, declared)| WormholeView {
            id: id.clone(),
            actor: declared.spec.actor.clone(),
            host: declared.spec.host.clone(),
            path: declared.spec.path.clone(),
            state: declared.spec.state,
            app: declared.spec.app.clone(),
        });
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

    /// Who owns which link, which only apps say.
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
        let links: Vec<_> = links
            .entries()
            .map(|entry| LinkView::of(entry, self.owner(&entry.key)))
            .collect();
        self.show(|view| &view.links, links.into_iter(), Delta::Link, out);
    }

    fn owner(&self, link: &LinkKey) -> Option<AppName> {
        let key = StoreKey::link_at(&link.source, &link.interface, &link.name);
        self.owners.get(&key).cloned()
    }

    fn link(&mut self, change: &LinkChange, out: &mut Vec<Delta>) {
        let entry = change.entry();
        let link = Arc::new(LinkView::of(entry, self.owner(&entry.key)));
        let change = match change {
            LinkChange::Removed(_) => Change::Gone(link),
            _ => Change::Is(link),
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
            is_rolled_back: is_rolled_back(&desired, id, &declared.spec),
        });
        // An id that is both runs as an actor.
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
        });
        let served: BTreeSet<ComponentId> = self.shown.values().flatten().cloned().collect();
        let by_hand = served.into_iter().filter(|id| !desired.has_component(id));
        let by_hand = by_hand.map(|id| ComponentView {
            id,
            kind: ComponentKind::ByHand,
            app: None,
            image: None,
            placement: None,
            run: Run::Replicated,
            revision: None,
            is_rolled_back: false,
        });
        let all = actors.chain(providers).chain(by_hand);
        self.show(|view| &view.components, all, Delta::Component, out);
    }

    fn peers(&mut self, peers: &Peers, out: &mut Vec<Delta>) {
        let now = peers
            .iter()
            .map(|peer| (peer.origin.host.clone(), peer.clone()));
        let before = std::mem::replace(&mut self.peers, now.collect());
        let gone: Vec<_> = before
            .keys()
            .filter(|id| !self.peers.contains_key(*id))
            .collect();
        for host in &gone {
            self.reported.remove(*host);
            self.rivals.remove(*host);
        }
        let changed = self.peers.iter().filter(|(host, peer)| {
            before
                .get(*host)
                .is_none_or(|known| !Arc::ptr_eq(known, peer))
        });
        let changed: BTreeSet<HostId> = changed.map(|(host, _)| host.clone()).collect();
        for host in changed.iter().chain(gone) {
            self.host(host, out);
        }
        self.components(out);
    }

    fn report(&mut self, from: Origin, parts: Vec<Report>, now: Instant, out: &mut Vec<Delta>) {
        let host = from.host.clone();
        let is_known = self.peers.contains_key(&host) || self.reported.contains_key(&host);
        if !is_known && self.reported.len() >= self.peers.len() + MAX_UNKNOWN {
            return;
        }
        let before = self.reported.remove(&host);
        if before
            .as_ref()
            .is_some_and(|before| before.origin.epoch > from.epoch)
        {
            self.reported
                .extend(before.map(|before| (host.clone(), before)));
            return self.older_boot(from, now, out);
        }
        if let Some(report) = Reported::new(from, parts, before) {
            self.reported.insert(host.clone(), report);
        }
        if self.host(&host, out) {
            self.components(out);
        }
    }

    fn older_boot(&mut self, from: Origin, now: Instant, out: &mut Vec<Delta>) {
        if self
            .peers
            .get(&from.host)
            .is_none_or(|peer| peer.origin.epoch <= from.epoch)
        {
            return;
        }
        let rival = self.rivals.entry(from.host.clone()).or_insert(Rival {
            epoch: from.epoch,
            reports: 0,
            heard: now,
        });
        if rival.epoch != from.epoch {
            *rival = Rival {
                epoch: from.epoch,
                reports: 0,
                heard: now,
            };
        }
        rival.reports = rival.reports.saturating_add(1);
        rival.heard = now;
        self.host(&from.host, out);
    }

    fn forget_rivals(&mut self, now: Instant, out: &mut Vec<Delta>) {
        let is_gone = |rival: &Rival| now.saturating_duration_since(rival.heard) > RIVAL_GONE;
        let gone = self.rivals.iter().filter(|(_, rival)| is_gone(rival));
        let gone: Vec<HostId> = gone.map(|(host, _)| host.clone()).collect();
        for host in gone {
            self.rivals.remove(&host);
            self.host(&host, out);
        }
    }

    /// Shows a host as it is known now, and what runs there. Whether that may be news of which components there are.
    fn host(&mut self, host: &HostId, out: &mut Vec<Delta>) -> bool {
        let before = self.view.hosts.get(host).cloned();
        let after = self.host_view(host).map(Arc::new);
        match (before, after) {
            (Some(before), None) => self.put(out, Delta::Host(Change::Gone(before))),
            (before, Some(after)) if before.as_ref() != Some(&after) => {
                self.put(out, Delta::Host(Change::Is(after)));
            }
            _ => {}
        }
        let replicas = self.replicas_on(host);
        let ids: BTreeSet<ComponentId> = replicas.iter().map(|r| r.component.clone()).collect();
        let has_new = ids.iter().any(|id| !self.view.components.contains_key(id));
        let shown = self.shown.remove(host).unwrap_or_default();
        for component in shown.difference(&ids) {
            let key = ReplicaKey {
                component: component.clone(),
                host: host.clone(),
            };
            if let Some(gone) = self.view.replicas.get(&key).cloned() {
                self.put(out, Delta::Replica(Change::Gone(gone)));
            }
        }
        let lost_some = shown.difference(&ids).next().is_some();
        if !ids.is_empty() {
            self.shown.insert(host.clone(), ids);
        }
        for replica in replicas {
            if self
                .view
                .replicas
                .get(&replica.key())
                .is_none_or(|known| **known != replica)
            {
                self.put(out, Delta::Replica(Change::Is(Arc::new(replica))));
            }
        }
        has_new || lost_some
    }

    fn host_view(&self, host: &HostId) -> Option<HostView> {
        let peer = self.peers.get(host)?;
        let rival = self.rivals.get(host).filter(|rival| rival.reports >= BOTH);
        Some(HostView {
            id: host.clone(),
            epoch: peer.origin.epoch,
            labels: peer.labels.clone(),
            versions: (peer.versions.min, peer.versions.max),
            load: self.report_of(peer).map(|report| report.load.clone()),
            is_leaving: peer.duty == Duty::Leaves,
            rival: rival.map(|rival| rival.epoch),
        })
    }

    /// What this boot has reported.
    fn report_of(&self, peer: &Peer) -> Option<&Reported> {
        let reported = self.reported.get(&peer.origin.host);
        reported.filter(|reported| reported.origin == peer.origin)
    }

    /// What a beat says is served, and what a report says of that and of the rest.
    fn replicas_on(&self, host: &HostId) -> Vec<ReplicaView> {
        let Some(peer) = self.peers.get(host) else {
            return Vec::new();
        };
        let report = self.report_of(peer);
        let reports = report.map(|report| &report.components);
        let told = reports.into_iter().flatten();
        // Beats are faster: what is said to serve and does not beat has just stopped, or just begun.
        let told = told.filter(|(id, said)| {
            peer.components.contains_key(*id) || !matches!(said.phase, Phase::Serving)
        });
        let silent = peer.components.keys();
        let silent = silent.filter(|id| reports.is_none_or(|told| !told.contains_key(*id)));
        let view = |id: &ComponentId, phase| ReplicaView {
            component: id.clone(),
            host: host.clone(),
            phase,
            generation: None,
            reason: None,
            load: None,
        };
        told.map(|(id, said)| ReplicaView {
            generation: said.generation,
            reason: said.reason.clone(),
            load: report.map(|report| report.load_of(said)),
            ..view(id, said.phase)
        })
        .chain(silent.map(|id| view(id, Phase::Serving)))
        .collect()
    }
}

/// Whether this very version of an actor is the one that did not come up.
fn is_rolled_back(desired: &Desired, id: &ComponentId, spec: &ActorSpec) -> bool {
    spec.rejected
        .is_some_and(|rejected| rejected == Job::of_actor(desired, id, spec).generation)
}

#[cfg(test)]
mod tests;
