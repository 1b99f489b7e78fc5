//! Putting, reading and deleting links.

use super::{
    WriteError,
    write::{Attempts, Slot, Writer, status_key, store_key},
};
use crate::{
    link::{
        Link, LinkChange, LinkEntry, LinkKey, LinkMismatch, LinkReports, LinkStatus, LinkTable,
    },
    name::{ComponentId, HostId},
    replica::Replica,
    store::{Entry, Expect, Op, Revision, StoreError, StoreKey, record::Records, rewrite::Current},
    type_store::{Types, TypesError},
    types::ComponentTypes,
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The links of a lattice. Cheap to clone.
///
/// Reads come from this process's replica. Writes go to the store, and are in the replica when they
/// return.
#[derive(Debug, Clone)]
pub struct Links {
    writer: Writer,
    types: Types,
}

/// Why a link was not put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The link could not work.
    #[error(transparent)]
    LinkMismatch(#[from] LinkMismatch),
    /// Another link has this key.
    #[error(
        "there is a link {} already, to `{}`, for all compatible versions of the interface; give this one a name of its own with `Link::named`, or put it with `replace`",
        existing.key, existing.link.target
    )]
    Conflict {
        /// The other link.
        existing: Arc<LinkEntry>,
    },
    /// The link was changed since it was read.
    #[error("the link {key} is not as it was at revision {}; read it again before you change it", expected.0)]
    Changed {
        /// The key of the link.
        key: LinkKey,
        /// The revision that was expected.
        expected: Revision,
        /// The link as it is now; `None` when it is gone.
        found: Option<Arc<LinkEntry>>,
    },
    /// The published types of its two ends could not be read.
    #[error("the types of the link's two ends could not be read")]
    Types(#[source] StoreError),
    /// The store did not accept the write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a link was not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// There is no such link. If it was removed without the lattice's key, put it again, and then
    /// delete it.
    #[error(
        "there is no link {key}; `list` shows the existing ones; if it was removed without this lattice's key, put it again, then delete it"
    )]
    NotFound {
        /// The given key.
        key: LinkKey,
    },
    /// The link was changed since it was read.
    #[error("the link {key} is not as it was at revision {}; read it again before you delete it", expected.0)]
    Changed {
        /// The key of the link.
        key: LinkKey,
        /// The revision that was expected.
        expected: Revision,
        /// The link as it is now; `None` when its record can't be used.
        found: Option<Arc<LinkEntry>>,
    },
    /// The store did not accept the write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a report on a link was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The link is gone or was put again since, so the report no longer applies.
    #[error("the link {key} is no longer at revision {}; report on its current revision", revision.0)]
    Outdated {
        /// The key of the link.
        key: LinkKey,
        /// The revision that the report is about.
        revision: Revision,
    },
    /// The store did not accept the write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Which existing link a write may replace.
#[derive(Debug, Clone, Copy)]
enum WriteMode {
    Create,
    Upsert,
    CompareAndSwap(Revision),
}

impl Links {
    /// Creates a handle to the links that `replica` follows and `records` writes. `types` has the
    /// exports and imports of their ends.
    #[doc(hidden)]
    pub fn new(records: Records, replica: Replica, types: Types) -> Self {
        Self {
            writer: Writer { records, replica },
            types,
        }
    }

