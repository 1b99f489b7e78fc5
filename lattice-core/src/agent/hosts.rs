//! Which hosts take work: what was heard of them, as placement sees it.

use super::known_hosts::{Hosts, KnownHosts};
use crate::{
    membership::MemberEvent,
    name::HostId,
    node::NodeParts,
    place::{
        members::{self, Labels, Members},
        plan::LiveHost,
    },
    wire::{Beat, Duty, Origin},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The live hosts, and whether they take work.
pub(super) struct HostTable {
    node: Arc<NodeParts>,
    members: Members,
    known: KnownHosts,
    duties: HashMap<HostId, Duty>,
    /// Whether this host hands everything over.
    leaving: bool,
}

impl HostTable {
    pub(super) fn new(node: Arc<NodeParts>, listen: Duration) -> Self {
        let connection = &node.connection;
        Self {
            members: Members::new(node.membership.origin().clone(), listen, Instant::now()),
            known: KnownHosts::new(connection.records.clone(), connection.last.clone()),
            duties: HashMap::new(),
            leaving: false,
            node,
        }
    }

    /// Goes on from what an earlier process knew, for when nobody can be heard.
    pub(super) fn recall(&mut self) {
        let mut hosts = self.known.recall();
        let me = &self.node.membership.origin().host;
        let Some(labels) = hosts.get_mut(me) else {
            if !hosts.is_empty() {
                tracing::warn!(host = %me, "the last snapshot does not know this host: it runs nothing while the bus is away; give it the same id at each start");
            }
            return;
        };
        labels.clone_from(self.node.membership.labels());
        let duties = hosts.keys().map(|host| (host.clone(), Duty::Works));
        self.duties.extend(duties);
        self.members.recall(hosts);
    }

    /// Announces from now on that this host takes no new work. Returns whether no other host can take over
    /// what it has.
    pub(super) fn leave(&mut self) -> bool {
        self.leaving = true;
        self.node.membership.set_duty(Duty::Leaves);
        self.members.is_alone(Instant::now())
    }

    /// Returns whether another boot of this host's id counts instead of this one.
    pub(super) fn is_doubled(&self) -> bool {
        self.members.is_settled() && !self.members.counts_me()
    }

    /// Returns when to call [`handle`](Self::handle) because time has passed.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.members.wake()
    }

    /// Takes in what was heard on the bus. Returns the hosts that placement counts, if they changed.
    pub(super) fn receive(&mut self, heard: &MemberEvent) -> Option<Vec<LiveHost>> {
        match heard {
            MemberEvent::Beat(from, beat) => {
                let duty = self.duties.insert(from.host.clone(), beat.duty);
                let changed = duty != Some(beat.duty);
                self.take(membership_event(from, beat), changed)
            }
            // Frames of an older boot are refused everywhere, so it never counts again: but people should know of it.
            MemberEvent::OlderBeat(from, _) if !self.members.knows_newer(from) => None,
            MemberEvent::Alive(from, beat) | MemberEvent::OlderBeat(from, beat) => {
                self.take(membership_event(from, beat), false)
            }
            MemberEvent::Goodbye(who) => {
                self.duties.remove(&who.host);
                self.take(members::Event::Goodbye(who.clone()), false)
            }
        }
    }

    /// Takes in any other event. Returns the hosts that placement counts, if they changed.
    pub(super) fn handle(&mut self, event: members::Event) -> Option<Vec<LiveHost>> {
        self.take(event, false)
    }

    fn take(&mut self, event: members::Event, duties_changed: bool) -> Option<Vec<LiveHost>> {
        let changes = self.members.handle(event, Instant::now());
        for change in &changes {
            match change {
                members::MembershipChange::Left(origin, why) => {
                    tracing::info!(host = %origin.host, ?why, "a host does not count any more");
                    if !matches!(why, members::Departure::Restart) {
                        self.duties.remove(&origin.host);
                    }
                }
                members::MembershipChange::Doubled { counts, other } => {
                    tracing::warn!(host = %counts.host, counts = counts.epoch, other, "two hosts have one id; give one of them another one");
                }
                _ => {}
            }
        }
        if !self.members.is_settled() || (!duties_changed && changes.is_empty()) {
            return None;
        }
        let hosts = self.live();
        self.save(&hosts);
        Some(hosts)
    }

    /// Hosts that take no part in placement are left out, and those that have not said so yet.
    fn live(&self) -> Vec<LiveHost> {
        let counts_me = self.members.counts_me();
        let me = &self.node.membership.origin().host;
        let live = self.members.live().filter_map(|(origin, labels)| {
            let duty = *self.duties.get(&origin.host)?;
            (duty != Duty::Apart).then(|| LiveHost {
                host: origin.host.clone(),
                labels: labels.clone(),
                duty,
            })
        });
        live.filter(|live| counts_me || live.host != *me).collect()
    }

    /// Saves for the next process who is there. A host that leaves comes back as one that works.
    fn save(&mut self, hosts: &[LiveHost]) {
        let working = hosts.iter().filter(|host| host.duty == Duty::Works);
        let known: Hosts = working
            .map(|host| (host.host.clone(), Labels::clone(&host.labels)))
            .collect();
        if !self.leaving && known.contains_key(&self.node.membership.origin().host) {
            self.known.keep(known);
        }
    }
}

/// Returns the sign of life in a heartbeat.
fn membership_event(from: &Origin, beat: &Beat) -> members::Event {
    members::Event::Beat {
        from: from.clone(),
        interval: beat.interval(),
        labels: beat.labels.clone(),
    }
}
