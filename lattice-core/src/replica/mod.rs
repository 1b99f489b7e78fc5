//! The replica: this process's copy of what the store says of links and of desired state.
//!
//! One task per lattice connection follows the store, authenticates what it reads and publishes a [`LinkTable`] and a
//! [`Desired`]. Reading them takes no lock.
//!
//! ```text
//!  Store ──watch──► Intake (authenticates, refuses, remembers generations) ──► LinkTable ──► TableRef, LinkChanges, wait_for
//!                                                                              └──► Desired ──► DesiredWatch
//! ```
//!
//! | state | left by |
//! | --- | --- |
//! | [`Following`](ReplicaState::Following): what the store says is here within moments | the store out of reach: `Lost`; closed: `Closed` |
//! | [`Lost`](ReplicaState::Lost): what was known stays as it is | the store's next snapshot: `Following` |
//! | [`Closed`](ReplicaState::Closed): what was known stays, nothing new comes | nothing |
//!
//! What the replica can't authenticate or read is no grant: a link whose value is overwritten by garbage is gone until it is
//! put again. It is counted, and logged once per key. So is a value that was there before and is played again: every value
//! carries a *generation*, the store revision that its writer had seen, which rises with each write of a key; one that does
//! not is refused, as long as this replica lives and remembers the key (the last 4,096 deleted ones are).
//!
//! A store that was re-created (a new [`Incarnation`]), or whose revisions went back, is followed: what is not in it is no
//! grant. It is logged and counted in [`ReplicaHealth`].

mod changes;
mod intake;
mod wait;

pub use changes::LinkChanges;
pub use wait::{Behind, MAX_WAIT, MAX_WAITERS};

use crate::{
    desired::{Desired, DesiredWatch},
    link::LinkTable,
    store::{Incarnation, Revision, StoreError, Watch, WatchEvent, record::Records},
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use intake::Intake;
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long [`Replica::follow`] waits for the first snapshot: as long as a store may take for one call.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(5);
/// Most events taken in before their result is published: a burst costs one copy of the table, and readers still see it
/// grow.
const MAX_BATCH: usize = 256;

/// A handle to the replica. Cheap to clone; the task ends with the last clone.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    table: ArcSwap<LinkTable>,
    /// Published before the table: whoever sees a revision there sees it here.
    desired: watch::Sender<Arc<Desired>>,
    /// Set after the table it speaks of was published.
    health: watch::Sender<ReplicaHealth>,
    waiters: Semaphore,
}

/// How the replica fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReplicaHealth {
    /// Whether it follows the store.
    pub state: ReplicaState,
    /// Which life of the store it knows.
    pub incarnation: Incarnation,
    /// The last revision that it has seen.
    pub revision: Revision,
    /// Values refused so far: forged, malformed, of a newer version, or played again.
    pub refused: u64,
    /// How many times the store was found re-created.
    pub recreated: u64,
    /// How many times the store's revisions were found to have gone back.
    pub rewound: u64,
}

/// Whether a replica follows the store; see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReplicaState {
    /// The store is out of reach; what was known stays as it is.
    #[default]
    Lost,
    /// What the store says is here within moments.
    Following,
    /// The store was closed; nothing new comes.
    Closed,
}

/// Why there is no replica.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The store can't be watched.
    #[error("the store can't be followed; check that it is up and that this process may use it")]
    Store(#[from] StoreError),
    /// The store accepted the watch and said nothing.
    #[error("the store did not say what it holds within {} s; check that it is up and try again", FIRST_SNAPSHOT.as_secs())]
    NoSnapshot,
}

/// The table as it is now. Hold it for the length of a lookup, not across an `await`; [`Replica::snapshot`] is for longer.
#[derive(Debug)]
pub struct TableRef(arc_swap::Guard<Arc<LinkTable>>);

impl Deref for TableRef {
    type Target = LinkTable;
    fn deref(&self) -> &LinkTable {
        &self.0
    }
}

