//! The state seam: a small replicated key-value store.
//!
//! # Contract of [`Store`]
//! * Every successful write (a put, a delete, an expiry) gives its key a [`Revision`] that is higher than any before it in
//!   this store; the operations of one commit get theirs in order. Revisions only compare within one [`Incarnation`].
//! * [`commit`](Store::commit) is atomic: all operations or none; each may name the state that it expects its key to be in.
//!   Once it is answered, every [`read`](Store::read) sees all of it.
//! * [`watch`](Store::watch) starts with a [`WatchEvent::Snapshot`], which never ends within a commit, and then delivers
//!   changes in revision order, each key's last one surely: a watcher that is slow may miss values that were overwritten
//!   meanwhile. After a reconnect, or when the watch fell too far behind, it delivers a new whole snapshot instead: whoever
//!   keeps a copy diffs. What waits for a slow watcher is bounded.
//! * [`lease`](Store::lease) puts a value that vanishes `ttl` after it was written: not before, and at most a few seconds
//!   later. Watchers hear of it as a delete. Any later put of that key replaces the term too: a commit makes it permanent.
//! * A key that was deleted or has expired is [`Expect::Absent`].
//! * **Bounds**: values of at most [`MAX_VALUE`] bytes, commits of at most [`MAX_OPS`] operations on as many different keys,
//!   terms of leases in whole seconds; everything else is [`InvalidCommit`] and writes nothing. Every call ends within the
//!   store's own timeout (5 s by default).
//! * **Out of reach**: calls answer [`StoreError::Unavailable`]; a watch says [`WatchEvent::Lost`] once, and a snapshot when
//!   the store is back.
//! * **Cancel safety**: dropping a `commit` or `lease` future leaves it done or not done, whole, and unknown which.
//!   Dropping a `read`, `incarnation` or `watch` future has no effect.
//!
//! | implementation | keeps its entries | for |
//! | --- | --- | --- |
//! | [`MemoryStore`] | in this process | the embedded lattice, tests |
//! | `disk::DiskStore` | in a file of this process | the embedded lattice that outlives its process |
//! | `nats::NatsStore` | in a `JetStream` bucket | everything with more than one process |
//! | `lattice_sim::fault::FaultStore` | in the store that it wraps | tests of what must survive an outage |

pub(crate) mod check;
#[cfg(feature = "disk")]
pub mod disk;
mod last;
mod memory;
pub mod record;
pub(crate) mod state;

pub use check::InvalidCommit;
pub(crate) use last::LastKnown;
pub use lattice_proto::{
    id::{Incarnation, Revision},
    key::{KeyKind, StoreKey},
};
pub use memory::MemoryStore;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future::BoxFuture};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Most operations in one commit: what a `JetStream` atomic batch holds.
pub const MAX_OPS: usize = 1_000;
/// Largest value in bytes: well under NATS's default `max_payload` of 1 MiB.
pub const MAX_VALUE: usize = 512 * 1024;
/// How long a deleted or expired key's last revision is remembered: long enough for whoever still holds it to have been
/// told, short enough that markers don't pile up.
pub(crate) const MARKER_TTL: Duration = Duration::from_hours(24);

/// A replicated key-value store; see the [module](self) for the contract.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Which life of the store this is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>>;

    /// The entry at `key`, if it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>>;

    /// Applies all of `ops`, or none; answers the revision of the last one.
    ///
    /// # Errors
    /// [`CommitError`].
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Writes a value that vanishes after `ttl` (whole seconds, 1 s to a year) unless it is written again. Taking a free
    /// lease expects [`Expect::Absent`]; renewing it expects the revision of the last write; giving it back is a commit that
    /// deletes the key and expects that revision too.
    ///
    /// # Errors
    /// [`CommitError`].
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Follows every key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn watch(&self) -> BoxFuture<'_, Result<Watch, StoreError>>;
}

/// One key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, as it stands in the store: it may be none of ours.
    pub key: StoreKey,
    /// The value.
    pub value: Bytes,
    /// The revision of the write that put it.
    pub revision: Revision,
}

/// What an operation expects of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That it has no value: never written, deleted or expired.
    Absent,
    /// That its last write (a put, a delete or an expiry) had this revision.
    At(Revision),
}

/// One operation of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub key: StoreKey,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
    /// What the key must be like.
    pub expect: Expect,
}

impl Op {
    /// Puts `value` at `key`.
    pub fn put(key: StoreKey, value: impl Into<Bytes>, expect: Expect) -> Self {
        Self {
            key,
            value: Some(value.into()),
            expect,
        }
    }

    /// Deletes what is at `key`.
    pub fn delete(key: StoreKey, expect: Expect) -> Self {
        Self {
            key,
            value: None,
            expect,
        }
    }
}

/// What a [`Watch`] delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All that is there: the first event, and again after a reconnect or a gap.
    Snapshot {
        /// Which life of the store.
        incarnation: Incarnation,
        /// Every write up to this one is in it.
        revision: Revision,
        /// All entries, ordered by key.
        entries: Vec<Entry>,
    },
    /// A key has a new value.
    Put(Entry),
    /// A key has none any more: deleted or expired.
    Delete {
        /// The key.
        key: StoreKey,
        /// The revision of the deletion.
        revision: Revision,
    },
    /// The store is out of reach; a snapshot follows when it is back. What is known stays as it is.
    Lost,
}

/// A stream of [`WatchEvent`]s. Dropping it ends the watch. It ends only when the store is closed, and then for good.
pub struct Watch(Pin<Box<dyn Stream<Item = WatchEvent> + Send>>);

impl Watch {
    /// For implementations of [`Store`].
    pub fn new(events: impl Stream<Item = WatchEvent> + Send + 'static) -> Self {
        Self(Box::pin(events.fuse()))
    }
}

impl Stream for Watch {
    type Item = WatchEvent;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Why a read or a watch did not work.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store can't be reached, or did not answer in time.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// The store's disk has no room for a write; nothing was written. Reads go on.
    #[error("the store's disk is full: {0}; free some room and try again")]
    Full(String),
    /// The connection that the store was opened on is closed for good.
    #[error("the store is closed; connect again")]
    Closed,
    /// The store lacks something that Lattice needs.
    #[error("the store can't be used: {0}")]
    Unsupported(String),
}

/// Why a commit did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A key was not as expected; nothing was written. Read it and decide again.
    #[error("key `{key}` was changed by someone else; read it again")]
    Conflict {
        /// The first key that differed, where the store says which; else the first of the commit.
        key: StoreKey,
    },
    /// The commit breaks a bound; nothing was written.
    #[error(transparent)]
    Invalid(#[from] InvalidCommit),
    /// Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer was lost and reading back did not tell; read the keys to learn whether it happened.
    #[error("the answer to the commit was lost; read its keys to learn whether it happened")]
    Unknown,
}
