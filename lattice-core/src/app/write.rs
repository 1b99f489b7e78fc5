//! Commits an app, even when the result of a commit is lost.

use super::ApplyError;
use crate::{
    connection::Connection,
    desired::Desired,
    link::LinkTable,
    name::AppName,
    store::{CommitError, Op, Revision, StoreError, StoreKey},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a commit whose result is lost is retried: as long as a store may take for one call.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait until this process's replica has its own write, or another write that won.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// The known result of a commit that was written.
enum Written {
    /// Its last write has this revision.
    At(Revision),
    /// Its deletions took effect. The result of the commit was lost.
    Gone,
}

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
        let has_seen = |table: &LinkTable| match written {
            Written::At(revision) => table.has_seen(incarnation, revision),
            Written::Gone => !replica.desired().apps.contains_key(self.app),
        };
        if !replica.until(Instant::now() + SEEN_WITHIN, has_seen).await {
            let app = self.app.clone();
            return Err(ApplyError::NotSeen { app });
        }
        Ok(match written {
            Written::At(revision) => revision,
            Written::Gone => replica.desired().revision,
        })
    }

    /// Commits, and commits again while the result is lost. If a lost commit was written, the next
    /// one conflicts with it.
    ///
    /// This isn't a [`Rewrite`](crate::store::rewrite::Rewrite): the operations are those of the
    /// plan that was shown to the caller, so a conflict is an error, and they are not computed
    /// again.
    async fn commit(&self) -> Result<Written, ApplyError> {
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
                Ok(revision) => return Ok(Written::At(revision)),
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
    async fn holds(&self, may_hold: bool) -> Option<Written> {
        let last = self.ops.last().filter(|_| may_hold)?;
        let store = self.connection.records.store();
        let entry = store.read(last.key.clone()).await.ok()?;
        match (&last.value, entry) {
            (Some(ours), Some(entry)) if entry.value == *ours => Some(Written::At(entry.revision)),
            // The record was to be deleted and is gone. It doesn't matter whether another writer
            // deleted it first.
            (None, None) => Some(Written::Gone),
            _ => None,
        }
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
