//! Which hosts are live, and how this node announces itself to others.
//!
//! `presence` has the pure rules, `reader` and `watcher` feed them with beats, `heartbeat` sends
//! this node's own beats, `parts` puts together those that arrive in parts, `labels` checks the
//! labels in them, `follow` reacts to changes, and `epoch` gives each boot of a host a higher
//! number than the one before.

pub(crate) mod epoch;
pub(crate) mod follow;
pub(crate) mod heartbeat;
mod labels;
mod parts;
pub(crate) mod presence;
mod reader;
pub(crate) mod watcher;

#[doc(inline)]
pub use crate::wire::{Duty, Versions};
pub(crate) use heartbeat::Roster;
pub use labels::{LabelError, MAX_LABEL_NAME, MAX_LABEL_VALUE, MAX_LABELS, check_labels};
pub use presence::{Peer, Peers};
#[cfg(feature = "apps")]
pub(crate) use watcher::MemberEvent;
pub(crate) use watcher::PresenceWatcher;

use crate::{
    name::ComponentId,
    transport::Transport,
    wire::{Origin, ReplicaCount},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};
use tokio::sync::Notify;

/// When a node sends beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// From the start, as hosts do.
    Always,
    /// Once it serves a component. A node that only calls need not be known.
    OnceServing,
}

/// Replicas by component and generation.
pub(crate) type ReplicaCounts = BTreeMap<ComponentId, Vec<ReplicaCount>>;

/// How one node announces itself to others.
#[derive(Debug)]
pub(crate) struct Membership {
    transport: Arc<Transport>,
    pub(crate) presence: Arc<PresenceWatcher>,
    labels: BTreeMap<String, String>,
    announce: Announce,
    /// Whether it takes more replicas.
    duty: AtomicU8,
    /// Whether it takes leases, if it follows the store.
    takes_leases: AtomicBool,
    /// The replicas that its apps run.
    replica_counts: ArcSwap<ReplicaCounts>,
    /// The next beat is due soon.
    changed: Notify,
    leaving: AtomicBool,
}

impl Membership {
    pub(crate) fn new(
        transport: Arc<Transport>,
        presence: Arc<PresenceWatcher>,
        labels: BTreeMap<String, String>,
        announce: Announce,
    ) -> Self {
        Self {
            transport,
            presence,
            labels,
            announce,
            duty: AtomicU8::new(Duty::Apart as u8),
            takes_leases: AtomicBool::new(true),
            replica_counts: ArcSwap::default(),
            changed: Notify::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// This boot of this host.
    pub(crate) fn origin(&self) -> &Origin {
        self.transport.origin()
    }

    /// The labels in its beats.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Sets the replica counts in the next beats.
    pub(crate) fn set_replica_counts(&self, replica_counts: ReplicaCounts) {
        if **self.replica_counts.load() != replica_counts {
            self.replica_counts.store(Arc::new(replica_counts));
            self.announce_changes();
        }
    }

    /// Sets whether this node takes replicas from now on, and announces it.
    pub(crate) fn set_duty(&self, duty: Duty) {
        self.duty.store(duty as u8, Ordering::Release);
        self.announce_changes();
    }

    fn duty(&self) -> Duty {
        let duty = self.duty.load(Ordering::Acquire);
        let known = [Duty::Works, Duty::Leaves];
        let found = known.into_iter().find(|known| *known as u8 == duty);
        found.unwrap_or(Duty::Apart)
    }

    /// Sets whether this node takes leases while it follows the store, and announces it.
    pub(crate) fn set_takes_leases(&self, takes: bool) {
        if self.takes_leases.swap(takes, Ordering::AcqRel) != takes {
            self.announce_changes();
        }
    }

    fn takes_leases(&self) -> bool {
        self.takes_leases.load(Ordering::Acquire)
    }

    /// Sends a whole beat soon.
    pub(crate) fn announce_changes(&self) {
        self.changed.notify_one();
    }

    /// Whether this node has to be known to others now.
    pub(crate) fn speaks(&self, roster: &impl Roster) -> bool {
        self.announce == Announce::Always || !roster.is_empty()
    }

    /// Sends no beats from now on.
    pub(crate) fn stop_beats(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it is a host that neither left nor was killed.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.announce == Announce::Always && !self.is_leaving()
    }

    /// Whether this node has said goodbye, or vanished.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }
}
