//! Newcomers: hosts that send heartbeats and have not yet proved that they are live. An attacker
//! can replay recorded heartbeats of a host that has left, and a process that has never received
//! them can't distinguish them from new ones. So a host counts for placement only after it has
//! answered a challenge of this process.

use crate::{membership::MemberEvent, name::HostId, node::NodeParts, wire::Origin};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::task::JoinSet;

/// The most challenges at a time. Further hosts are challenged at their next heartbeats.
const AT_ONCE: usize = 256;
/// How many proofs of hosts that may have left are kept.
const SPARE: usize = 64;

/// The hosts that have proved that they are live.
pub(super) struct Newcomers {
    node: Arc<NodeParts>,
    proved: HashSet<Origin>,
    /// The latest heartbeats of hosts that are being challenged.
    asked: HashMap<HostId, MemberEvent>,
    challenges: JoinSet<(Origin, bool)>,
}

impl Newcomers {
    pub(super) fn new(node: Arc<NodeParts>) -> Self {
        Self {
            node,
            proved: HashSet::new(),
            asked: HashMap::new(),
            challenges: JoinSet::new(),
        }
    }

    /// Returns whether an event counts now. If its host has not yet proved that it is live, this
    /// challenges the host, and [`proved`](Self::proved) returns the event later.
    pub(super) fn admits(&mut self, heard: &MemberEvent) -> bool {
        let from = match heard {
            MemberEvent::Beat(from, _) | MemberEvent::Alive(from, _) => from,
            // It counts only in addition to a later boot that has proved to be live.
            MemberEvent::OlderBeat(..) => return true,
            MemberEvent::Goodbye(who) => {
                self.proved.remove(who);
                if self
                    .asked
                    .get(&who.host)
                    .is_some_and(|event| event.origin() == who)
                {
                    self.asked.remove(&who.host);
                }
                return true;
            }
        };
        if from == self.node.membership.origin() || self.proved.contains(from) {
            return true;
        }
        let asked = self.asked.get(&from.host);
        let is_asked = asked.is_some_and(|event| event.origin() == from);
        if is_asked || self.challenges.len() < AT_ONCE {
            self.asked.insert(from.host.clone(), heard.clone());
        }
        if !is_asked && self.challenges.len() < AT_ONCE {
            let (transport, host) = (self.node.transport.clone(), from.clone());
            self.challenges.spawn(async move {
                let is_live = transport.challenge(&host).await;
                (host, is_live)
            });
        }
        false
    }

    /// Waits until a host has proved that it is live. Returns its latest heartbeat. Never returns
    /// if no host is being challenged.
    pub(super) async fn proved(&mut self) -> MemberEvent {
        loop {
            let Some(answer) = self.challenges.join_next().await else {
                return std::future::pending().await;
            };
            let Ok((host, is_live)) = answer else {
                // The host is unknown. All hosts are challenged again at their next heartbeats.
                self.asked.clear();
                continue;
            };
            let asked = self.asked.get(&host.host);
            if asked.is_none_or(|event| *event.origin() != host) {
                continue;
            }
            let event = self.asked.remove(&host.host);
            if !is_live {
                tracing::debug!(host = %host.host, "a host sends heartbeats but did not answer a challenge; it does not count for placement yet");
                continue;
            }
            self.prove(host);
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn prove(&mut self, host: Origin) {
        self.proved.retain(|known| known.host != host.host);
        self.proved.insert(host);
        let peers = self.node.connection.presence.peers();
        if self.proved.len() > 2 * peers.iter().count() + SPARE {
            self.proved.retain(|known| peers.contains(known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        node::{Node, NodeOptions},
        store::{Incarnation, Revision},
        wire::{Beat, Duty, Versions},
    };
    use std::{collections::BTreeMap, time::Duration};
    use tokio::time::timeout;

    fn beat(of: &Node) -> MemberEvent {
        let beat = Beat {
            sent_ms: 0,
            interval_ms: 1_000,
            versions: Versions::OURS,
            incarnation: Incarnation(1),
            revision: Revision(1),
            labels: BTreeMap::new(),
            duty: Duty::Works,
            components: Vec::new(),
        };
        MemberEvent::Beat(of.origin().clone(), Arc::new(beat))
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_says_goodbye_before_it_has_answered_does_not_count() {
        let lattice = Lattice::in_memory("dev").await.expect("it opens");
        let join = async |id: &str| {
            let options = NodeOptions::default().host(id).expect("valid");
            lattice.node(options).await.expect("it joins")
        };
        let (here, there) = (join("here").await, join("there").await);
        let mut newcomers = Newcomers::new(here.parts().clone());
        let within = Duration::from_secs(10);
        assert!(!newcomers.admits(&beat(&there)));
        let goodbye = MemberEvent::Goodbye(there.origin().clone());
        assert!(newcomers.admits(&goodbye));
        let proved = timeout(within, newcomers.proved()).await;
        assert!(proved.is_err(), "{proved:?}");

        assert!(!newcomers.admits(&beat(&there)));
        let proved = timeout(within, newcomers.proved()).await;
        assert_eq!(proved.expect("it answers").origin(), there.origin());
        assert!(newcomers.admits(&beat(&there)));
    }
}
