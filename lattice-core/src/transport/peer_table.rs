//! The peers of one node. They are read on every call, and changed when a connection is opened or
//! closed.

use super::{
    endpoint::Endpoint,
    flow_control::SmallCallCount,
    id::PeerToken,
    peer::PeerConn,
    send_queue::{Lost, Then},
    session::{Broken, SessionCount},
};
use crate::{entropy::HashState, sync::Mutex, wire::Origin};
use arc_swap::{ArcSwap, Guard};
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
};

/// Connections by peer.
pub(crate) type PeerMap = HashMap<Origin, Arc<PeerConn>, HashState>;

#[derive(Debug, Default)]
pub(super) struct PeerTable {
    peers: ArcSwap<PeerMap>,
    /// Held while a connection is opened or closed, so that there is one to each peer.
    opening: Mutex<()>,
    small_calls: SmallCallCount,
    pub(super) session_count: SessionCount,
}

impl PeerTable {
    /// The peers, for the length of a lookup.
    pub(super) fn load(&self) -> Guard<Arc<PeerMap>> {
        self.peers.load()
    }

    /// The peers as they are now.
    pub(super) fn snapshot(&self) -> Arc<PeerMap> {
        self.peers.load_full()
    }

    /// Returns the connection to that boot of a host, opened if there is none yet.
    pub(super) fn get_or_open(
        &self,
        endpoint: &Arc<Endpoint>,
        peer: &Origin,
        on_lost: impl Fn(PeerToken, Lost) + Clone + Send + Sync + 'static,
    ) -> Arc<PeerConn> {
        let _opening = self.lock();
        if let Some(conn) = self.peers.load().get(peer) {
            return conn.clone();
        }
        let (small_calls, count) = (self.small_calls.clone(), self.session_count.clone());
        let conn = PeerConn::open(endpoint, peer.clone(), small_calls, count, on_lost);
        let conn = Arc::new(conn);
        self.change(|peers| {
            peers.insert(peer.clone(), conn.clone());
        });
        conn
    }

    /// Takes out the connection to a boot of a host.
    pub(super) fn remove(&self, peer: &Origin) -> Option<Arc<PeerConn>> {
        let conn = self.peers.load().get(peer).cloned()?;
        self.change(|peers| {
            peers.remove(peer);
        });
        Some(conn)
    }

    /// Takes out all connections.
    pub(super) fn take(&self) -> Arc<PeerMap> {
        self.peers.swap(Arc::default())
    }

    /// Closes connections that were not used since the last time.
    pub(super) fn close_unused(&self) {
        let _opening = self.lock();
        let peers = self.peers.load();
        let unused = peers.values().filter(|conn| conn.is_unused());
        let unused: Vec<Arc<PeerConn>> = unused.cloned().collect();
        drop(peers);
        for conn in unused {
            self.change(|peers| {
                peers.remove(&conn.peer);
            });
            // A holder that is gone may have opened a session meanwhile.
            if Arc::strong_count(&conn) == 1 && conn.sessions.are_unused() {
                conn.withdraw(Then::Close, Broken::Closed);
            } else {
                // A holder of it, or of the earlier table, may be about to send.
                self.change(|peers| {
                    peers.insert(conn.peer.clone(), conn.clone());
                });
            }
        }
    }

    fn change(&self, change: impl Fn(&mut PeerMap)) {
        self.peers.rcu(|peers| {
            let mut peers = PeerMap::clone(peers);
            change(&mut peers);
            peers
        });
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.opening.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        budget::Budgets,
        bus::memory::MemoryNetwork,
        name::{HostId, LatticeName},
        subject::Subjects,
        transport::Medium,
    };

    #[tokio::test]
    async fn a_peer_has_one_connection_until_it_is_unused() {
        let host = |id| Origin::new(HostId::new(id).expect("a host"), 1);
        let medium = Medium {
            bus: Arc::new(MemoryNetwork::new().connect()),
            subjects: Subjects::new(&LatticeName::new("dev").expect("a name")),
            auth: Auth::trusting(),
            budgets: Budgets::default(),
        };
        let endpoint = Arc::new(Endpoint::new(medium, host("a"), |_, _| true));
        let (table, peer) = (PeerTable::default(), host("b"));
        let open = || table.get_or_open(&endpoint, &peer, |_, _| {});
        let conn = open();
        assert!(Arc::ptr_eq(&conn, &open()));
        table.close_unused();
        table.close_unused();
        assert!(table.load().contains_key(&peer), "it is held");
        drop(conn);
        table.close_unused();
        assert!(table.load().is_empty());
    }
}