    /// Puts a link. Leaves an existing link with the same content as it is.
    ///
    /// The types of its two ends are checked if they are known. A link may name a component that
    /// was never started.
    ///
    /// # Errors
    /// Fails with [`LinkError`]; with [`LinkError::Conflict`] when another link has its key.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the link was put.
    pub async fn put(&self, link: Link) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::Create).await
    }

    /// Puts a link and replaces the one with the same key, if any.
    ///
    /// # Errors
    /// Fails with [`LinkError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the link was put.
    pub async fn replace(&self, link: Link) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::Upsert).await
    }

    /// Replaces the link with the same key, if it is still at the revision `expected`.
    ///
    /// # Errors
    /// Fails with [`LinkError`]; with [`LinkError::Changed`] when the link is no longer at that
    /// revision.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the link was put.
    pub async fn update(
        &self,
        link: Link,
        expected: Revision,
    ) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::CompareAndSwap(expected)).await
    }

    /// Returns all links, ordered by key.
    pub fn list(&self) -> Vec<Arc<LinkEntry>> {
        let mut all: Vec<_> = self.writer.replica.links().entries().cloned().collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// Returns the link with this key.
    pub fn get(&self, key: &LinkKey) -> Option<Arc<LinkEntry>> {
        self.writer.replica.links().entry(key).cloned()
    }

    /// Returns a stream of changes: first every present link as
    /// [`Added`](crate::link::LinkChange::Added), then every change. A slow reader may miss what
    /// came and went in between, but never the last state, and no queue builds up. The stream ends
    /// when the store has been closed.
    pub fn watch(&self) -> impl Stream<Item = LinkChange> + Send + Unpin + use<> {
        let changes = self.writer.replica.changes();
        stream::unfold(changes, async |mut changes| {
            changes.next().await.map(|change| (change, changes))
        })
        .boxed()
    }

    /// Deletes a link and its status, whatever it is by now.
    ///
    /// # Errors
    /// Fails with [`DeleteError`]; with [`DeleteError::NotFound`] when there is no such link.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the link was deleted.
    pub async fn delete(&self, key: &LinkKey) -> Result<(), DeleteError> {
        self.remove(key, None).await
    }

    /// Deletes a link and its status, if it is still at the revision `expected`.
    ///
    /// # Errors
    /// Fails with [`DeleteError`]; with [`DeleteError::Changed`] when the link is no longer at that
    /// revision, and with [`DeleteError::NotFound`] when there is no such link.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the link was deleted.
    pub async fn delete_at(&self, key: &LinkKey, expected: Revision) -> Result<(), DeleteError> {
        self.remove(key, Some(expected)).await
    }

    async fn remove(&self, key: &LinkKey, expected: Option<Revision>) -> Result<(), DeleteError> {
        let mut attempts = Attempts::new();
        let deleted = self.take_away(key, expected, &mut attempts).await;
        deleted.map_err(|error| match error {
            DeleteError::Write(error) => DeleteError::Write(attempts.truth(key, error)),
            error => error,
        })
    }

    async fn take_away(
        &self,
        key: &LinkKey,
        expected: Option<Revision>,
        attempts: &mut Attempts,
    ) -> Result<(), DeleteError> {
        let (at, status_at) = (store_key(key), status_key(key));
        loop {
            let slot = self.slot(key, attempts).await?;
            let is_deleted = match self.current::<Link>(&slot)? {
                // A link that the store lost, that was removed without the key, or of which an old
                // deletion was played again, is deleted too, so that every process receives the
                // deletion.
                Current::Absent | Current::Removed(_) => {
                    let records = self.writer.replica.record_table();
                    !slot.table.is_held(key) && records.get(&at).is_none()
                }
                Current::Record(_) | Current::Garbage(_) => false,
            };
            if is_deleted && attempts.may_have_written() {
                return Ok(());
            }
            if is_deleted {
                return Err(DeleteError::NotFound { key: key.clone() });
            }
            // A link that the store lost is still the one that was read.
            let found = slot.table.entry(key);
            let is_ours = found.is_none() && attempts.may_have_written();
            if let Some(expected) = expected
                && found.map(|found| found.revision) != Some(expected)
                && !is_ours
            {
                return Err(DeleteError::Changed {
                    key: key.clone(),
                    expected,
                    found: found.cloned(),
                });
            }
            let status = self.read(&status_at).await?;
            let mut ops = Vec::with_capacity(2);
            ops.extend(status.map(|_| Op::delete(status_at.clone(), Expect::Any)));
            ops.push(self.writer.deletion(&slot));
            let committed = self.writer.commit(attempts, &slot.table, &at, ops).await?;
            if let Some(written) = committed
                && (!self.writer.seen(written).await?
                    || self.writer.is_accepted(key, &slot, written))
            {
                return Ok(());
            }
            attempts.again(&at).await?;
        }
    }

    /// Reports, for a host of its target, the status of the link at `revision`.
    /// [`LinkStatus::Pending`] removes the host's earlier report.
    ///
    /// # Errors
    /// Fails with [`ReportError`]; with [`ReportError::Outdated`] when the link is no longer at
    /// that revision.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the report was written.
    #[doc(hidden)]
    pub async fn report(
        &self,
        host: &HostId,
        key: &LinkKey,
        revision: Revision,
        status: LinkStatus,
    ) -> Result<(), ReportError> {
        let mut attempts = Attempts::new();
        let report = (host, status);
        let reported = self.put_report(report, key, revision, &mut attempts).await;
        reported.map_err(|error| match error {
            ReportError::Write(error) => ReportError::Write(attempts.truth(key, error)),
            error => error,
        })
    }

    async fn put_report(
        &self,
        (host, status): (&HostId, LinkStatus),
        key: &LinkKey,
        revision: Revision,
        attempts: &mut Attempts,
    ) -> Result<(), ReportError> {
        let at = status_key(key);
        loop {
            let holds = |table: &LinkTable| table.reports(key).is_some();
            let slot = self.writer.slot(&at, attempts.deadline, holds).await?;
            if slot.table.is_held(key) {
                // The store lacks the link that such a report would be about.
                return Ok(());
            }
            let before = self.reports(&slot)?;
            let link = slot.table.entry(key).map(|entry| entry.revision);
            if link != Some(revision) || before.link > revision {
                return Err(ReportError::Outdated {
                    key: key.clone(),
                    revision,
                });
            }
            let Some(reports) = before.with(revision, host, status.clone()) else {
                return Ok(());
            };
            let value = self.writer.encode(&slot.table, &at, &reports)?;
            let ops = vec![Op::put(at.clone(), value, Expect::of(slot.entry.as_ref()))];
            let committed = self.writer.commit(attempts, &slot.table, &at, ops).await?;
            if let Some(written) = committed
                && self.writer.seen(written).await?
            {
                return Ok(());
            }
            attempts.again(&at).await?;
        }
    }

    async fn write(&self, link: Link, mode: WriteMode) -> Result<Arc<LinkEntry>, LinkError> {
        self.check(&link).await?;
        let (key, mut attempts) = (Arc::new(link.key()), Attempts::new());
        let written = self.put_as(&key, link, mode, &mut attempts).await;
        written.map_err(|error| match error {
            LinkError::Write(error) => LinkError::Write(attempts.truth(&key, error)),
            error => error,
        })
    }

    async fn put_as(
        &self,
        key: &Arc<LinkKey>,
        link: Link,
        mode: WriteMode,
        attempts: &mut Attempts,
    ) -> Result<Arc<LinkEntry>, LinkError> {
        let (at, link) = (store_key(key), Arc::new(link));
        loop {
            let slot = self.slot(key, attempts).await?;
            if let Some(present) = present(&slot, key, &link, mode)? {
                return Ok(present);
            }
            let value = self.writer.encode(&slot.table, &at, &*link)?;
            let mut ops = Vec::with_capacity(2);
            // Reports on an earlier revision don't apply to this one.
            let reports = slot.table.reports(key);
            ops.extend(reports.map(|_| Op::delete(status_key(key), Expect::Any)));
            ops.push(Op::put(at.clone(), value, Expect::of(slot.entry.as_ref())));
            let committed = self.writer.commit(attempts, &slot.table, &at, ops).await?;
            if let Some(written) = committed
                && self.writer.seen(written).await?
                && self.writer.is_accepted(key, &slot, written)
            {
                let seen = self
                    .get(key)
                    .filter(|entry| entry.revision == written.revision);
                return Ok(seen.unwrap_or_else(|| {
                    Arc::new(LinkEntry::new(key.clone(), link, written.revision, None))
                }));
            }
            attempts.again(&at).await?;
        }
    }

    async fn check(&self, link: &Link) -> Result<(), LinkError> {
        // The link by itself is checked first, which needs no store.
        link.check(None, None)?;
        let target = self.known(&link.target).await?;
        let source = self.known(&link.source).await?;
        Ok(link.check(source.as_deref(), target.as_deref())?)
    }

    /// Returns the types of a component, if it published any that can be read.
    async fn known(
        &self,
        component: &ComponentId,
    ) -> Result<Option<Arc<ComponentTypes>>, LinkError> {
        match self.types.of(component).await {
            Ok(types) => Ok(types),
            Err(TypesError::Store(error)) => Err(LinkError::Types(error)),
            // A component with unreadable types is treated as one that was never started: its types
            // are checked at call time.
            Err(unusable) => {
                tracing::warn!(%component, reason = %unusable, "a link is made without checking this component's types");
                Ok(None)
            }
        }
    }

    /// Reads the slot of a link. Fails when its value was written by a newer version.
    async fn slot(&self, key: &LinkKey, attempts: &Attempts) -> Result<Slot, WriteError> {
        self.writer.replica.check_key()?;
        let at = store_key(key);
        let holds = |table: &LinkTable| table.stored(key).is_some();
        let slot = self.writer.slot(&at, attempts.deadline, holds).await?;
        self.decode::<Link>(&slot)?;
        Ok(slot)
    }

    fn reports(&self, slot: &Slot) -> Result<LinkReports, WriteError> {
        Ok(self.decode(slot)?.unwrap_or_default())
    }

    /// Decodes the entry of a slot. Returns `None` when it is empty, deleted or garbage.
    fn decode<T: DeserializeOwned>(&self, slot: &Slot) -> Result<Option<T>, WriteError> {
        Ok(self.current(slot)?.record().map(|record| record.body))
    }

    fn current<T: DeserializeOwned>(&self, slot: &Slot) -> Result<Current<T>, WriteError> {
        let records = &self.writer.records;
        let current = records.current(slot.table.incarnation(), slot.entry.as_ref());
        current.map_err(|source| WriteError::Unreadable {
            key: slot.key.clone(),
            source,
        })
    }

    async fn read(&self, key: &StoreKey) -> Result<Option<Entry>, WriteError> {
        Ok(self.writer.records.store().read(key.clone()).await?)
    }
}

/// Returns the link that makes a write unnecessary. Fails when another link is in its way.
fn present(
    slot: &Slot,
    key: &LinkKey,
    link: &Arc<Link>,
    mode: WriteMode,
) -> Result<Option<Arc<LinkEntry>>, LinkError> {
    // An entry that the store has and the table lacks is malformed, and may be overwritten. A
    // link that the store lost may be overwritten as well: it is put again.
    let present = slot.table.stored(key);
    if let Some(same) = present.filter(|present| present.link == *link) {
        return Ok(Some(same.clone()));
    }
    match (mode, present) {
        (WriteMode::Create, Some(existing)) => Err(LinkError::Conflict {
            existing: existing.clone(),
        }),
        (WriteMode::CompareAndSwap(expected), found)
            if found.map(|found| found.revision) != Some(expected) =>
        {
            Err(LinkError::Changed {
                key: key.clone(),
                expected,
                found: found.cloned(),
            })
        }
        _ => Ok(None),
    }
}
