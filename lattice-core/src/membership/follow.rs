//! How a node reacts when hosts join or leave, and when the bus goes away or comes back.

use super::{Membership, presence::Change};
use crate::{bus::BusState, wire::Origin};
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Announces this node to new hosts, and ends the calls to hosts that are gone.
pub(crate) async fn hosts(membership: Arc<Membership>) {
    let mut changes = membership.presence.changes();
    loop {
        match changes.recv().await {
            Ok(Change::Joined(_)) => membership.announce_changes(),
            Ok(Change::Left(gone)) => membership.lost(&gone),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let live = membership.presence.peers();
                let peers = membership.transport.peers();
                let gone = peers.keys().filter(|origin| !live.contains(origin));
                let gone: Vec<Origin> = gone.cloned().collect();
                drop(peers);
                membership.lost(&gone);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Ends every call in flight when the bus goes away, and announces this node when it is back.
pub(crate) async fn bus(membership: Arc<Membership>) {
    let mut state = membership.transport.endpoint.bus().state();
    let mut before = *state.borrow_and_update();
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
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
