//! The state seam: a small replicated key-value store.
//!
//! # Contract of [`Store`]
//! * Every successful write (a put, a delete, an expiry) gives its key a [`Revision`] that is
//!   higher than any before it in this store. The operations of one commit get theirs in order.
//!   Revisions only compare within one [`Incarnation`].
//! * [`commit`](Store::commit) is atomic: it applies all operations or none. Each operation may
//!   name the state that it expects its key to be in. Once a commit has returned, every
//!   [`read`](Store::read) sees all of it.
//! * [`watch`](Store::watch) starts with a [`WatchEvent::Snapshot`], which never ends within a
//!   commit, and then delivers changes in revision order, those of one commit in one event. A slow
//!   watcher may miss values that were overwritten meanwhile, but always gets the last change of
//!   each key. After a reconnect, or when the watch fell too far behind, it delivers a new whole
//!   snapshot instead, so a watcher that keeps a copy has to compare. The queue of a slow watcher
//!   is bounded. The revision of a snapshot is that of the last write before it, even if the last
//!   write left nothing behind.
//! * [`lease`](Store::lease) puts a value that vanishes `ttl` after it was written: not before, and
//!   at most a few seconds later. Watchers receive that as a delete. Any later put of that key
//!   replaces the term too: a commit makes the value permanent.
//! * An operation of a commit may have a term of its own ([`Op::lasting`]), with the same meaning.
//! * A key that was deleted or has expired is [`Expect::Absent`].
//! * **Bounds**: values have at most [`MAX_VALUE`] bytes, commits have at most [`MAX_OPS`]
//!   operations on as many different keys, and terms of leases are whole seconds. Everything else
//!   fails with [`InvalidCommit`] and writes nothing. Every call ends within the store's own
//!   timeout (5 s by default).
//! * **At a limit, or not permitted**: calls fail with [`StoreError::Limit`], [`StoreError::Full`]
//!   or [`StoreError::Forbidden`], and write nothing.
//! * **Out of reach**: calls fail with [`StoreError::Unavailable`]. A watch delivers
//!   [`WatchEvent::Lost`] once, and a snapshot when the store is back.
//! * **Cancel safety**: dropping a `commit` or `lease` future leaves the whole of it done or not
//!   done, and the caller can't know which. Dropping a `read`, `incarnation` or `watch` future has
//!   no effect.
//!
//! | implementation | keeps its entries | for |
//! | --- | --- | --- |
//! | [`MemoryStore`] | in this process | the embedded lattice, tests |
//! | `disk::DiskStore` | in a file of this process | the embedded lattice that outlives its process |
//! | `nats::NatsStore` | in a `JetStream` bucket | everything with more than one process |
//! | `lattice_sim::fault::FaultStore` | in the store that it wraps | tests of what must survive an outage |

pub(crate) mod check;
pub(crate) mod counted;
#[cfg(feature = "disk")]
pub mod disk;
pub(crate) mod generation;
mod last;
mod memory;
#[doc(hidden)]
pub mod record;
mod removal;
pub(crate) mod rewrite;
pub(crate) mod sealed;
pub(crate) mod state;

pub use check::InvalidCommit;
pub(crate) use last::LastKnown;
#[doc(inline)]
pub use lattice_proto::{
    id::{Incarnation, Revision},
    key::{KeyKind, StoreKey},
};
pub use memory::MemoryStore;
pub use record::RecordError;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future::BoxFuture};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Most operations in one commit: as many as a `JetStream` atomic batch holds.
pub const MAX_OPS: usize = 1_000;
/// Largest value in bytes: well under NATS's default `max_payload` of 1 MiB.
pub const MAX_VALUE: usize = 512 * 1024;
/// How long the last revision of a deleted or expired key is remembered: long enough that every
/// process that still has the key has received the deletion, short enough that markers don't pile
/// up.
pub(crate) const MARKER_TTL: Duration = Duration::from_hours(24);

/// A replicated key-value store; see the [module](self) for the contract.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Returns whether programs other than this process can write to the store. If so, a key that
    /// has no value may have been removed by any of them, with the lattice's key or without it.
    fn is_shared(&self) -> bool {
        true
    }

    /// Returns the current incarnation of the store.
    ///
    /// # Errors
    /// Fails with [`StoreError::Unavailable`].
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>>;

    /// Returns the current incarnation of the store and the revision of its last write. A store
    /// that doesn't know the latter leaves it out; a process whose copy of the store is far behind
    /// then learns that only from the revision of its own next write.
    ///
    /// # Errors
    /// Fails with [`StoreError::Unavailable`].
    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async {
            Ok(Position {
                incarnation: self.incarnation().await?,
                newest: None,
            })
        })
    }

    /// Returns the entry at `key`, or `None` if the key has no value.
    ///
    /// # Errors
    /// Fails with [`StoreError`].
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>>;

    /// Applies all of `ops`, or none. Returns the revision of the last one.
    ///
    /// # Errors
    /// Fails with [`CommitError`].
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Writes a value that vanishes after `ttl` (whole seconds, 1 s to a year) unless it is written
    /// again. To take a free lease, expect [`Expect::Absent`]; to renew it, expect the revision of
    /// its last write; to give it back, commit a delete of the key that expects that revision.
    ///
    /// # Errors
    /// Fails with [`CommitError`].
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Watches every key.
    ///
    /// # Errors
    /// Fails with [`StoreError`].
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>>;
}

