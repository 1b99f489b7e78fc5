//! How a node reacts when hosts join or leave, and when the bus goes away or comes back.

use super::{Membership, presence::Change};
use crate::{bus::BusState, wire::Origin};
use futures_util::StreamExt as _;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How often the replay guard is reminded of the live hosts.
const REMIND: Duration = Duration::from_secs(10);

/// Announces this node to new hosts, and ends the calls to and from hosts that are gone.
pub(crate) async fn hosts(membership: Arc<Membership>) {
    let mut changes = membership.presence.changes();
    loop {
        match changes.recv().await {
            Ok(Change::Joined(boot)) => {
                membership.announce_changes();
                // The boots before it are gone.
                let transport = &membership.transport;
                transport.callers_lost(|one| one.host == boot.host && one.epoch < boot.epoch);
            }
            Ok(Change::Left(gone)) => {
                membership.lost(&gone);
                membership.transport.callers_lost(|one| gone.contains(one));
            }
            Ok(Change::Lost(gone)) => membership.lost(&[gone]),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let presence = &membership.presence;
                let peers = membership.transport.peers();
                // One that leaves finishes its calls.
                let gone = peers.keys().filter(|origin| !presence.hears(origin));
                let gone: Vec<Origin> = gone.cloned().collect();
                drop(peers);
                membership.lost(&gone);
                membership.transport.callers_lost(|one| gone.contains(one));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Has the replay guard remember the live hosts, for as long as the node lives.
pub(crate) async fn live(membership: Arc<Membership>) {
    loop {
        tokio::time::sleep(REMIND).await;
        let live = membership.presence.peers();
        let endpoint = &membership.transport.endpoint;
        endpoint.keep(live.iter().map(|peer| &peer.origin));
    }
}

/// Ends every call in flight when the bus goes away, and announces this node when it is back.
pub(crate) async fn bus(membership: Arc<Membership>) {
    let mut states = membership.transport.endpoint.bus().watch_state();
    let Some(mut before) = states.next().await else {
        return;
    };
    while let Some(now) = states.next().await {
        // A change from connected to connected: the bus was away and is back already.
        if now != BusState::Connected || before == BusState::Connected {
            membership.transport.bus_lost();
        }
        if now == BusState::Connected {
            membership.announce_changes();
        }
        before = now;
    }
}

impl Membership {
    fn lost(&self, gone: &[Origin]) {
        for origin in gone {
            self.transport.peer_lost(origin);
        }
    }
}
