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
//! | state | left by |
//! | --- | --- |
//! | [`Following`](ReplicaState::Following): the copy follows the store within moments | the store out of reach: `Lost`; closed: `Closed` |
//! | [`Lost`](ReplicaState::Lost): the copy stays as it was | the store's next snapshot: `Following` |
//! | [`Closed`](ReplicaState::Closed): the copy stays as it was, for good | nothing |
//! | [`Snapshot`](ReplicaState::Snapshot): the copy is an earlier process's; the store was not reached yet | the store's first snapshot |
//! | [`StoreReplaced`](ReplicaState::StoreReplaced), [`StoreWentBack`](ReplicaState::StoreWentBack): follows a store that lost links held here | [`accept`](Replica::accept), or a put or delete of each such link: `Following` |
//!
//! A value that the replica can't authenticate or read grants nothing: a link whose value is
//! overwritten by garbage is gone until it is put again. The replica counts each such value, and
//! logs it once per key. It treats a replayed value in the same way. Every value carries a
//! *generation*, the store revision that its writer had seen, which rises with each write of a key.
//! A value whose generation does not rise is refused for as long as this replica lives and
//! remembers the key (it remembers the last 4,096 deleted ones).
//!
//! When a store was re-created (a new [`Incarnation`]) or its revisions went back, the replica does
//! not conclude that everything was deleted. What the store contains counts, and so does every
//! later write to it, deletions included. Links that it merely lacks are *held* until
//! [`Replica::accept`]. When the earlier store is back, the links that it lacks were deleted. Only
//! links whose revision is newer than the store's current one are held; older ones were deleted
//! deliberately. Each process holds links on its own: one that starts later sees the store as it is
//! then.

mod changes;
mod intake;
mod records;
mod refusals;
mod wait;

pub use changes::LinkChanges;
#[doc(hidden)]
pub use records::{RecordContent, RecordTable, StoredRecord};
pub use wait::{Behind, MAX_WAIT, MAX_WAITERS};

use crate::{
    extensions::Extensions,
    link::{Lacking, LinkTable},
    store::{
        Incarnation, LastKnown, Revision, StoreError, StoreKey, Watch, WatchEvent, record::Records,
    },
};
use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use intake::Intake;
use refusals::Refusals;
use std::{
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long [`Replica::follow`] waits for the first snapshot: as long as one call to a store may
/// take.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(5);
/// Most events taken in before their result is published. A burst costs one copy of the table, and
/// readers still see it grow.
const MAX_BATCH: usize = 256;
/// Pauses between attempts to watch a store that was never reached. They double from the first to
/// the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// A handle to the replica. Cheap to clone; the task ends with the last clone.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    table: ArcSwap<LinkTable>,
    /// Published before the link table: a revision that is seen there is already published here.
    records: watch::Sender<Arc<RecordTable>>,
    refusals: Arc<Refusals>,
    extensions: Extensions,
    /// Set after the table that it describes is published.
    health: watch::Sender<ReplicaHealth>,
    waiters: Semaphore,
    accepted: Notify,
}

/// The health of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReplicaHealth {
    /// Whether it follows the store.
    pub state: ReplicaState,
    /// The incarnation of the store that it last saw.
    pub incarnation: Incarnation,
    /// The last revision that it has seen.
    pub revision: Revision,
    /// Values refused so far: forged, malformed, of a newer version, or played again.
    pub refused: u64,
    /// How many times the store was found re-created.
    pub recreated: u64,
    /// How many times the store's revisions were found to have gone back.
    pub rewound: u64,
    /// Links that the store lost and that this process holds.
    pub held: usize,
    /// Values in the store now that were written with another key; 0 once a value written with this
    /// key was seen.
    pub other_key: usize,
}

/// Everything in the store was written with another key, so this process most likely has the wrong
/// one. It reads such a store as if it were empty, and overwrites nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process has another key than the lattice: none of the values in the store was written with it, and {values} with another one; check the key, or empty the store to start over"
)]
pub struct OtherKey {
    /// How many values there are.
    pub values: usize,
}

/// Whether a replica follows the store; see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReplicaState {
    /// The store is out of reach; the copy stays as it was.
    #[default]
    Lost,
    /// It follows the store within moments.
    Following,
    /// The store was closed; the copy no longer changes.
    Closed,
    /// The copy is one that an earlier process made; the store was not reached yet.
    Snapshot {
        /// When it last changed.
        taken: SystemTime,
    },
    /// It follows the store, and holds links of another store that was there before.
    StoreReplaced,
    /// It follows the store, and holds links that the store had before it went back.
    StoreWentBack,
}

