//! Tracks the hosts that take work, from the heartbeats and goodbyes that this host receives.

use super::{
    known_hosts::{Hosts, KnownHosts},
    newcomers::Newcomers,
    strays::Strays,
};
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
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How many hosts are kept beyond twice the number of live ones.
const SPARE: usize = 64;

/// The live hosts, and whether they take work.
pub(super) struct HostTable {
    node: Arc<NodeParts>,
    members: Members,
    /// Hosts that have not yet proved that they are live. Their heartbeats are passed on later.
    pub(super) newcomers: Newcomers,
    /// Hosts that use another store.
    strays: Strays,
    known: KnownHosts,
    said: HashMap<HostId, Said>,
    /// Whether this host is handing over everything that it runs.
    leaving: bool,
}

/// What a host says of itself, for placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    duty: Duty,
    follows_store: bool,
}

impl Said {
    /// What is assumed of a host that an earlier process knew.
    const RECALLED: Self = Self {
        duty: Duty::Works,
        follows_store: true,
    };

    fn of(beat: &Beat) -> Self {
        Self {
            duty: beat.duty,
            follows_store: beat.follows().is_some(),
        }
    }
}

impl HostTable {
    pub(super) fn new(node: Arc<NodeParts>, listen: Duration) -> Self {
        let connection = &node.connection;
        Self {
            members: Members::new(node.membership.origin().clone(), listen, Instant::now()),
            newcomers: Newcomers::new(node.clone()),
            strays: Strays::default(),
            known: KnownHosts::new(connection.records.clone(), connection.types.last()),
            said: HashMap::new(),
            leaving: false,
            node,
        }
    }

    /// Restores the hosts that an earlier process knew, for use while no host can be reached.
    pub(super) fn recall(&mut self) {
        let mut hosts = self.known.recall();
        let me = &self.node.membership.origin().host;
        let Some(labels) = hosts.get_mut(me) else {
            if !hosts.is_empty() {
                tracing::warn!(host = %me, "the last snapshot does not contain this host, so it runs nothing while the bus is disconnected; give it the same id at each start");
            }
            return;
        };
        labels.clone_from(self.node.membership.labels());
        let said = hosts.keys().map(|host| (host.clone(), Said::RECALLED));
        self.said.extend(said);
        self.members.recall(hosts);
    }

    /// Announces from now on that this host takes no new work. Returns true if no other host can
    /// take over what it runs.
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

    /// Handles a membership event from the bus. Returns the hosts that placement counts, if they
    /// have changed.
    pub(super) fn receive(&mut self, event: &MemberEvent) -> Option<Vec<LiveHost>> {
        match event {
            MemberEvent::Beat(from, beat) => {
                self.forget_gone();
                let said = Said::of(beat);
                let before = self.said.insert(from.host.clone(), said);
                let has_strayed = self.has_strayed(from, beat);
                let changed = has_strayed || before != Some(said);
                self.take(membership_event(from, beat), changed)
            }
            // Every host refuses the frames of an older boot, so it never counts again. The event
            // is still passed on, so that the duplicate id is reported.
            MemberEvent::OlderBeat(from, _) if !self.members.knows_newer(from) => None,
            MemberEvent::Alive(from, beat) | MemberEvent::OlderBeat(from, beat) => {
                self.take(membership_event(from, beat), false)
            }
            MemberEvent::Goodbye(who) => {
                // An earlier boot may still be leaving.
                if !self.members.knows_newer(who) {
                    self.said.remove(&who.host);
                    self.strays.forget(&who.host);
                }
                self.take(members::Event::Goodbye(who.clone()), false)
            }
        }
    }

    /// Removes hosts that left without ever having counted, once there are many of them.
    fn forget_gone(&mut self) {
        let peers = self.node.connection.presence.peers();
        if self.said.len().max(self.strays.len()) > 2 * peers.iter().count() + SPARE {
            let live: BTreeSet<_> = peers.iter().map(|peer| &peer.origin.host).collect();
            self.said.retain(|host, _| live.contains(host));
            self.strays.retain(|host| live.contains(host));
        }
    }

    /// Returns whether a host has begun to use another store than this one, or no longer does.
    fn has_strayed(&mut self, from: &Origin, beat: &Beat) -> bool {
        if from.host == self.node.membership.origin().host {
            return false;
        }
        let health = self.node.connection.replica.health();
        // A process that doesn't follow the store can't compare its store with that of others.
        let ours = health.state.is_live().then_some(health.incarnation);
        self.strays
            .heard(from, beat.follows(), ours, Instant::now())
    }

