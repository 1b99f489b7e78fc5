//! The infrastructure half: hosts, and the replicas on each.

use super::Projection;
use crate::{
    constellation::{
        Phase,
        items::{HostView, Item as _, LinkView, LostHostView, ReplicaKey, ReplicaView},
        load::Reported,
        view::{Delta, ItemChange},
    },
    liveness::RivalBoot,
    membership::{Peer, Peers, presence::LOST_FOR},
    name::{ComponentId, HostId},
    wire::{Duty, Origin, Report},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Most reports that are kept of hosts without a heartbeat so far.
pub(super) const MAX_UNKNOWN: usize = 1_024;
/// Reports of an older boot, while the later one lives, after which two hosts count as having one
/// id.
const BOTH: u32 = 2;
/// Silence after which the second host of an id is considered gone: three reports.
pub(super) const RIVAL_GONE: Duration = Duration::from_secs(15);

impl Projection {
    pub(super) fn peers(&mut self, peers: &Peers, out: &mut Vec<Delta>) {
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

    pub(super) fn report(
        &mut self,
        from: Origin,
        parts: Vec<Report>,
        now: Instant,
        out: &mut Vec<Delta>,
    ) {
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

    pub(super) fn older_boot(&mut self, from: Origin, now: Instant, out: &mut Vec<Delta>) {
        if self
            .peers
            .get(&from.host)
            .is_none_or(|peer| peer.origin.epoch <= from.epoch)
        {
            return;
        }
        let watched = RivalBoot::new(from.epoch, now);
        let rival = self.rivals.entry(from.host.clone()).or_insert(watched);
        if rival.epoch != from.epoch {
            *rival = watched;
        }
        rival.count(now);
        self.host(&from.host, out);
    }

    pub(super) fn forget_rivals(&mut self, now: Instant, out: &mut Vec<Delta>) {
        let is_gone = |rival: &RivalBoot| rival.is_silent(RIVAL_GONE, now);
        let gone = self.rivals.iter().filter(|(_, rival)| is_gone(rival));
        let gone: Vec<HostId> = gone.map(|(host, _)| host.clone()).collect();
        for host in gone {
            self.rivals.remove(&host);
            self.host(&host, out);
        }
    }

    /// Shows the hosts that fell silent, as the view has them until now. `at` is the present by
    /// both clocks.
    pub(super) fn lost_hosts(
        &mut self,
        peers: &Peers,
        at: (Instant, SystemTime),
        out: &mut Vec<Delta>,
    ) {
        let (now, today) = at;
        let (mut lost, mut views) = (HashMap::new(), Vec::new());
        for one in peers.lost() {
            let (origin, silent) = (&one.peer.origin, now.saturating_duration_since(one.heard));
            if silent > LOST_FOR {
                continue;
            }
            let known = self.view.lost_hosts.get(&origin.host);
            let known = known.filter(|known| {
                known.host.epoch == origin.epoch && self.lost.get(&origin.host) == Some(&one.heard)
            });
            let live = self.view.hosts.get(&origin.host);
            let live = live.filter(|live| live.epoch == origin.epoch);
            views.push(match (known, live) {
                (Some(known), _) => LostHostView::clone(known),
                (None, live) => LostHostView {
                    host: live
                        .map_or_else(|| self.view_of(&one.peer), |live| HostView::clone(live)),
                    last_heard: today.checked_sub(silent).unwrap_or(today),
                },
            });
            lost.insert(origin.host.clone(), one.heard);
        }
        self.lost = lost;
        let views = views.into_iter();
        self.show(|view| &view.lost_hosts, views, Delta::LostHost, out);
    }

    /// Forgets hosts that have been silent for long.
    pub(super) fn forget_lost(&mut self, now: Instant, out: &mut Vec<Delta>) {
        let is_old = |heard: Instant| now.saturating_duration_since(heard) > LOST_FOR;
        let old = self.lost.iter().filter(|(_, heard)| is_old(**heard));
        let old: Vec<HostId> = old.map(|(host, _)| host.clone()).collect();
        for host in old {
            self.lost.remove(&host);
            if let Some(gone) = self.view.lost_hosts.get(&host).cloned() {
                self.put(out, Delta::LostHost(ItemChange::Gone(gone)));
            }
        }
    }

    /// Updates a host and its replicas in the view. Returns whether the set of components may have
    /// changed.
    pub(super) fn host(&mut self, host: &HostId, out: &mut Vec<Delta>) -> bool {
        let before = self.view.hosts.get(host).cloned();
        let after = self.host_view(host).map(Arc::new);
        match (before, after) {
            (Some(before), None) => self.put(out, Delta::Host(ItemChange::Gone(before))),
            (before, Some(after)) if before.as_ref() != Some(&after) => {
                self.put(out, Delta::Host(ItemChange::Is(after)));
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
                self.put(out, Delta::Replica(ItemChange::Gone(gone)));
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
                self.put(out, Delta::Replica(ItemChange::Is(Arc::new(replica))));
            }
        }
        self.links_to(host, out);
        has_new || lost_some
    }

    /// Updates the calls over the links to components of a host.
    fn links_to(&mut self, host: &HostId, out: &mut Vec<Delta>) {
        let (none, peer) = (BTreeMap::new(), self.peers.get(host));
        let report = self.reported.get(host);
        let report = report.filter(|said| peer.is_some_and(|peer| peer.origin == said.origin));
        let links = report.map_or(&none, |report| &report.links);
        for key in self.link_loads.set(host, links) {
            let Some(link) = self.view.links.get(&key) else {
                continue;
            };
            let load = self.link_loads.of(&key, &link.target);
            if load != link.load {
                let link = LinkView {
                    load,
                    ..LinkView::clone(link)
                };
                self.put(out, Delta::Link(ItemChange::Is(Arc::new(link))));
            }
        }
    }

    fn host_view(&self, host: &HostId) -> Option<HostView> {
        self.peers.get(host).map(|peer| self.view_of(peer))
    }

    fn view_of(&self, peer: &Peer) -> HostView {
        let host = &peer.origin.host;
        let rival = self.rivals.get(host).filter(|rival| rival.signs >= BOTH);
        HostView {
            id: host.clone(),
            epoch: peer.origin.epoch,
            labels: peer.labels.clone(),
            versions: (peer.versions.min, peer.versions.max),
            load: self.report_of(peer).map(|report| report.load.clone()),
            is_leaving: peer.duty == Duty::Leaves,
            is_apart: peer.duty == Duty::Apart,
            store: peer.incarnation,
            is_astray: peer
                .incarnation
                .is_some_and(|theirs| self.view.store.incarnation.differs_from(theirs)),
            rival: rival.map(|rival| rival.epoch),
            unsaid: peer.unsaid.clone(),
        }
    }

    /// Returns the last report of this boot.
    fn report_of(&self, peer: &Peer) -> Option<&Reported> {
        let reported = self.reported.get(&peer.origin.host);
        reported.filter(|reported| reported.origin == peer.origin)
    }

    /// Returns the components that the heartbeat lists as served, here or by processes that the
    /// host looks after, with the details from the report.
    fn replicas_on(&self, host: &HostId) -> Vec<ReplicaView> {
        let Some(peer) = self.peers.get(host) else {
            return Vec::new();
        };
        let report = self.report_of(peer);
        let reports = report.map(|report| &report.components);
        let reported = reports.into_iter().flatten();
        // Heartbeats come sooner than reports. A component that only the report lists as serving
        // has just stopped or just begun.
        let reported = reported.filter(|(id, said)| {
            let is_listed = peer.components.contains_key(*id) || peer.elsewhere.contains(*id);
            is_listed || !matches!(said.phase, Phase::Serving)
        });
        let silent = peer.components.keys().chain(&peer.elsewhere);
        let silent = silent.filter(|id| reports.is_none_or(|reported| !reported.contains_key(*id)));
        let view = |id: &ComponentId, phase| ReplicaView {
            component: id.clone(),
            host: host.clone(),
            phase,
            generation: None,
            types: peer.components.get(id).copied(),
            reason: None,
            load: None,
            process: None,
        };
        reported
            .map(|(id, said)| ReplicaView {
                generation: said.generation,
                reason: said.reason.clone(),
                load: report.map(|report| report.load_of(said)),
                process: report.and_then(|report| report.process_of(id)),
                ..view(id, said.phase)
            })
            .chain(silent.map(|id| view(id, Phase::Serving)))
            .collect()
    }
}
