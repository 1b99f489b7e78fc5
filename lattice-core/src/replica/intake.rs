//! Turns events of the store into changes of the tables. Values that aren't authentic, readable and
//! fresh are refused.

use super::{
    records::{RecordContent, RecordEvent, StoredRecord, is_kept},
    refusals::Refusals,
};
use crate::{
    error::chain,
    link::{Link, LinkKey, LinkReports, TableEvent},
    store::{
        Entry, Incarnation, KeyKind, Revision, StoreKey, WatchEvent,
        generation::unseen,
        record::{Record, RecordError, Records, is_of_others, read_body},
    },
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Most deleted keys whose last generation is remembered although the store has nothing at them any
/// more: 20 MiB at about 300 bytes each.
const MAX_GONE: usize = 65_536;
/// The reason at a key that was removed without the lattice key.
const REMOVED_BY_OTHERS: &str = "it was removed without this lattice's key, or by an older version; apply or put it again, then delete it if it should go";

/// Authenticates the events of the store. Pure except for logging.
#[derive(Debug)]
pub(super) struct Intake {
    records: Records,
    incarnation: Incarnation,
    known: HashMap<StoreKey, Known>,
    /// Keys at which the store has nothing any more and their marks, oldest first. The mark shows
    /// whether a key was put again meanwhile.
    gone: VecDeque<(StoreKey, u64)>,
    marks: u64,
    refusals: Arc<Refusals>,
    /// Whether a value in this incarnation of the store was found to be written with this key.
    is_ours: bool,
    /// Keys that now hold a value written with another key.
    of_others: HashSet<StoreKey>,
    /// Changes of the records that were not taken yet.
    changes: Vec<RecordEvent>,
}

/// The last value that was accepted at a key.
#[derive(Debug)]
struct Known {
    generation: u64,
    revision: Revision,
    standing: Standing,
}

/// What the store has at a key where a value was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The value.
    Live,
    /// Its deletion, or something unreadable in place of the deletion.
    Removed,
    /// Nothing, or something unreadable, without a deletion of the value. Since this write.
    Lost(Revision),
    /// Nothing. The deletion of the value has expired, or the value needs none. With the mark.
    Gone(u64),
}

/// Why a value is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("it is a replayed older value (generation {generation}, known {known})")]
    Replayed { generation: u64, known: u64 },
    #[error(
        "its writer had not seen the last {unseen} writes of the store, so it counts as replayed"
    )]
    Outdated { unseen: u64 },
    #[error("it is the link {found}, which belongs at another key")]
    Misplaced { found: LinkKey },
}

impl Refusal {
    /// Returns whether a newer version most likely wrote it.
    fn is_newer(&self) -> bool {
        matches!(self, Self::Record(RecordError::Newer { .. }))
    }
}

impl Intake {
    pub(super) fn new(records: Records, refusals: Arc<Refusals>) -> Self {
        Self {
            records,
            incarnation: Incarnation::default(),
            known: HashMap::new(),
            gone: VecDeque::new(),
            marks: 0,
            refusals,
            is_ours: false,
            of_others: HashSet::new(),
            changes: Vec::new(),
        }
    }

