//! Putting, reading and deleting links.

use super::{
    WriteError,
    write::{Attempt, Attempts, Slot, Writer, as_read, status_key, store_key},
};
use crate::{
    link::{Link, LinkEntry, LinkKey, LinkMismatch, LinkReports, LinkStatus, LinkTable},
    name::{ComponentId, HostId},
    replica::{LinkChanges, Replica},
    store::{
        Entry, Expect, Op, Revision, StoreError, StoreKey,
        record::{RecordError, Records},
    },
    type_store::{Types, TypesError},
    types::ComponentTypes,
};
use std::sync::Arc;

/// The links of a lattice. Cheap to clone.
///
/// Reads come from this process's replica; writes go to the store, and are in the replica when they return.
#[derive(Debug, Clone)]
pub struct Links {
    writer: Writer,
    types: Types,
}

/// Why a link was not put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It could not work.
    #[error(transparent)]
    LinkMismatch(#[from] LinkMismatch),
    /// There is another link under this key.
    #[error(
        "there is a link {} already, to `{}`; give this one a name of its own with `Link::named`, or put it with `replace`",
        existing.key, existing.link.target
    )]
    Conflict {
        /// That link.
        existing: Arc<LinkEntry>,
    },
    /// The link was changed since it was read.
    #[error("the link {key} is not as it was at revision {}; read it again and decide anew", expected.0)]
    Changed {
        /// Which link.
        key: LinkKey,
        /// The revision that was expected.
        expected: Revision,
        /// As it is now; `None` when it is gone.
        found: Option<Arc<LinkEntry>>,
    },
    /// The published types of its two ends could not be read.
    #[error("the types of the link's two ends could not be read; try again when the store is back")]
    Types(#[source] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a link was not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// There is none.
    #[error("there is no link {key}; `list` shows those that are")]
    NotFound {
        /// The key asked for.
        key: LinkKey,
    },
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a report on a link was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The link is gone, or was put again since: there is nothing to report on.
    #[error("the link {key} is not at revision {} any more; report on it as it is now", revision.0)]
    Outdated {
        /// Which link.
        key: LinkKey,
        /// The revision that the report spoke of.
        revision: Revision,
    },
    /// The store did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a link may take the place of.
#[derive(Debug, Clone, Copy)]
enum WriteMode {
    Create,
    Upsert,
    CompareAndSwap(Revision),
}

impl Links {
    /// The links that `replica` follows, written through `records`; `types` tells what their ends export and import.
    pub fn new(records: Records, replica: Replica, types: Types) -> Self {
        Self {
            writer: Writer { records, replica },
            types,
        }
    }

    /// Puts a link; a link that is there already, and the same, is left as it is.
    ///
    /// What is known of its two ends is checked; a component that was never started may be linked to.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::Conflict`] when another link has its key.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the link put or not.
    pub async fn put(&self, link: Link) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::Create).await
    }

    /// Puts a link in the place of whichever has its key, if any.
    ///
    /// # Errors
    /// [`LinkError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the link put or not.
    pub async fn replace(&self, link: Link) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::Upsert).await
    }

    /// Puts a link in the place of the one with its key that was read at `expected`, and of no other.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::Changed`] when it is not at that revision any more.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the link put or not.
    pub async fn update(
        &self,
        link: Link,
        expected: Revision,
    ) -> Result<Arc<LinkEntry>, LinkError> {
        self.write(link, WriteMode::CompareAndSwap(expected)).await
    }

    /// All links, ordered by key.
    pub fn list(&self) -> Vec<Arc<LinkEntry>> {
        let mut all: Vec<_> = self.writer.replica.links().entries().cloned().collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// The link with this key.
    pub fn get(&self, key: &LinkKey) -> Option<Arc<LinkEntry>> {
        self.writer.replica.links().entry(key).cloned()
    }

    /// The links that are there as [`Added`](super::LinkChange::Added), then every change.
    pub fn watch(&self) -> LinkChanges {
        self.writer.replica.changes()
    }

    /// Deletes a link and what its target said of it.
    ///
    /// # Errors
    /// [`DeleteError`]; [`DeleteError::NotFound`] when there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the link deleted or not.
    pub async fn delete(&self, key: &LinkKey) -> Result<(), DeleteError> {
        let mut attempts = Attempts::new();
        let deleted = self.take_away(key, &mut attempts).await;
        deleted.map_err(|error| match error {
            DeleteError::Write(error) => DeleteError::Write(attempts.truth(key, error)),
            error => error,
        })
    }

    async fn take_away(&self, key: &LinkKey, attempts: &mut Attempts) -> Result<(), DeleteError> {
        let (at, status_at) = (store_key(key), status_key(key));
        loop {
            let slot = self.slot(key, attempts).await?;
            if slot.entry.is_none() && attempts.may_have_written() {
                return Ok(());
            }
            // A link that the store lost is deleted too, so that everyone hears of it.
            if slot.entry.is_none() && !slot.table.is_held(key) {
                return Err(DeleteError::NotFound { key: key.clone() });
            }
            let status = self.read(&status_at).await?;
            let mut ops = Vec::with_capacity(2);
            ops.extend(status.map(|_| Op::delete(status_at.clone(), Expect::Any)));
            ops.push(Op::delete(at.clone(), as_read(slot.entry.as_ref())));
            match self.writer.commit(&slot.table, ops).await? {
                Attempt::Written(written) => {
                    self.writer.seen(written).await?;
                    return Ok(());
                }
                attempt @ Attempt::Again { .. } => attempts.failed(attempt),
            }
            attempts.again(&at).await?;
        }
    }

    /// Says, for a host of its target, what became of the link at `revision`. [`LinkStatus::Pending`] takes back what the
    /// host said before.
    ///
    /// # Errors
    /// [`ReportError`]; [`ReportError::Outdated`] when the link is not at that revision any more.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the report written or not.
    pub async fn report(
        &self,
        host: &HostId,
        key: &LinkKey,
        revision: Revision,
        status: LinkStatus,
    ) -> Result<(), ReportError> {
        let mut attempts = Attempts::new();
        let said = (host, status);
        let reported = self.say(said, key, revision, &mut attempts).await;
        reported.map_err(|error| match error {
            ReportError::Write(error) => ReportError::Write(attempts.truth(key, error)),
            error => error,
        })
    }

    async fn say(
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
                // Nobody finds in the store what such a report speaks of.
                return Ok(());
            }
            let said = self.reports(&slot)?;
            let link = slot.table.entry(key).map(|entry| entry.revision);
            if link != Some(revision) || said.link > revision {
                return Err(ReportError::Outdated {
                    key: key.clone(),
                    revision,
                });
            }
            let Some(reports) = said.with(revision, host, status.clone()) else {
                return Ok(());
            };
            let value = self.writer.encode(&slot.table, &at, &reports)?;
            let op = Op::put(at.clone(), value, as_read(slot.entry.as_ref()));
            match self.writer.commit(&slot.table, vec![op]).await? {
                Attempt::Written(written) if self.writer.seen(written).await? => return Ok(()),
                attempt => attempts.failed(attempt),
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
            // What was said of an earlier revision says nothing of this one.
            let reports = slot.table.reports(key);
            ops.extend(reports.map(|_| Op::delete(status_key(key), Expect::Any)));
            ops.push(Op::put(at.clone(), value, as_read(slot.entry.as_ref())));
            match self.writer.commit(&slot.table, ops).await? {
                Attempt::Written(written) if self.writer.seen(written).await? => {
                    let seen = self
                        .get(key)
                        .filter(|entry| entry.revision == written.revision);
                    return Ok(seen.unwrap_or_else(|| {
                        Arc::new(LinkEntry::new(key.clone(), link, written.revision, None))
                    }));
                }
                attempt => attempts.failed(attempt),
            }
            attempts.again(&at).await?;
        }
    }

    async fn check(&self, link: &Link) -> Result<(), LinkError> {
        // By itself first: that needs no store.
        link.check(None, None)?;
        let target = self.known(&link.target).await?;
        let source = self.known(&link.source).await?;
        Ok(link.check(source.as_deref(), target.as_deref())?)
    }

    /// The types of a component, if it published any that can be read.
    async fn known(
        &self,
        component: &ComponentId,
    ) -> Result<Option<Arc<ComponentTypes>>, LinkError> {
        match self.types.of(component).await {
            Ok(types) => Ok(types),
            Err(TypesError::Store(error)) => Err(LinkError::Types(error)),
            // Unusable types are checked at call time, as those of a component that was never started.
            Err(unusable) => {
                tracing::warn!(%component, reason = %unusable, "a link is made without checking this component's types");
                Ok(None)
            }
        }
    }

    /// What stands at a link's key; what was written by a newer version is left alone.
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

    /// What stands in a slot: nothing when it is empty or garbage.
    fn decode<T: serde::de::DeserializeOwned>(&self, slot: &Slot) -> Result<Option<T>, WriteError> {
        let Some(entry) = &slot.entry else {
            return Ok(None);
        };
        let records = &self.writer.records;
        match records.decode::<T>(slot.table.incarnation(), entry) {
            Ok(record) => Ok(Some(record.body)),
            Err(source @ RecordError::Newer { .. }) => Err(WriteError::Unreadable {
                key: entry.key.clone(),
                source,
            }),
            Err(_) => Ok(None),
        }
    }

    async fn read(&self, key: &StoreKey) -> Result<Option<Entry>, WriteError> {
        Ok(self.writer.records.store().read(key.clone()).await?)
    }
}

/// The link that makes a write needless; an error when one stands in its way.
fn present(
    slot: &Slot,
    key: &LinkKey,
    link: &Arc<Link>,
    mode: WriteMode,
) -> Result<Option<Arc<LinkEntry>>, LinkError> {
    // What the store has and the table has not is garbage, which anyone may write over.
    // So is what the store lost: it is put again.
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