impl ReplicaState {
    /// Returns whether it follows the store within moments.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Following | Self::StoreReplaced | Self::StoreWentBack
        )
    }
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
        let shared = Arc::new(Shared {
            table: ArcSwap::default(),
            records: watch::Sender::default(),
            refusals: Arc::default(),
            extensions: Extensions::default(),
            health: watch::Sender::default(),
            waiters: Semaphore::new(MAX_WAITERS),
            accepted: Notify::new(),
        });
        let mut follower = Follower {
            shared: shared.clone(),
            intake: Intake::new(records.clone(), shared.refusals.clone()),
            table: LinkTable::default(),
            records: Arc::default(),
            health: ReplicaHealth::default(),
            reach: Reach::Lost,
            last,
        };
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
    pub fn links(&self) -> TableRef {
        TableRef(self.shared.table.load())
    }

    /// Returns the table as it is now, to keep.
    pub fn snapshot(&self) -> Arc<LinkTable> {
        self.shared.table.load_full()
    }

    /// Returns the records of declared state as they are now, for the layers that interpret them.
    #[doc(hidden)]
    pub fn record_table(&self) -> Arc<RecordTable> {
        self.shared.records.borrow().clone()
    }

    /// Returns the records of declared state, now and whenever they change. The whole of one commit
    /// is published at once.
    #[doc(hidden)]
    pub fn follow_record_table(&self) -> watch::Receiver<Arc<RecordTable>> {
        self.shared.records.subscribe()
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

    /// Returns what the layers above keep per replica.
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

    /// Returns a receiver of its health, which is sent whenever its content may have changed.
    #[doc(hidden)]
    pub fn follow_health(&self) -> watch::Receiver<ReplicaHealth> {
        self.shared.health.subscribe()
    }

    /// Returns a stream of changes: first every present link as
    /// [`Added`](crate::link::LinkChange::Added), then every change. A slow reader may miss states
    /// in between but never the last one, and no queue builds up.
    pub fn changes(&self) -> LinkChanges {
        LinkChanges::new(self.clone())
    }
}

/// The task.
struct Follower {
    shared: Arc<Shared>,
    intake: Intake,
    table: LinkTable,
    records: Arc<RecordTable>,
    health: ReplicaHealth,
    reach: Reach,
    last: Option<Arc<dyn LastKnown>>,
}

/// Whether the store is within reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Not since this process started. It began with a copy of that time.
    Never(SystemTime),
    Lost,
    Live,
    Closed,
}

impl Follower {
    async fn run(mut self, records: Records, watch: Option<Watch>) {
        let watch = match watch {
            Some(watch) => Some(watch),
            None => watch_at_last(&records).await,
        };
        if let Some(watch) = watch {
            self.follow(watch).await;
        }
        self.reach = Reach::Closed;
        self.publish();
    }

    async fn follow(&mut self, mut watch: Watch) {
        let shared = self.shared.clone();
        loop {
            tokio::select! {
                biased;
                () = shared.accepted.notified() => {
                    self.table.let_go();
                }
                event = watch.next() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
            }
            for _ in 1..MAX_BATCH {
                match watch.next().now_or_never() {
                    Some(Some(event)) => self.take(event),
                    _ => break,
                }
            }
            self.publish();
        }
    }

    /// Starts from a copy that an earlier process made.
    fn begin(&mut self, taken: SystemTime, snapshot: WatchEvent) {
        self.take_in(snapshot);
        self.reach = Reach::Never(taken);
        self.publish();
    }

    fn take(&mut self, event: WatchEvent) {
        if event == WatchEvent::Lost {
            if self.reach == Reach::Live {
                self.reach = Reach::Lost;
            }
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
        if let Some(last) = &self.last {
            last.note(&event);
        }
        self.take_in(event);
    }

    fn take_in(&mut self, event: WatchEvent) {
        if let Some(event) = self.intake.take(event) {
            self.table.apply(event);
        }
        for event in self.intake.take_changes() {
            if !self.records.ignores(&event) {
                Arc::make_mut(&mut self.records).apply(event);
            }
        }
    }

    /// Detects a store that is not the one seen before.
    fn compare(&mut self, incarnation: Incarnation, revision: Revision) {
        let known = (self.table.incarnation(), self.table.revision());
        self.reach = Reach::Live;
        if known == (Incarnation::default(), Revision::default()) {
            return;
        }
        if known.0 != incarnation {
            self.health.recreated += 1;
            tracing::warn!(
                before = known.0.0,
                now = incarnation.0,
                "the store was replaced: links that are not in it are kept; put them again, or accept the store as it is"
            );
            self.intake.forget();
        } else if known.1 > revision {
            self.health.rewound += 1;
            tracing::warn!(
                before = known.1.0,
                now = revision.0,
                "the store's revisions went back: links that it does not have yet are kept; put them again, or accept the store as it is"
            );
            self.intake.forget();
        }
    }

    fn publish(&mut self) {
        self.health.state = match (self.reach, self.table.lacking()) {
            (Reach::Never(taken), _) => ReplicaState::Snapshot { taken },
            (Reach::Lost, _) => ReplicaState::Lost,
            (Reach::Closed, _) => ReplicaState::Closed,
            (Reach::Live, None) => ReplicaState::Following,
            (Reach::Live, Some(Lacking::Replaced)) => ReplicaState::StoreReplaced,
            (Reach::Live, Some(Lacking::WentBack)) => ReplicaState::StoreWentBack,
        };
        self.health.held = self.table.held();
        self.health.incarnation = self.table.incarnation();
        self.health.revision = self.table.revision();
        self.health.refused = self.shared.refusals.count();
        let before = std::mem::replace(&mut self.health.other_key, self.intake.other_key());
        if before == 0
            && let values @ 1.. = self.health.other_key
        {
            tracing::error!("{}", OtherKey { values });
        }
        self.shared.records.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.records) && *published != self.records;
            if is_new {
                published.clone_from(&self.records);
            }
            is_new
        });
        self.shared.table.store(Arc::new(self.table.clone()));
        self.shared.health.send_replace(self.health);
    }
}

/// Watches a store that is away, once it can be reached; returns `None` when it was closed.
async fn watch_at_last(records: &Records) -> Option<Watch> {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match records.store().watch().await {
            Ok(watch) => return Some(watch),
            Err(StoreError::Closed) => return None,
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests;
