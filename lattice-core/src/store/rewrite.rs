//! Rewrites: changes of records that other writers may change at the same time.
//!
//! ```text
//! ┌──► read ──► decide ──► Rewrite::commit ──► the revision: written
//! │                               │
//! └────── Rewrite::again ◄────────┴──► none: another writer was faster, or the answer was lost
//! ```
//!
//! The caller reads and decides, because a rewrite may concern several keys, and may have to agree
//! with the replica first. It decodes what it has read with [`Records::current`], and expects that
//! it is still there with [`Expect::of`]. This module has the rest: which results of a commit mean
//! that everything has to be read again, how often, and after which pause.
//!
//! Three kinds of writes are no rewrites and commit by themselves: leases, which have a term and
//! end by it; what a person was shown first (an app's plan, a link's revision), whose conflict is
//! an error; and what loses its purpose when somebody else was faster (the rejection of an update).

use super::{
    CommitError, Entry, Expect, Incarnation, InvalidCommit, Op, Revision, StoreError,
    record::{Record, RecordError, Records},
};
use crate::{backoff::Backoff, entropy};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// The attempts at one rewrite.
#[derive(Debug)]
pub(crate) struct Rewrite {
    bound: Bound,
    pauses: Option<Backoff>,
    made: u32,
    may_have_written: bool,
}

/// When there are no further attempts.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Deadline(Instant),
    Attempts(u32),
}

/// Why a rewrite failed. Unless the answer to an earlier attempt was lost, nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not accept such a value or key.
    #[error(transparent)]
    Refused(#[from] InvalidCommit),
    #[error("other writers kept changing the same keys; try again")]
    Contended,
}

/// What a write to a key replaces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Current<T> {
    /// The key has no value.
    Absent,
    Record(Record<T>),
    /// The record was deleted, by a deletion of this generation.
    Removed(u64),
    /// The value is not a valid record, so that any writer may replace it.
    Garbage(RecordError),
}

impl Rewrite {
    /// Allows attempts until this time, with pauses between them.
    pub(crate) fn until(deadline: Instant, pauses: Backoff) -> Self {
        Self::within(Bound::Deadline(deadline)).pausing(pauses)
    }

    /// Allows this many attempts.
    pub(crate) fn at_most(attempts: u32) -> Self {
        Self::within(Bound::Attempts(attempts))
    }

    fn within(bound: Bound) -> Self {
        Self {
            bound,
            pauses: None,
            made: 0,
            may_have_written: false,
        }
    }

    /// Pauses between attempts, for a random part of these times.
    pub(crate) fn pausing(mut self, pauses: Backoff) -> Self {
        self.pauses = Some(pauses);
        self
    }

    /// Notes that an attempt was written, and that every process refuses it.
    pub(crate) fn was_refused(&mut self) {
        self.may_have_written = true;
    }

    /// Returns whether an attempt may have been written without being confirmed.
    pub(crate) fn may_have_written(&self) -> bool {
        self.may_have_written
    }

    /// Commits operations that were decided by the values that were read. Returns `None` when
    /// everything has to be read again: another writer was faster, or the answer was lost.
    pub(crate) async fn commit(
        &mut self,
        records: &Records,
        ops: Vec<Op>,
    ) -> Result<Option<Revision>, RewriteError> {
        match records.store().commit(ops).await {
            Ok(revision) => Ok(Some(revision)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(CommitError::Unknown) => {
                self.may_have_written = true;
                Ok(None)
            }
            Err(CommitError::Invalid(refused)) => Err(refused.into()),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Pauses before the next attempt. Fails when there may be none.
    pub(crate) async fn again(&mut self) -> Result<(), RewriteError> {
        self.made = self.made.saturating_add(1);
        let is_over = match self.bound {
            Bound::Deadline(deadline) => Instant::now() >= deadline,
            Bound::Attempts(most) => self.made >= most,
        };
        if is_over {
            return Err(RewriteError::Contended);
        }
        if let Some(pauses) = self.pauses {
            sleep(pauses.with_full_jitter(self.made, entropy::share())).await;
        }
        Ok(())
    }
}

impl Expect {
    /// Returns the expectation that a key is as it was read.
    pub(crate) fn of(read: Option<&Entry>) -> Self {
        read.map_or(Self::Absent, |entry| Self::At(entry.revision))
    }
}

impl Records {
    /// Decodes what a write would replace, as it was read in this incarnation of the store.
    ///
    /// # Errors
    /// Fails with [`RecordError::Newer`]: what a newer version wrote is not replaced.
    pub(crate) fn current<T: DeserializeOwned>(
        &self,
        incarnation: Incarnation,
        read: Option<&Entry>,
    ) -> Result<Current<T>, RecordError> {
        let Some(entry) = read else {
            return Ok(Current::Absent);
        };
        match self.decode(incarnation, entry) {
            Ok(record) => Ok(Current::Record(record)),
            Err(RecordError::Removed { generation, .. }) => Ok(Current::Removed(generation)),
            Err(newer @ RecordError::Newer { .. }) => Err(newer),
            Err(garbage) => Ok(Current::Garbage(garbage)),
        }
    }
}

impl<T> Current<T> {
    /// Returns the record, if there is a valid one.
    pub(crate) fn record(self) -> Option<Record<T>> {
        match self {
            Self::Record(record) => Some(record),
            Self::Absent | Self::Removed(_) | Self::Garbage(_) => None,
        }
    }

    /// Returns the generation of the record or of its deletion, if there is a valid one.
    pub(crate) fn generation(&self) -> Option<u64> {
        match self {
            Self::Record(record) => Some(record.generation),
            Self::Removed(generation) => Some(*generation),
            Self::Absent | Self::Garbage(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