impl Replica {
    /// Starts to follow the store; ready once everything in it is here.
    ///
    /// # Errors
    /// [`FollowError`].
    ///
    /// # Cancel safety
    /// Dropping the future ends what it started.
    pub async fn follow(records: Records) -> Result<Self, FollowError> {
        let watch = records.store().watch().await?;
        let shared = Arc::new(Shared {
            table: ArcSwap::default(),
            desired: watch::Sender::default(),
            health: watch::Sender::default(),
            waiters: Semaphore::new(MAX_WAITERS),
        });
        let follower = Follower {
            shared: shared.clone(),
            intake: Intake::new(records),
            table: LinkTable::default(),
            desired: Arc::default(),
            health: ReplicaHealth::default(),
        };
        let mut health = shared.health.subscribe();
        let replica = Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(tokio::spawn(follower.run(watch)))),
        };
        let first = health.wait_for(|health| health.state != ReplicaState::Lost);
        match tokio::time::timeout(FIRST_SNAPSHOT, first).await {
            Ok(Ok(health)) if health.state == ReplicaState::Following => {}
            _ => return Err(FollowError::NoSnapshot),
        }
        Ok(replica)
    }

    /// The table as it is now, without a lock or a copy.
    pub fn links(&self) -> TableRef {
        TableRef(self.shared.table.load())
    }

    /// The table as it is now, to keep.
    pub fn snapshot(&self) -> Arc<LinkTable> {
        self.shared.table.load_full()
    }

    /// What should be, as it is known now.
    pub fn desired(&self) -> Arc<Desired> {
        self.shared.desired.borrow().clone()
    }

    /// What should be, and then what it becomes. Whoever looks rarely misses states in between, never the last one.
    pub fn follow_desired(&self) -> DesiredWatch {
        DesiredWatch::new(
            self.clone(),
            self.shared.desired.subscribe(),
            self.shared.health.subscribe(),
        )
    }

    /// How it fares.
    pub fn health(&self) -> ReplicaHealth {
        *self.shared.health.borrow()
    }

    /// Everything that is there as [`Added`](crate::link::LinkChange::Added), then every change. Whoever reads slowly misses
    /// states in between, never the last one, and nothing piles up.
    pub fn changes(&self) -> LinkChanges {
        LinkChanges::new(self.clone())
    }
}

/// The task.
struct Follower {
    shared: Arc<Shared>,
    intake: Intake,
    table: LinkTable,
    desired: Arc<Desired>,
    health: ReplicaHealth,
}

impl Follower {
    async fn run(mut self, mut watch: Watch) {
        while let Some(event) = watch.next().await {
            self.take(event);
            for _ in 1..MAX_BATCH {
                match watch.next().now_or_never() {
                    Some(Some(event)) => self.take(event),
                    _ => break,
                }
            }
            self.publish();
        }
        self.health.state = ReplicaState::Closed;
        self.publish();
    }

    fn take(&mut self, event: WatchEvent) {
        if event == WatchEvent::Lost {
            self.health.state = ReplicaState::Lost;
            return;
        }
        if let WatchEvent::Snapshot {
            incarnation,
            revision,
            ..
        } = &event
        {
            self.compare(*incarnation, *revision);
        }
        if let Some(event) = self.intake.take(event) {
            self.table.apply(event);
        }
        for event in self.intake.desired() {
            if !self.desired.ignores(&event) {
                Arc::make_mut(&mut self.desired).apply(event);
            }
        }
    }

    /// Tells when the store is not the one that was known before.
    fn compare(&mut self, incarnation: Incarnation, revision: Revision) {
        let known = (self.table.incarnation(), self.table.revision());
        self.health.state = ReplicaState::Following;
        if known == (Incarnation::default(), Revision::default()) {
            return;
        }
        if known.0 != incarnation {
            self.health.recreated += 1;
            tracing::warn!(
                before = known.0.0,
                now = incarnation.0,
                "the store was re-created: links that are not in it are gone; put them again if that was not meant"
            );
            self.intake.forget();
        } else if known.1 > revision {
            self.health.rewound += 1;
            tracing::warn!(
                before = known.1.0,
                now = revision.0,
                "the store's revisions went back: links are as they were then; put again what is missing"
            );
            self.intake.forget();
        }
    }

    fn publish(&mut self) {
        self.health.incarnation = self.table.incarnation();
        self.health.revision = self.table.revision();
        self.health.refused = self.intake.refused();
        self.shared.desired.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.desired) && *published != self.desired;
            if is_new {
                published.clone_from(&self.desired);
            }
            is_new
        });
        self.shared.table.store(Arc::new(self.table.clone()));
        self.shared.health.send_replace(self.health);
    }
}

#[cfg(test)]
mod tests;
