//! Commits an app, even when the result of a commit is lost.

use super::ApplyError;
use crate::{
    connection::Connection,
    link::LinkTable,
    name::AppName,
    replica::{Behind, NotCommitted, RecordTable},
    store::{
        CommitError, Expect, KeyKind, Op, Revision, StoreError, StoreKey,
        generation::{Basis, unseen},
        record::{RecordError, looks_removed},
    },
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a commit whose result is lost is retried: as long as a store may take for one call.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait until this process's replica has its own write, or another write that won.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// One commit, until it is known whether it was written.
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    /// The copy of the store that the commit was computed from.
    pub(super) basis: Basis,
    pub(super) app: &'a AppName,
    /// The operations, with the app's own record last.
    pub(super) ops: Vec<Op>,
}

impl Writing<'_> {
    /// Makes the commit, and waits until this process has seen it. Returns its revision.
    pub(super) async fn write(&self) -> Result<Revision, ApplyError> {
        let written = self.commit().await?;
        let replica = &self.connection.replica;
        let has_seen = |table: &LinkTable| table.has_seen(self.basis.incarnation, written);
        let app = self.app.clone();
        if unseen(self.basis.generation, written).is_some() {
            return Err(ApplyError::Outdated { app });
        }
        if !replica.until(Instant::now() + SEEN_WITHIN, has_seen).await {
            return Err(ApplyError::NotSeen { app });
        }
        // What this process refuses of it, every other process that has seen as much refuses too.
        let table = replica.record_table();
        if self.ops.iter().any(|op| table.refuses(&op.key, written)) {
            return Err(ApplyError::Outdated { app });
        }
        if self.is_found(&table, written) {
            Ok(written)
        } else {
            Err(ApplyError::Unknown { app })
        }
    }

    /// Returns whether this process has received the write: the answer of the store has no tag, but
    /// what the replica accepted has one.
    fn is_found(&self, table: &RecordTable, written: Revision) -> bool {
        self.ops.last().is_none_or(|last| {
            let is_link = matches!(last.key.kind(), Some(KeyKind::Link { .. }));
            let is_new = match last.expect {
                Expect::At(before) => written > before,
                Expect::Any | Expect::Absent => true,
            };
            let found = table.written_at(&last.key);
            is_link || (is_new && found >= Some(written))
        })
    }

    /// Commits, and commits again while the result is lost. If a lost commit was written, the next
    /// one conflicts with it.
    ///
    /// This isn't a [`Rewrite`](crate::store::rewrite::Rewrite): the operations are those of the
    /// plan that was shown to the caller, so a conflict is an error, and they are not computed
    /// again.
    async fn commit(&self) -> Result<Revision, ApplyError> {
        let deadline = Instant::now() + PATIENCE;
        let mut may_hold = false;
        loop {
            let Connection {
                records, replica, ..
            } = self.connection;
            let committed = replica.commit(records, self.basis, self.ops.clone()).await;
            match committed {
                Ok(revision) => return Ok(revision),
                Err(NotCommitted::Outdated { .. }) => {
                    let app = self.app.clone();
                    return Err(ApplyError::Outdated { app });
                }
                Err(NotCommitted::Commit(CommitError::Conflict { key })) => {
                    return match self.holds(may_hold).await {
                        Some(written) => Ok(written),
                        None => Err(self.conflict(key).await),
                    };
                }
                Err(NotCommitted::Commit(CommitError::Unknown)) => may_hold = true,
                Err(NotCommitted::Commit(CommitError::Invalid(source))) => {
                    let app = self.app.clone();
                    return Err(ApplyError::Refused { app, source });
                }
                Err(NotCommitted::Behind(source)) if !may_hold => {
                    return Err(self.behind(source).await);
                }
                Err(
                    NotCommitted::Store(source) | NotCommitted::Commit(CommitError::Store(source)),
                ) if !may_hold => return Err(self.failed(source)),
                Err(_) => {}
            }
            if let Some(written) = self.holds(may_hold).await {
                return Ok(written);
            }
            if Instant::now() >= deadline {
                let app = self.app.clone();
                return Err(ApplyError::Unknown { app });
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns the commit if reading back shows that it was written. Only reads after a result was
    /// lost.
    async fn holds(&self, may_hold: bool) -> Option<Revision> {
        let last = self.ops.last().filter(|_| may_hold)?;
        let records = &self.connection.records;
        let entry = records.store().read(last.key.clone()).await.ok()??;
        let ours = last.value.as_ref()?;
        // If the record was to be deleted, it doesn't matter whether another writer deleted it
        // first.
        let is_gone = || {
            let found = records.open(self.basis.incarnation, &entry);
            looks_removed(ours) && matches!(found, Err(RecordError::Removed { .. }))
        };
        (entry.value == *ours || is_gone()).then_some(entry.revision)
    }

    /// Waits until this process has seen the other write, so that a new attempt takes it into
    /// account.
    async fn conflict(&self, key: StoreKey) -> ApplyError {
        let decided_at = Revision(self.basis.generation);
        let moved = |table: &LinkTable| table.revision() > decided_at;
        let until = Instant::now() + SEEN_WITHIN;
        self.connection.replica.until(until, moved).await;
        ApplyError::Conflict { key }
    }

    /// Waits until this process follows the store closely again, so that a new attempt is made from
    /// a recent copy.
    async fn behind(&self, source: Behind) -> ApplyError {
        let replica = &self.connection.replica;
        if let Ok(position) = self.connection.records.store().position().await {
            let until = Instant::now() + SEEN_WITHIN;
            let is_recent = |table: &LinkTable| {
                let basis = Basis {
                    incarnation: table.incarnation(),
                    generation: table.revision().0,
                };
                replica.check_recent(basis, position).is_ok()
            };
            replica.until(until, is_recent).await;
        }
        let app = self.app.clone();
        ApplyError::Behind { app, source }
    }

    fn failed(&self, source: StoreError) -> ApplyError {
        let app = self.app.clone();
        ApplyError::Store { app, source }
    }
}
