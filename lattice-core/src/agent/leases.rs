//! Leases of components that run once.
//!
//! A lease is taken, renewed and taken over by a write with a term and an expected revision, so the
//! store decides between two hosts that want it. The holder stops serving one second before the
//! term of its last renewal can end. It measures that by its own clock, whether or not it can reach
//! the store, and no other host gets the lease before then. The holder checks the lease before each
//! call and again before it returns the result, so a process that was paused returns nothing under
//! a lease that has ended in the meantime.

mod permission;
mod task;
#[cfg(test)]
mod tests;

use crate::{
    id::Fence,
    name::ComponentId,
    ordered_watch,
    place::plan::{Event, once::KEEP},
    replica::Replica,
    serve::{LeaseDeadline, Leased, Service},
    store::{StoreKey, record::Records},
    wire::Origin,
};
use permission::{Denial, LeasePermission};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};
use task::LeaseTask;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long a lease lasts without a renewal.
pub const TERM: Duration = Duration::from_secs(5);
/// The time between two renewals.
pub const RENEW: Duration = Duration::from_millis(1_500);
/// A host that has just returned can take a lease before the present holder gives it up: it follows
/// the store for a term, and pauses for up to a second between two attempts.
const _: () = assert!(KEEP.as_millis() > TERM.as_millis() + 1_000);

/// How long before the end of its term a holder stops, because clocks run at slightly different
/// speeds.
pub const MARGIN: Duration = Duration::from_secs(1);

/// The holder of a lease, as it is recorded in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    origin: Origin,
}

/// The leases that this host holds or tries to take.
#[derive(Debug)]
pub struct Leases {
    records: Records,
    replica: Replica,
    origin: Origin,
    events: mpsc::Sender<Event>,
    held: HashMap<ComponentId, HeldLease>,
    /// The leases that are being given back.
    ending: JoinSet<()>,
    permission: LeasePermission,
    permission_changes: ordered_watch::Receiver<Option<Denial>>,
    /// While the store doesn't permit this host to write leases.
    probe: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct HeldLease {
    until: LeaseDeadline,
    release: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Leases {
    /// Holds no lease yet. Changes of leases are sent to `events`. `replica` follows the store of
    /// `records`.
    pub fn new(
        records: Records,
        replica: Replica,
        origin: Origin,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let permission = LeasePermission::default();
        Self {
            records,
            replica,
            origin,
            events,
            held: HashMap::new(),
            ending: JoinSet::new(),
            permission_changes: permission.changes(),
            permission,
            probe: None,
        }
    }

    /// Starts to take a lease, and to renew it once it is held.
    pub fn acquire(&mut self, component: &ComponentId) {
        let (until, release) = (LeaseDeadline::expired(), CancellationToken::new());
        let holding = LeaseTask {
            records: self.records.clone(),
            replica: self.replica.clone(),
            origin: self.origin.clone(),
            key: StoreKey::lease(component),
            component: component.clone(),
            events: self.events.clone(),
            until: until.clone(),
            release: release.clone(),
            permission: self.permission.clone(),
        };
        let lease = HeldLease {
            until,
            release,
            task: AbortOnDropHandle::new(tokio::spawn(holding.hold())),
        };
        self.held.insert(component.clone(), lease);
    }

    /// Gives a lease back. The caller makes sure that nothing runs under it any more.
    pub fn release(&mut self, component: &ComponentId) {
        if let Some(lease) = self.held.remove(component) {
            lease.release.cancel();
            // The task ends by itself within the store's timeout, and its result is not needed.
            self.ending
                .spawn(async move { drop(timeout(TERM, lease.task).await) });
        }
    }

    /// Waits until a lease has been given back, or the store has begun or ceased to refuse the
    /// leases of this host.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            biased;
            Some(_) = self.ending.join_next() => {}
            Ok(()) = self.permission_changes.changed() => {
                self.probe = self.permission.denial().map(|denial| {
                    let probe = self.permission.clone().probe(self.records.clone(), denial.key);
                    AbortOnDropHandle::new(tokio::spawn(probe))
                });
            }
            // The sender of changes is a part of this.
            else => std::future::pending().await,
        }
    }

    /// Returns why the store doesn't permit this host to write leases, if it doesn't.
    pub(super) fn denial(&self) -> Option<String> {
        self.permission.denial().map(|denial| denial.reason)
    }

    /// Returns whether no lease is being given back.
    pub(super) fn are_given_back(&self) -> bool {
        self.ending.is_empty()
    }

    /// Returns how many leases are held now.
    pub(super) fn held(&self) -> usize {
        let held = self.held.values();
        held.filter(|lease| lease.until.holds()).count()
    }

    /// Returns the guard for a service that runs under the lease with this fence, or `None` if the
    /// lease is not held any more.
    pub fn guard(&self, component: &ComponentId, fence: u64) -> Option<Guard> {
        let (lease, fence) = (self.held.get(component)?, Fence::new(fence)?);
        Some(Guard {
            component: component.clone(),
            until: lease.until.clone(),
            fence,
        })
    }
}

/// Lets a service return results only while a lease is held.
#[derive(Debug)]
pub struct Guard {
    component: ComponentId,
    until: LeaseDeadline,
    fence: Fence,
}

impl Guard {
    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    /// Wraps a service so that it serves only while the lease is held.
    pub fn around(self, service: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Leased {
            component: self.component,
            service,
            fence: self.fence,
            until: self.until,
        })
    }
}
