//! Records that the replica keeps for the layers above. They are authentic and fresh, and their
//! bodies are not interpreted.

use crate::store::{Incarnation, KeyKind, Revision, StoreKey};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// The records of declared state (actors, providers, wormholes, configurations, apps, secrets) at
/// one moment, with their bodies as bytes. It also holds links that were refused; the link table
/// holds all other links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordTable {
    /// The incarnation of the store that this is from.
    pub incarnation: Incarnation,
    /// The revision of the last write that changed it.
    pub revision: Revision,
    /// The revision of the last write with this lattice's key that declared or deleted something,
    /// apart from secrets, and from the generations that have served, which hosts write by
    /// themselves.
    pub declared: Revision,
    records: BTreeMap<StoreKey, StoredRecord>,
    /// The life of each record, which outlasts a snapshot that has the key again.
    lives: BTreeMap<StoreKey, Life>,
    /// The revisions of the deletions that the store has.
    removed: Arc<BTreeMap<StoreKey, Revision>>,
}

/// The history of a record from its first write to its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    since: Revision,
    accepted: Option<AcceptedBody>,
}

/// The store's value at one key, and the write that put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// The revision of the write that put it.
    pub revision: Revision,
    /// The first write of the key since it was last deleted. Records of one key with the same
    /// number follow each other without a deletion in between.
    pub since: Revision,
    /// The value.
    pub content: RecordContent,
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordContent {
    /// An authentic and fresh record: its encoded body.
    Body(Bytes),
    /// A record that can't be used.
    Refused {
        /// Why, and what to do about it.
        reason: Arc<str>,
        /// Whether a newer version of Lattice most likely wrote it.
        is_newer: bool,
        /// Whether the store has no value there any more.
        is_absent: bool,
        /// The last value of the record that was accepted, which stays in effect. Set by the table.
        accepted: Option<AcceptedBody>,
    },
}

/// A value of a record that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedBody {
    /// The revision of the write that put it.
    pub revision: Revision,
    /// The encoded body.
    pub body: Bytes,
}

/// A change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordEvent {
    /// Starts a new table; the events that follow fill it.
    Begin(Incarnation, Revision),
    Put(StoreKey, StoredRecord),
    /// The key holds a link that can be used.
    Usable(StoreKey, Revision),
    /// The record was deleted.
    Removed(StoreKey, Revision),
    /// The store has nothing at the key, and nothing that was accepted there is missing.
    Absent(StoreKey, Revision),
}

impl RecordTable {
    /// Returns every record with its key, in the order of the keys.
    pub fn records(&self) -> impl Iterator<Item = (&StoreKey, &StoredRecord)> {
        self.records.iter()
    }

    /// Returns the records whose keys begin with this text, in the order of the keys.
    #[cfg(any(feature = "apps", feature = "secrets"))]
    pub(crate) fn starting_with(
        &self,
        text: &'static str,
    ) -> impl Iterator<Item = (&StoreKey, &StoredRecord)> {
        let from = self.records.range(StoreKey::from_store(text)..);
        from.take_while(move |(key, _)| key.as_str().starts_with(text))
    }

    /// Returns the record at `key`.
    pub fn get(&self, key: &StoreKey) -> Option<&StoredRecord> {
        self.records.get(key)
    }

    /// Returns the revisions of the deletions that the store has.
    #[cfg(feature = "apps")]
    pub(crate) fn removed(&self) -> &Arc<BTreeMap<StoreKey, Revision>> {
        &self.removed
    }

    /// Returns the revision of the last write at `key`, unless that is a link that can be used.
    pub(crate) fn written_at(&self, key: &StoreKey) -> Option<Revision> {
        let record = self.records.get(key).map(|record| record.revision);
        record.or_else(|| self.removed.get(key).copied())
    }

    /// Returns whether the last write at `key` was made by this revision and is refused.
    #[cfg(feature = "apps")]
    pub(crate) fn refuses(&self, key: &StoreKey, by: Revision) -> bool {
        self.records.get(key).is_some_and(|record| {
            let is_refused = matches!(
                record.content,
                RecordContent::Refused {
                    is_absent: false,
                    ..
                }
            );
            is_refused && record.revision <= by
        })
    }