    /// Handles any other event. Returns the hosts that placement counts, if they have changed.
    pub(super) fn handle(&mut self, event: members::Event) -> Option<Vec<LiveHost>> {
        self.take(event, false)
    }

    fn take(&mut self, event: members::Event, said_changed: bool) -> Option<Vec<LiveHost>> {
        let changes = self.members.handle(event, Instant::now());
        for change in &changes {
            match change {
                members::MembershipChange::Left(origin, why) => {
                    tracing::info!(host = %origin.host, ?why, "host left the placement set");
                    if !matches!(why, members::Departure::Restart) {
                        self.said.remove(&origin.host);
                        self.strays.forget(&origin.host);
                    }
                }
                members::MembershipChange::Doubled { counts, other } => {
                    tracing::warn!(host = %counts.host, counts = counts.epoch, other, "two hosts have the same id; give one of them another id");
                }
                _ => {}
            }
        }
        if !self.members.is_settled() || (!said_changed && changes.is_empty()) {
            return None;
        }
        let hosts = self.live();
        self.save(&hosts);
        Some(hosts)
    }

    /// Returns the hosts that take part in placement. A host whose duty is not known yet is left
    /// out.
    fn live(&self) -> Vec<LiveHost> {
        let counts_me = self.members.counts_me();
        let me = &self.node.membership.origin().host;
        let live = self.members.live().filter_map(|(origin, labels)| {
            let Said {
                duty,
                follows_store,
            } = *self.said.get(&origin.host)?;
            let counts = duty != Duty::Apart && !self.strays.contains(&origin.host);
            counts.then(|| LiveHost {
                host: origin.host.clone(),
                labels: labels.clone(),
                duty,
                follows_store,
            })
        });
        live.filter(|live| counts_me || live.host != *me).collect()
    }

    /// Saves the live hosts for the next process. A host that is leaving now is recalled as one
    /// that takes work.
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

/// Returns the membership event for a heartbeat.
fn membership_event(from: &Origin, beat: &Beat) -> members::Event {
    members::Event::Beat {
        from: from.clone(),
        interval: beat.interval(),
        labels: beat.labels.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        bus::memory::MemoryNetwork,
        node::{Node, NodeOptions},
        store::{Incarnation, MemoryStore, Revision},
        wire::Versions,
    };
    use std::collections::BTreeMap;
    use tokio::time::{sleep, timeout};

    struct Fixture {
        store: MemoryStore,
        node: Node,
        table: HostTable,
        _lattice: Lattice,
    }

    impl Fixture {
        async fn new() -> Self {
            let store = MemoryStore::new();
            let bus = Arc::new(MemoryNetwork::new().connect());
            let lattice = Lattice::on(bus, Arc::new(store.clone()), "dev").trust_bus();
            let lattice = lattice.await.expect("it opens");
            let options = NodeOptions::default().host("here").expect("valid");
            let node = lattice.node(options).await.expect("it joins");
            Self {
                table: HostTable::new(node.parts().clone(), Duration::ZERO),
                store,
                node,
                _lattice: lattice,
            }
        }

        fn hears(&mut self, from: &str) {
            let from = Origin::new(HostId::new(from).expect("valid"), 1);
            let beat = Beat {
                sent_ms: 0,
                interval_ms: 1_000,
                versions: Versions::OURS,
                incarnation: Incarnation(7),
                revision: Revision(1),
                labels: BTreeMap::new(),
                duty: Duty::Works,
                components: Vec::new(),
            };
            self.table.receive(&MemberEvent::Beat(from, Arc::new(beat)));
        }

        async fn until_live(&self, is_live: bool) {
            let replica = &self.node.parts().connection.replica;
            let changed = async {
                while replica.health().state.is_live() != is_live {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            let changed = timeout(Duration::from_secs(10), changed).await;
            changed.expect("the replica notices");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_that_come_and_go_leave_nothing_behind() {
        let mut fixture = Fixture::new().await;
        for n in 0..1_000 {
            fixture.hears(&format!("passing-{n}"));
        }
        let (said, strays) = (fixture.table.said.len(), fixture.table.strays.len());
        assert!(said.max(strays) <= SPARE + 4, "{said}, {strays}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_does_not_follow_its_store_takes_no_host_for_a_stray() {
        let mut fixture = Fixture::new().await;
        fixture.until_live(true).await;
        fixture.store.disconnect();
        fixture.until_live(false).await;
        fixture.hears("other");
        let other = HostId::new("other").expect("valid");
        assert!(!fixture.table.strays.contains(&other));
        fixture.store.reconnect();
        fixture.until_live(true).await;
        fixture.hears("other");
        assert!(fixture.table.strays.contains(&other));
    }
}