/// How far a store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The current incarnation.
    pub incarnation: Incarnation,
    /// The revision of the last write, or a little more; `None` where the store doesn't report it.
    /// The snapshot of a watch that starts later has at least this revision.
    pub newest: Option<Revision>,
}

/// One key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as it stands in the store. It may be one that Lattice doesn't use.
    pub key: StoreKey,
    /// The value.
    pub value: Bytes,
    /// The revision of the write that put it.
    pub revision: Revision,
}

/// The state of its key that an operation expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any state.
    Any,
    /// The key has no value: it was never written, was deleted or has expired.
    Absent,
    /// The key's last write (a put, a delete or an expiry) had this revision.
    At(Revision),
}

/// One operation of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub key: StoreKey,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
    /// The state that the key must be in.
    pub expect: Expect,
    /// How long the value lasts, in whole seconds; `None` means for good.
    pub ttl: Option<Duration>,
}

impl Op {
    /// Puts `value` at `key`.
    pub fn put(key: StoreKey, value: impl Into<Bytes>, expect: Expect) -> Self {
        Self {
            key,
            value: Some(value.into()),
            expect,
            ttl: None,
        }
    }

    /// Lets the value vanish after `ttl` (whole seconds, 1 s to a year) unless it is written again.
    #[must_use]
    pub fn lasting(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Deletes the value at `key`.
    pub fn delete(key: StoreKey, expect: Expect) -> Self {
        Self {
            key,
            value: None,
            expect,
            ttl: None,
        }
    }
}

/// An event of a [`StoreWatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All entries. This is the first event, and comes again after a reconnect or a gap.
    Snapshot {
        /// The incarnation of the store.
        incarnation: Incarnation,
        /// Every write up to this one is included.
        revision: Revision,
        /// All entries, ordered by key.
        entries: Vec<Entry>,
    },
    /// A key has a new value.
    Put(Entry),
    /// A key has no value any more: it was deleted or has expired.
    Delete {
        /// The key.
        key: StoreKey,
        /// The revision of the deletion.
        revision: Revision,
    },
    /// The changes of one commit that has several, in order: each is a put or a delete. No reader
    /// sees a part of them.
    Commit(Vec<WatchEvent>),
    /// The store is out of reach. A snapshot follows when it is back; until then earlier events
    /// still hold.
    Lost,
}

impl WatchEvent {
    /// Makes the event of one commit from its changes. Returns `None` if there are none.
    pub fn of_commit(mut changes: Vec<Self>) -> Option<Self> {
        match changes.len() {
            0 | 1 => changes.pop(),
            _ => Some(Self::Commit(changes)),
        }
    }

    /// Returns the changes of a commit one by one, and any other event as it is.
    pub fn changes(self) -> impl Iterator<Item = Self> {
        let (commit, single) = match self {
            Self::Commit(changes) => (changes, None),
            other => (Vec::new(), Some(other)),
        };
        commit.into_iter().chain(single)
    }
}

/// A stream of [`WatchEvent`]s. Dropping it ends the watch. The stream itself ends only when the
/// store is closed for good.
pub struct StoreWatch(Pin<Box<dyn Stream<Item = WatchEvent> + Send>>);

impl StoreWatch {
    /// Creates a watch, for implementations of [`Store`].
    pub fn new(events: impl Stream<Item = WatchEvent> + Send + 'static) -> Self {
        Self(Box::pin(events.fuse()))
    }
}

impl Stream for StoreWatch {
    type Item = WatchEvent;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for StoreWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreWatch")
    }
}

/// Why a read or a watch failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store can't be reached, or did not respond in time.
    #[error("the store is out of reach: {0}; try again when it is back")]
    Unavailable(String),
    /// The store is there, and a limit of it was reached: it has no room, or too many readers.
    /// Nothing was written. Trying again helps only after something was changed, as the text says.
    #[error("a limit of the store was reached: {0}")]
    Limit(String),
    /// The store is there, and this user may not do that. Nothing was written.
    #[error("the store doesn't permit it: {0}")]
    Forbidden(String),
    /// The store's disk has no room for a write; nothing was written. Reads still work.
    #[error("the store's disk is full: {0}; free some room and try again")]
    Full(String),
    /// The connection that the store was opened on is closed for good.
    #[error("the store is closed; connect again")]
    Closed,
    /// The store lacks something that Lattice needs.
    #[error("the store can't be used: {0}")]
    Unsupported(String),
}

/// Why a commit failed, or may have failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A key was not as expected; nothing was written. Read it and decide again.
    #[error("key `{key}` was changed by another writer; read it again")]
    Conflict {
        /// The first key that differed, if the store reports it; otherwise the first key of the
        /// commit.
        key: StoreKey,
    },
    /// The commit breaks a bound; nothing was written.
    #[error(transparent)]
    Invalid(#[from] InvalidCommit),
    /// Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer was lost, and reading back did not settle whether the commit happened. Read the
    /// keys to learn that.
    #[error("the answer to the commit was lost; read its keys to learn whether it happened")]
    Unknown,
}