    /// Returns whether an event changes nothing here, as for most links, which the link table
    /// keeps.
    pub(super) fn ignores(&self, event: &RecordEvent) -> bool {
        match event {
            RecordEvent::Usable(key, _) | RecordEvent::Absent(key, _) => {
                let is_link = matches!(key.kind(), Some(KeyKind::Link { .. }));
                is_link && !self.records.contains_key(key) && !self.removed.contains_key(key)
            }
            _ => false,
        }
    }

    /// Forgets keys that the last snapshot did not have.
    pub(super) fn end_snapshot(&mut self) {
        self.lives.retain(|key, _| self.records.contains_key(key));
    }

    pub(super) fn apply(&mut self, event: RecordEvent) {
        match event {
            RecordEvent::Begin(incarnation, revision) => {
                // Writes of other keys don't count: only a later write of one of these keys changes
                // this table.
                let (seen, declared) = if incarnation == self.incarnation {
                    (revision.min(self.revision), revision.min(self.declared))
                } else {
                    (Revision::default(), Revision::default())
                };
                *self = Self {
                    incarnation,
                    revision: seen,
                    declared,
                    records: BTreeMap::new(),
                    lives: std::mem::take(&mut self.lives),
                    removed: Arc::default(),
                };
            }
            RecordEvent::Usable(key, revision) => {
                self.forget(&key, revision);
                self.declared = self.declared.max(revision);
            }
            RecordEvent::Removed(key, revision) => {
                self.forget(&key, revision);
                if declares(&key) {
                    self.declared = self.declared.max(revision);
                }
                Arc::make_mut(&mut self.removed).insert(key, revision);
            }
            RecordEvent::Absent(key, revision) => self.forget(&key, revision),
            RecordEvent::Put(key, mut record) => {
                self.revived(&key);
                let life = self.lives.entry(key.clone()).or_insert(Life {
                    since: record.revision,
                    accepted: None,
                });
                life.note(&mut record);
                self.revision = self.revision.max(record.revision);
                if declares(&key) && matches!(record.content, RecordContent::Body(_)) {
                    self.declared = self.declared.max(record.revision);
                }
                self.records.insert(key, record);
            }
        }
    }

    fn forget(&mut self, key: &StoreKey, revision: Revision) {
        self.revision = self.revision.max(revision);
        self.records.remove(key);
        self.lives.remove(key);
        self.revived(key);
    }

    /// Forgets a deletion, which the store has no longer.
    fn revived(&mut self, key: &StoreKey) {
        if self.removed.contains_key(key) {
            Arc::make_mut(&mut self.removed).remove(key);
        }
    }
}

impl Life {
    /// Takes in the next value of the record, and completes it from its history.
    fn note(&mut self, record: &mut StoredRecord) {
        record.since = self.since;
        match &mut record.content {
            RecordContent::Body(body) => {
                self.accepted = Some(AcceptedBody {
                    revision: record.revision,
                    body: body.clone(),
                });
            }
            RecordContent::Refused { accepted, .. } => accepted.clone_from(&self.accepted),
        }
    }
}

impl StoredRecord {
    /// Returns the last value that was accepted, and the revision of its write.
    #[cfg(any(feature = "apps", feature = "secrets"))]
    pub(crate) fn accepted(&self) -> Option<(Revision, &Bytes)> {
        match &self.content {
            RecordContent::Body(body) => Some((self.revision, body)),
            RecordContent::Refused { accepted, .. } => {
                let accepted = accepted.as_ref()?;
                Some((accepted.revision, &accepted.body))
            }
        }
    }
}

/// Returns whether writes of this key declare something. Hosts write generations by themselves, and
/// a secret says nothing about what should run.
fn declares(key: &StoreKey) -> bool {
    !matches!(key.kind(), Some(KeyKind::Served(_) | KeyKind::Secret(_)))
}

/// Returns whether the table keeps keys of this kind, or their refused values.
pub(super) fn is_kept(kind: &KeyKind) -> bool {
    matches!(
        kind,
        KeyKind::Link { .. }
            | KeyKind::Actor(_)
            | KeyKind::Provider(_)
            | KeyKind::Wormhole(_)
            | KeyKind::WormholeHost(_)
            | KeyKind::Config(_)
            | KeyKind::App(_)
            | KeyKind::Served(_)
            | KeyKind::Secret(_)
    )
}