    /// Returns the changes of the records since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<RecordEvent> {
        // The memory for the changes of a whole snapshot is given back.
        std::mem::take(&mut self.changes)
    }

    /// Returns how many values in the store were written with another key, or 0 once one written
    /// with this key was seen.
    pub(super) fn other_key(&self) -> usize {
        if self.is_ours {
            0
        } else {
            self.of_others.len()
        }
    }

    /// Forgets the generations seen, because the store is another one or an older one.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.gone.clear();
    }

    /// Returns the change of the link table; `None` when the event has no content.
    pub(super) fn take(&mut self, event: WatchEvent) -> Option<TableEvent> {
        match event {
            // The caller passes the changes of a commit one by one.
            WatchEvent::Lost | WatchEvent::Commit(_) => None,
            WatchEvent::Put(entry) => Some(self.put(&entry)),
            WatchEvent::Delete { key, revision } => {
                self.of_others.remove(&key);
                let is_kept = key.kind().as_ref().is_some_and(is_kept);
                if !self.is_lost(&key, revision) && is_kept {
                    let absent = RecordEvent::Absent(key.clone(), revision);
                    self.changes.push(absent);
                }
                Some(absent(&key, revision))
            }
            WatchEvent::Snapshot {
                incarnation,
                revision,
                entries,
            } => {
                self.is_ours &= self.incarnation == incarnation;
                self.incarnation = incarnation;
                self.of_others.clear();
                self.changes.push(RecordEvent::Begin(incarnation, revision));
                self.mark_missing(&entries, revision);
                Some(TableEvent::Snapshot {
                    incarnation,
                    revision,
                    records: entries.iter().map(|entry| self.put(entry)).collect(),
                })
            }
        }
    }

    fn put(&mut self, entry: &Entry) -> TableEvent {
        let revision = entry.revision;
        let Some(kind) = entry.key.kind() else {
            return TableEvent::Other { revision };
        };
        let is_kept = is_kept(&kind);
        self.of_others.remove(&entry.key);
        match self.read(entry, kind) {
            Ok((event, change)) => {
                self.changes.extend(change);
                event
            }
            Err(Refusal::Record(RecordError::Removed { .. })) => {
                if is_kept {
                    let removed = RecordEvent::Removed(entry.key.clone(), revision);
                    self.changes.push(removed);
                }
                absent(&entry.key, revision)
            }
            Err(refusal) => {
                self.refusals.add(&entry.key, &refusal);
                let is_forged = matches!(refusal, Refusal::Record(RecordError::Forged { .. }));
                if is_forged && is_of_others(&entry.value) {
                    self.of_others.insert(entry.key.clone());
                }
                if is_kept {
                    let content = RecordContent::Refused {
                        reason: chain(&refusal).into(),
                        is_newer: refusal.is_newer(),
                        is_absent: false,
                        accepted: None,
                    };
                    self.changes.push(put(entry, content));
                }
                // Fail closed: an unreadable value grants nothing, whatever the key held before.
                self.lose(&entry.key, revision);
                absent(&entry.key, revision)
            }
        }
    }

    /// Reads a value. Returns the changes of the link table and of the record table.
    fn read(
        &mut self,
        entry: &Entry,
        kind: KeyKind,
    ) -> Result<(TableEvent, Option<RecordEvent>), Refusal> {
        let revision = entry.revision;
        match kind {
            KeyKind::Link { .. } => {
                let link = Arc::new(self.link(entry, kind)?);
                let usable = RecordEvent::Usable(entry.key.clone(), revision);
                Ok((TableEvent::Link { revision, link }, Some(usable)))
            }
            KeyKind::LinkStatus {
                source,
                interface,
                name,
            } => {
                let key = LinkKey {
                    source,
                    interface,
                    name,
                };
                let reports = Arc::new(self.body::<LinkReports>(entry)?);
                let event = TableEvent::Reports {
                    revision,
                    key,
                    reports,
                };
                Ok((event, None))
            }
            KeyKind::Actor(_)
            | KeyKind::Provider(_)
            | KeyKind::Wormhole(_)
            | KeyKind::WormholeHost(_)
            | KeyKind::Config(_)
            | KeyKind::App(_)
            | KeyKind::Served(_)
            | KeyKind::Secret(_) => {
                let body = self.open(entry, |body| Ok(Bytes::copy_from_slice(&body)))?;
                let change = put(entry, RecordContent::Body(body));
                Ok((TableEvent::Other { revision }, Some(change)))
            }
            KeyKind::Component(_)
            | KeyKind::Types(_)
            | KeyKind::Lease(_)
            | KeyKind::Series { .. }
            | KeyKind::Host(_) => Ok((TableEvent::Other { revision }, None)),
        }
    }

    fn link(&mut self, entry: &Entry, kind: KeyKind) -> Result<Link, Refusal> {
        let link: Link = self.body(entry)?;
        let found = link.key();
        if LinkKey::of(kind).as_ref() == Some(&found) {
            Ok(link)
        } else {
            Err(Refusal::Misplaced { found })
        }
    }

    fn body<T: DeserializeOwned>(&mut self, entry: &Entry) -> Result<T, Refusal> {
        self.open(entry, |body| read_body(&entry.key, &body))
    }

    /// Authenticates and reads a value, and refuses one that is replayed.
    fn open<T>(
        &mut self,
        entry: &Entry,
        read: impl FnOnce(Bytes) -> Result<T, RecordError>,
    ) -> Result<T, Refusal> {
        let record = self.records.open(self.incarnation, entry);
        self.is_ours |= !matches!(record, Err(RecordError::Forged { .. }));
        if let Err(RecordError::Removed { generation, .. }) = &record {
            self.check_fresh(entry, *generation, Standing::Removed)?;
        }
        let Record {
            generation, body, ..
        } = record?;
        let body = read(body)?;
        self.check_fresh(entry, generation, Standing::Live)?;
        Ok(body)
    }

    fn check_fresh(
        &mut self,
        entry: &Entry,
        generation: u64,
        standing: Standing,
    ) -> Result<(), Refusal> {
        if let Some(unseen) = unseen(generation, entry.revision) {
            return Err(Refusal::Outdated { unseen });
        }
        if let Some(known) = self.known.get(&entry.key) {
            let same_write = known.standing == standing && known.revision == entry.revision;
            if generation <= known.generation && !same_write {
                return Err(Refusal::Replayed {
                    generation,
                    known: known.generation,
                });
            }
        }
        // An equal key is replaced as well: all tables then share the memory of this one.
        self.known.remove(&entry.key);
        self.known.insert(
            entry.key.clone(),
            Known {
                generation,
                revision: entry.revision,
                standing,
            },
        );
        Ok(())
    }

    /// Takes in that the store has nothing at the keys that a snapshot lacks.
    fn mark_missing(&mut self, entries: &[Entry], revision: Revision) {
        let present: HashSet<&StoreKey> = entries.iter().map(|entry| &entry.key).collect();
        let missing: Vec<StoreKey> = self
            .known
            .keys()
            .filter(|key| !present.contains(key))
            .cloned()
            .collect();
        for key in missing {
            self.is_lost(&key, revision);
        }
    }

    /// Takes in that the store has nothing at a key. Returns whether a value is missing there that
    /// was not deleted: every client of the store can remove a key, so the value that was accepted
    /// stays until its deletion is accepted.
    fn is_lost(&mut self, key: &StoreKey, revision: Revision) -> bool {
        let is_kept = key.kind().as_ref().is_some_and(is_kept);
        match self.known.get(key).map(|known| known.standing) {
            Some(Standing::Live | Standing::Lost(_)) if is_kept => {
                let since = self.lose(key, revision);
                let reason = REMOVED_BY_OTHERS.into();
                let record = StoredRecord {
                    revision: since,
                    since,
                    content: RecordContent::Refused {
                        reason,
                        is_newer: false,
                        is_absent: true,
                        accepted: None,
                    },
                };
                if since == revision {
                    self.refusals.add(key, &REMOVED_BY_OTHERS);
                }
                self.changes.push(RecordEvent::Put(key.clone(), record));
                true
            }
            _ => {
                self.mark_gone(key);
                false
            }
        }
    }

    /// Notes that the value that was accepted at a key is no longer there. Returns since which
    /// write.
    fn lose(&mut self, key: &StoreKey, revision: Revision) -> Revision {
        let is_kept = key.kind().as_ref().is_some_and(is_kept);
        let Some(known) = self.known.get_mut(key) else {
            return revision;
        };
        match known.standing {
            Standing::Live if is_kept => {
                known.standing = Standing::Lost(revision);
                revision
            }
            Standing::Live => {
                self.mark_gone(key);
                revision
            }
            Standing::Lost(since) => since,
            Standing::Removed | Standing::Gone(_) => revision,
        }
    }

    fn mark_gone(&mut self, key: &StoreKey) {
        let Some(known) = self.known.get_mut(key) else {
            return;
        };
        if matches!(known.standing, Standing::Gone(_)) {
            return;
        }
        self.marks += 1;
        known.standing = Standing::Gone(self.marks);
        self.gone.push_back((key.clone(), self.marks));
        if self.gone.len() > MAX_GONE
            && let Some((oldest, mark)) = self.gone.pop_front()
            && self
                .known
                .get(&oldest)
                .is_some_and(|known| known.standing == Standing::Gone(mark))
        {
            self.known.remove(&oldest);
        }
    }
}

fn put(entry: &Entry, content: RecordContent) -> RecordEvent {
    let revision = entry.revision;
    let record = StoredRecord {
        revision,
        since: revision,
        content,
    };
    RecordEvent::Put(entry.key.clone(), record)
}

/// The event for a key that has no value.
fn absent(key: &StoreKey, revision: Revision) -> TableEvent {
    let kind = key.kind();
    let is_link = matches!(kind, Some(KeyKind::Link { .. }));
    match kind.and_then(LinkKey::of) {
        Some(key) if is_link => TableEvent::NoLink { revision, key },
        Some(key) => TableEvent::NoReports { revision, key },
        None => TableEvent::Other { revision },
    }
}
