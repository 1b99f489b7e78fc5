//! Writing links: rewrites of records that are decided by the replica, and that are in the replica
//! when they return.

use crate::{
    backoff::Backoff,
    link::{LinkKey, LinkTable},
    replica::{OtherKey, Replica},
    store::{
        Entry, Expect, Incarnation, InvalidCommit, Op, Revision, StoreError, StoreKey,
        generation::{Basis, unseen},
        record::{RecordError, Records},
        rewrite::{Rewrite, RewriteError},
    },
};
use bytes::Bytes;
use futures_util::future::try_join;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long one operation may take: as long as one call to the store may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the replica may lag a write of its own process before the write fails with
/// [`WriteError::NotSeen`].
pub(crate) const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait for the replica to agree with a read before reading again: one of the two is
/// moments behind.
pub(crate) const REREAD: Duration = Duration::from_millis(100);
/// Longest pauses between two attempts. The last sets about how many writers of one key get through
/// per second at worst.
pub(crate) const PAUSES: Backoff =
    Backoff::doubling(Duration::from_millis(4), Duration::from_millis(200));

/// Why a write to the store failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The store can't be read or written. Nothing was written.
    #[error("the store could not be used")]
    Store(#[from] StoreError),
    /// The store does not accept such a value or key.
    #[error("the store refused the write")]
    Refused(#[from] InvalidCommit),
    /// Other writers kept changing the same key. Nothing was written.
    #[error(
        "other writers kept changing `{key}` for {} s; try again",
        PATIENCE.as_secs()
    )]
    Contended {
        /// The key in the store.
        key: StoreKey,
    },
    /// This process's copy of the store is behind it, or does not follow it at present, so it can't
    /// decide, and other processes might refuse what it writes. Nothing was written.
    #[error(
        "this process's copy of the store is too old to decide what to write at `{key}`; try again"
    )]
    Behind {
        /// The key in the store.
        key: StoreKey,
    },
    /// The value at the key was written by a newer version of Lattice. Nothing was written.
    #[error(
        "the value at `{key}` can't be read here; update this process, or delete it with the version that wrote it"
    )]
    Unreadable {
        /// The key in the store.
        key: StoreKey,
        /// The problem.
        source: RecordError,
    },
    /// Everything in the store was written with another key. Nothing was written.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// The value can't be encoded. Nothing was written.
    #[error("the value can't be encoded for the store; report this as a bug")]
    Unencodable(#[source] RecordError),
    /// The answer to a write was lost, and later attempts did not settle whether it was written.
    #[error(
        "the answer to a write of `{key}` was lost, so it may or may not be written; read it again when the store is back"
    )]
    Unknown {
        /// The key in the store.
        key: StoreKey,
        /// The error of the later attempt.
        source: Box<WriteError>,
    },
    /// It was written, but this process has not seen it yet, so later operations here may not rely
    /// on it.
    #[error(
        "it was written as revision {}, but this process has not seen it within {} s; don't write it again",
        revision.0, SEEN_WITHIN.as_secs()
    )]
    NotSeen {
        /// The revision of the write.
        revision: Revision,
    },
}

/// The entry at a key, on which the store and the replica agree.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: StoreKey,
    pub(crate) entry: Option<Entry>,
    pub(crate) table: Arc<LinkTable>,
}

/// A successful write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) incarnation: Incarnation,
    pub(crate) revision: Revision,
}

/// The store and the replica that writes go through.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) records: Records,
    pub(crate) replica: Replica,
}

impl Writer {
    /// Reads `key` and waits until the replica agrees with the read, and is so recent that every
    /// process accepts a write that is based on it. `holds` returns whether the table has a value
    /// there.
    pub(crate) async fn slot(
        &self,
        key: &StoreKey,
        deadline: Instant,
        holds: impl Fn(&LinkTable) -> bool,
    ) -> Result<Slot, WriteError> {
        loop {
            let store = self.records.store();
            let (entry, position) = try_join(store.read(key.clone()), store.position()).await?;
            let agrees = |table: &LinkTable| {
                let has_seen = match &entry {
                    Some(entry) => table.revision() >= entry.revision,
                    None => !holds(table),
                };
                has_seen && self.replica.check_recent(basis(table), position).is_ok()
            };
            let until = deadline.min(Instant::now() + REREAD);
            if self.replica.until(until, agrees).await {
                let table = self.replica.snapshot();
                let key = key.clone();
                return Ok(Slot { key, entry, table });
            }
            if Instant::now() >= deadline {
                return Err(WriteError::Behind { key: key.clone() });
            }
        }
    }

    /// Encodes a record for the incarnation that the replica at `table` follows.
    pub(crate) fn encode<T: Serialize>(
        &self,
        table: &LinkTable,
        key: &StoreKey,
        body: &T,
    ) -> Result<Bytes, WriteError> {
        let Basis {
            incarnation,
            generation,
        } = basis(table);
        self.records
            .encode(incarnation, key, generation, body)
            .map_err(WriteError::Unencodable)
    }

