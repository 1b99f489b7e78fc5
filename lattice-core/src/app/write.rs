//! Commits an app, even when the result of a commit is lost.

use super::ApplyError;
use crate::{
    connection::Connection,
    desired::Desired,
    link::LinkTable,
    name::AppName,
    store::{
        CommitError, Expect, KeyKind, Op, Revision, StoreError, StoreKey,
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
    /// The desired state that the commit was computed from.
    pub(super) desired: &'a Desired,
    /// The revision that this process had seen at that time.
    pub(super) decided_at: Revision,
    pub(super) app: &'a AppName,
    /// The operations, with the app's own record last.
    pub(super) ops: Vec<Op>,
}

impl Writing<'_> {
    /// Makes the commit, and waits until this process has seen it. Returns its revision.
    pub(super) async fn write(&self) -> Result<Revision, ApplyError> {
        let store = self.connection.records.store();
        let incarnation = store.incarnation().await.map_err(|e| self.failed(e))?;
        if incarnation != self.desired.incarnation {
            return Err(ApplyError::Behind);
        }
        let written = self.commit().await?;
        let replica = &self.connection.replica;
        let has_seen = |table: &LinkTable| table.has_seen(incarnation, written);
        let app = self.app.clone();
        if !replica.until(Instant::now() + SEEN_WITHIN, has_seen).await {
            return Err(ApplyError::NotSeen { app });
        }
        // The answer of the store has no tag, but what the replica accepted has one.
        let accepted = self.ops.last().is_none_or(|last| {
            let is_link = matches!(last.key.kind(), Some(KeyKind::Link { .. }));
            let is_new = match last.expect {
                Expect::At(before) => written > before,
                Expect::Any | Expect::Absent => true,
            };
            let found = replica.record_table().written_at(&last.key);
            is_link || (is_new && found >= Some(written))
        });
        if accepted {
            Ok(written)
        } else {
            Err(ApplyError::Unknown { app })
        }
    }

    /// Commits, and commits again while the result is lost. If a lost commit was written, the next
    /// one conflicts with it.
    ///
    /// This isn't a [`Rewrite`](crate::store::rewrite::Rewrite): the operations are those of the plan
    /// that the caller was shown, so a conflict is an error, and they are not decided again.
    async fn commit(&self) -> Result<Revision, ApplyError> {
        let deadline = Instant::now() + PATIENCE;
        let mut may_hold = false;
        loop {
            match self
                .connection
                .records
                .store()
                .commit(self.ops.clone())
                .await
            {
                Ok(revision) => return Ok(revision),
                Err(CommitError::Conflict { key }) => {
                    return match self.holds(may_hold).await {
                        Some(written) => Ok(written),
                        None => Err(self.conflict(key).await),
                    };
                }
                Err(CommitError::Unknown) => may_hold = true,
                Err(CommitError::Invalid(source)) => {
                    let app = self.app.clone();
                    return Err(ApplyError::Refused { app, source });
                }
                Err(CommitError::Store(source)) if !may_hold => return Err(self.failed(source)),
                Err(CommitError::Store(_)) => {}
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
        // If the record was to be deleted, it doesn't matter whether another writer deleted it first.
        let is_gone = || {
            let found = records.open(self.desired.incarnation, &entry);
            looks_removed(ours) && matches!(found, Err(RecordError::Removed { .. }))
        };
        (entry.value == *ours || is_gone()).then_some(entry.revision)
    }

    /// Waits until this process has seen the other write, so that a new attempt takes it into
    /// account.
    async fn conflict(&self, key: StoreKey) -> ApplyError {
        let moved = |table: &LinkTable| table.revision() > self.decided_at;
        let until = Instant::now() + SEEN_WITHIN;
        self.connection.replica.until(until, moved).await;
        ApplyError::Conflict { key }
    }

    fn failed(&self, source: StoreError) -> ApplyError {
        let app = self.app.clone();
        ApplyError::Store { app, source }
    }
}
