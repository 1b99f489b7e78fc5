//! The replica: this process's copy of the links and of the declared records in the store.
//!
//! One task per lattice connection follows the store, authenticates what it reads and publishes a
//! [`LinkTable`] and a `RecordTable`. It interprets links only; the layers above interpret the
//! records.
//!
//! ```text
//!  Store ──watch──► Intake (authenticates, refuses, remembers generations) ──► LinkTable ──► TableRef, LinkChanges, wait_for
//!                                                                              └──► RecordTable ──► the layers above
//! ```
//!
//! A value that the replica can't authenticate or read grants nothing: a link whose value is
//! overwritten by garbage is gone until it is put again. The replica counts each such value, and
//! logs it once per key. It treats a replayed value in the same way. Every value carries a
//! *generation*, the store revision that its writer had seen, which rises with each write of a key.
//! A value whose generation does not rise is refused for as long as this replica lives, and so is
//! one whose generation is more than 10,000 writes behind its revision. A process that may lack
//! that many writes doesn't write.
//!
//! What holders of the key delete leaves a tagged deletion, which has a generation too. Nothing
//! else is taken for a deletion: a key whose value was accepted and that is simply gone is treated
//! like an unreadable one. What the replica has never read, or knows as deleted, is absent.
//!
//! When a store was re-created (a new [`Incarnation`](crate::store::Incarnation)) or its revisions
//! went back, the replica does not conclude that everything was deleted. What the store contains
//! counts, and so does every later write to it, deletions included. Links that it merely lacks are
//! *held* until
//! [`Replica::accept`]. When the earlier store is back, the links that it lacks were deleted. Only
//! links whose revision is newer than the store's current one are held; older ones were deleted
//! deliberately. Each process holds links on its own: one that starts later sees the store as it is
//! then.

mod changes;
#[cfg(feature = "apps")]
mod claims;
#[cfg(feature = "apps")]
mod commit;
mod follower;
mod health;
mod intake;
mod records;
mod refusals;
mod wait;

pub(crate) use changes::LinkChanges;
#[cfg(feature = "apps")]
pub(crate) use claims::{Claim, LeaseClaims};
#[cfg(feature = "apps")]
pub(crate) use commit::NotCommitted;
pub use health::{OtherKey, ReplicaHealth, ReplicaState};
#[doc(hidden)]
pub use records::{AcceptedBody, RecordContent, RecordTable, StoredRecord};
pub use wait::{Behind, MAX_WAIT, MAX_WAITERS};