    /// Returns the operation that deletes the record in a slot.
    pub(crate) fn deletion(&self, slot: &Slot) -> Op {
        let Basis {
            incarnation,
            generation,
        } = basis(&slot.table);
        let expect = Expect::of(slot.entry.as_ref());
        self.records
            .deletion(incarnation, slot.key.clone(), generation, expect)
    }

    /// Returns whether the replica, which has seen a write of this link or of its deletion, has
    /// accepted it, so that every process accepts it. A later write of the same link counts too.
    ///
    /// The answer of the store has no tag, and a link that was written over something that this
    /// process had not seen is refused as played again.
    pub(super) fn is_accepted(&self, key: &LinkKey, slot: &Slot, written: Written) -> bool {
        let table = self.replica.snapshot();
        let link = table.stored(key).map(|link| link.revision);
        let records = self.replica.record_table();
        let is_new = |before: &Entry| before.revision < written.revision;
        let is_refused = records
            .get(&slot.key)
            .is_some_and(|refused| refused.revision == written.revision);
        slot.entry.as_ref().is_none_or(is_new)
            && !is_refused
            && link.max(records.written_at(&slot.key)) >= Some(written.revision)
    }

    /// Commits operations that were decided by `table`. Returns `None` when everything has to be
    /// read again, also when every process refuses the values that were written.
    pub(crate) async fn commit(
        &self,
        attempts: &mut Attempts,
        table: &LinkTable,
        key: &StoreKey,
        ops: Vec<Op>,
    ) -> Result<Option<Written>, WriteError> {
        let committed = attempts.rewrite.commit(&self.records, ops).await;
        let committed = committed.map_err(|error| WriteError::of(key, error))?;
        let Basis {
            incarnation,
            generation,
        } = basis(table);
        Ok(committed.and_then(|revision| {
            // A process that was paused since the read may lack any number of writes.
            if unseen(generation, revision).is_some() {
                attempts.rewrite.was_refused();
                return None;
            }
            Some(Written {
                incarnation,
                revision,
            })
        }))
    }

    /// Waits until the replica has seen a write, so that the writer reads its own write. Returns
    /// `false` when the store was re-created meanwhile, so that the write has no effect.
    pub(crate) async fn seen(&self, written: Written) -> Result<bool, WriteError> {
        let Written {
            incarnation,
            revision,
        } = written;
        let has_seen = |table: &LinkTable| table.has_seen(incarnation, revision);
        if !self
            .replica
            .until(Instant::now() + SEEN_WITHIN, has_seen)
            .await
        {
            return Err(WriteError::NotSeen { revision });
        }
        let now = self.records.store().incarnation().await;
        Ok(now.map_err(|_| WriteError::NotSeen { revision })? == incarnation)
    }
}

/// The attempts at one operation, until a deadline.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) deadline: Instant,
    rewrite: Rewrite,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        let deadline = Instant::now() + PATIENCE;
        Self {
            deadline,
            rewrite: Rewrite::until(deadline, PAUSES),
        }
    }

    /// Returns whether an attempt may have been written without being confirmed.
    pub(crate) fn may_have_written(&self) -> bool {
        self.rewrite.may_have_written()
    }

    /// Corrects an error by the attempts made: while an answer is lost, it is unknown whether
    /// something was written.
    pub(super) fn truth(&self, key: &LinkKey, error: WriteError) -> WriteError {
        error.after(&store_key(key), self.may_have_written())
    }

    /// Pauses before the next attempt. Fails when the time is up.
    pub(crate) async fn again(&mut self, key: &StoreKey) -> Result<(), WriteError> {
        let again = self.rewrite.again().await;
        again.map_err(|error| WriteError::of(key, error))
    }
}

impl WriteError {
    /// Returns the error of a rewrite of `key`.
    pub(crate) fn of(key: &StoreKey, error: RewriteError) -> Self {
        match error {
            RewriteError::Store(error) => error.into(),
            RewriteError::Refused(refused) => refused.into(),
            RewriteError::Contended => Self::Contended { key: key.clone() },
        }
    }

    /// Corrects an error of writing `key` by the attempts made before: while the answer to one is
    /// lost, it is unknown whether something was written.
    pub(crate) fn after(self, key: &StoreKey, may_have_written: bool) -> Self {
        match self {
            error if !may_have_written => error,
            Self::NotSeen { .. } => self,
            error => Self::Unknown {
                key: key.clone(),
                source: Box::new(error),
            },
        }
    }
}

/// Returns the basis of writes that are decided by this table. Its generation is the revision that
/// this writer has seen: higher than at any earlier write of a key, even if the key was deleted
/// since.
fn basis(table: &LinkTable) -> Basis {
    Basis {
        incarnation: table.incarnation(),
        generation: table.revision().0,
    }
}

/// Returns the store key of the link with this key.
pub(super) fn store_key(key: &LinkKey) -> StoreKey {
    StoreKey::link_at(&key.source, &key.interface, &key.name)
}

/// Returns the store key of the link's status.
pub(super) fn status_key(key: &LinkKey) -> StoreKey {
    StoreKey::link_status_at(&key.source, &key.interface, &key.name)
}