use crate::{
    extensions::Extensions,
    link::LinkTable,
    ordered_watch,
    store::{LastKnown, StoreError, StoreKey, record::Records},
    watch::Watch,
};
use arc_swap::ArcSwap;
#[cfg(feature = "apps")]
use claims::Claims;
use follower::Follower;
use refusals::Refusals;
use std::{fmt, ops::Deref, sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long [`Replica::follow`] waits for the first snapshot: as long as one call to a store may
/// take.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(5);

/// A process's copy of the links and of the declared records in the store, from
/// [`Lattice::replica`](crate::Lattice::replica). Cheap to clone; its task ends with the last
/// clone.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<ReplicaTables>,
    _task: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct ReplicaTables {
    table: ArcSwap<LinkTable>,
    /// Published before the link table: a revision that is seen there is already published here.
    records: watch::Sender<Arc<RecordTable>>,
    refusals: Arc<Refusals>,
    /// Published before the link table.
    #[cfg(feature = "apps")]
    claims: crate::sync::Mutex<Claims>,
    extensions: Extensions,
    /// Set after the table that it describes is published.
    health: ordered_watch::Sender<ReplicaHealth>,
    waiters: Semaphore,
    accepted: Notify,
}

/// Why [`Replica::follow`] failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The store can't be watched.
    #[error("the store can't be followed")]
    Store(#[from] StoreError),
    /// The store accepted the watch and sent nothing.
    #[error("the store sent no snapshot within {} s; check that it is up and try again", FIRST_SNAPSHOT.as_secs())]
    NoSnapshot,
}

/// The table as it is now. Hold it for the length of a lookup, not across an `await`; use
/// [`Replica::snapshot`] to keep it longer.
#[derive(Debug)]
pub struct TableRef(arc_swap::Guard<Arc<LinkTable>>);

impl Deref for TableRef {
    type Target = LinkTable;
    fn deref(&self) -> &LinkTable {
        &self.0
    }
}

impl Replica {
    /// Starts to follow the store. Returns once everything in the store is here.
    ///
    /// # Errors
    /// Fails with [`FollowError`].
    ///
    /// # Cancel safety
    /// Dropping the future stops what it started.
    #[doc(hidden)]
    pub async fn follow(records: Records) -> Result<Self, FollowError> {
        Self::follow_from(records, None).await
    }

    /// Like [`follow`](Self::follow), and keeps `last` up to date. When the store is away, it
    /// starts from `last`.
    pub(crate) async fn follow_from(
        records: Records,
        last: Option<Arc<dyn LastKnown>>,
    ) -> Result<Self, FollowError> {
        let known = last.as_ref().and_then(|last| last.snapshot());
        let watch = match records.store().watch().await {
            Ok(watch) => Some(watch),
            Err(StoreError::Unavailable(_) | StoreError::Limit(_)) if known.is_some() => None,
            Err(error) => return Err(error.into()),
        };
        let shared = Arc::new(ReplicaTables {
            table: ArcSwap::default(),
            records: watch::Sender::default(),
            refusals: Arc::default(),
            #[cfg(feature = "apps")]
            claims: crate::sync::Mutex::default(),
            extensions: Extensions::default(),
            health: ordered_watch::Sender::default(),
            waiters: Semaphore::new(MAX_WAITERS),
            accepted: Notify::new(),
        });
        let mut follower = Follower::new(records.clone(), shared.clone(), last);
        let starts_away = watch.is_none();
        let has_known = known.is_some();
        if let Some((taken, snapshot)) = known {
            follower.begin(taken, snapshot);
        }
        let mut health = shared.health.subscribe();
        let replica = Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(tokio::spawn(
                follower.run(records, watch),
            ))),
        };
        if starts_away {
            return Ok(replica);
        }
        let first = health
            .wait_for(|health| health.state.is_live() || health.state == ReplicaState::Closed);
        match tokio::time::timeout(FIRST_SNAPSHOT, first).await {
            Ok(Ok(health)) if health.state.is_live() => {}
            Err(_) if has_known => {}
            _ => return Err(FollowError::NoSnapshot),
        }
        Ok(replica)
    }

    /// Returns the table as it is now, without a lock or a copy.
    #[doc(hidden)]
    pub fn links(&self) -> TableRef {
        TableRef(self.shared.table.load())
    }

    /// Returns the table as it is now, to keep.
    #[doc(hidden)]
    pub fn snapshot(&self) -> Arc<LinkTable> {
        self.shared.table.load_full()
    }

    /// Returns the records of declared state as they are now, for the layers that interpret them.
    #[doc(hidden)]
    pub fn record_table(&self) -> Arc<RecordTable> {
        self.shared.records.borrow().clone()
    }

    /// Returns whether these are the records as they are now.
    #[cfg(feature = "apps")]
    pub(crate) fn has_record_table(&self, table: &Arc<RecordTable>) -> bool {
        Arc::ptr_eq(&self.shared.records.borrow(), table)
    }

    /// Returns the records of declared state, now and whenever they change. The whole of one commit
    /// is published at once.
    pub(crate) fn follow_record_table(&self) -> watch::Receiver<Arc<RecordTable>> {
        self.shared.records.subscribe()
    }

    /// Returns the claims to the lease at `key` that this process has seen.
    #[cfg(feature = "apps")]
    pub(crate) fn lease_claims(&self, key: &StoreKey) -> LeaseClaims {
        self.shared.claims.lock().of(key)
    }

    /// Counts and logs an authentic record that the layer above can't use.
    #[doc(hidden)]
    pub fn refuse(&self, key: &StoreKey, reason: &dyn fmt::Display) {
        self.shared.refusals.add(key, reason);
        let refused = self.shared.refusals.count();
        self.shared.health.send_if_modified(|health| {
            let is_new = health.refused < refused;
            health.refused = health.refused.max(refused);
            is_new
        });
    }

    /// Returns the values that the layers above keep per replica.
    #[doc(hidden)]
    pub fn extensions(&self) -> &Extensions {
        &self.shared.extensions
    }

    /// Returns its health.
    pub fn health(&self) -> ReplicaHealth {
        *self.shared.health.borrow()
    }

    /// Checks that this process's key is that of the lattice, as far as the store shows. An empty
    /// store passes with any key.
    ///
    /// # Errors
    /// Fails with [`OtherKey`].
    pub fn check_key(&self) -> Result<(), OtherKey> {
        match self.health().other_key {
            0 => Ok(()),
            values => Err(OtherKey { values }),
        }
    }

    /// Accepts the store as it is, after it came back [replaced](ReplicaState::StoreReplaced) or
    /// [as it was earlier](ReplicaState::StoreWentBack). The links that it lacks are removed here a
    /// moment later. Has no effect while no link is held.
    pub fn accept(&self) {
        self.shared.accepted.notify_one();
    }

    /// Returns a watch of its health, which changes whenever its content may have changed. It ends
    /// when nothing holds the replica any more.
    pub fn watch_health(&self) -> Watch<ReplicaHealth> {
        Watch::of(self.follow_health())
    }

    pub(crate) fn follow_health(&self) -> ordered_watch::Receiver<ReplicaHealth> {
        self.shared.health.subscribe()
    }

    /// Returns the changes of links: first every present link as
    /// [`Added`](crate::link::LinkChange::Added), then every change.
    pub(crate) fn changes(&self) -> LinkChanges {
        LinkChanges::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
