//! From what the store says to what the table takes: authenticated, readable and fresh, or refused.

use crate::{
    desired::{DesiredEvent, Fields, NotUnderstood, Spec, Unreadable, is_desired},
    link::{Link, LinkKey, LinkReports, TableEvent},
    store::{
        Entry, Incarnation, KeyKind, Revision, StoreKey, WatchEvent,
        record::{Record, RecordError, Records, is_of_others},
    },
};
use serde::de::DeserializeOwned;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    error::Error,
    sync::Arc,
};

/// Most deleted keys whose last generation is remembered: at about 300 bytes each, 1.2 MiB.
const MAX_GONE: usize = 4_096;
/// Most refused keys that are logged by name; the rest are only counted.
const MAX_LOGGED: usize = 1_024;

/// Authenticates what the store says. Pure but for the log.
#[derive(Debug)]
pub(super) struct Intake {
    records: Records,
    incarnation: Incarnation,
    known: HashMap<StoreKey, Known>,
    /// Deleted keys and when they were, oldest first. One that was put again meanwhile is told by its mark.
    gone: VecDeque<(StoreKey, u64)>,
    marks: u64,
    logged: HashSet<StoreKey>,
    refused: u64,
    /// Whether a value of this life of the store was found to be written with this key.
    is_ours: bool,
    /// Keys that hold a value now that was written with another one.
    of_others: HashSet<StoreKey>,
    /// What the desired state has to take in, until it is asked for.
    desired: Vec<DesiredEvent>,
}

/// The last value that was accepted at a key.
#[derive(Debug)]
struct Known {
    generation: u64,
    revision: Revision,
    /// Set while the key has no value.
    gone: Option<u64>,
}

/// Why a value is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("it was there before and is played again (generation {generation}, known {known})")]
    Replayed { generation: u64, known: u64 },
    #[error("it is the link {found}, which belongs at another key")]
    Misplaced { found: LinkKey },
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
}

impl Refusal {
    /// Whether a newer version wrote it, as far as one can tell.
    fn is_newer(&self) -> bool {
        matches!(
            self,
            Self::Record(RecordError::Newer { .. }) | Self::NotUnderstood(_)
        )
    }

    /// With its causes.
    fn reason(&self) -> String {
        let mut said = vec![self.to_string()];
        let mut cause = self.source();
        while let Some(error) = cause {
            said.push(error.to_string());
            cause = error.source();
        }
        // A transparent error says what its cause says.
        said.dedup();
        said.join(": ")
    }
}

impl Intake {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            incarnation: Incarnation::default(),
            known: HashMap::new(),
            gone: VecDeque::new(),
            marks: 0,
            logged: HashSet::new(),
            refused: 0,
            is_ours: false,
            of_others: HashSet::new(),
            desired: Vec::new(),
        }
    }

    /// What the desired state has to take in since it was last asked.
    pub(super) fn desired(&mut self) -> std::vec::Drain<'_, DesiredEvent> {
        self.desired.drain(..)
    }

    /// Values refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Values in the store now that were written with another key, if none was ever seen that was written with this one.
    pub(super) fn other_key(&self) -> usize {
        if self.is_ours {
            0
        } else {
            self.of_others.len()
        }
    }

    /// Forgets the generations seen: the store is another one, or an older one.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.gone.clear();
    }

    /// What the table has to take in; `None` when the event says nothing of the store's content.
    pub(super) fn take(&mut self, event: WatchEvent) -> Option<TableEvent> {
        match event {
            WatchEvent::Lost => None,
            WatchEvent::Put(entry) => Some(self.put(&entry)),
            WatchEvent::Delete { key, revision } => {
                self.mark_gone(&key);
                self.of_others.remove(&key);
                if key.kind().as_ref().is_some_and(is_desired) {
                    self.desired.push(DesiredEvent::Gone(key.clone(), revision));
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
                self.mark_missing(&entries);
                self.desired
                    .push(DesiredEvent::Begin(incarnation, revision));
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
        let is_desired = is_desired(&kind);
        self.of_others.remove(&entry.key);
        match self.read(entry, kind) {
            Ok((event, spec)) => {
                let put = |spec| DesiredEvent::Put(entry.key.clone(), revision, Box::new(spec));
                self.desired.extend(spec.map(put));
                event
            }
            Err(refusal) => {
                self.refuse(&entry.key, &refusal);
                let is_forged = matches!(refusal, Refusal::Record(RecordError::Forged { .. }));
                if is_forged && is_of_others(&entry.value) {
                    self.of_others.insert(entry.key.clone());
                }
                if is_desired {
                    let unreadable = Unreadable::new(entry, refusal.reason(), refusal.is_newer());
                    let refused = DesiredEvent::Refused(entry.key.clone(), unreadable);
                    self.desired.push(refused);
                }
                // Fail closed: what can't be read grants nothing, whatever was there before.
                self.mark_gone(&entry.key);
                absent(&entry.key, revision)
            }
        }
    }

    /// What a value says to the table of links, and to the desired state.
    fn read(
        &mut self,
        entry: &Entry,
        kind: KeyKind,
    ) -> Result<(TableEvent, Option<Spec>), Refusal> {
        let revision = entry.revision;
        let spec = match kind {
            KeyKind::Link { .. } => {
                let link = Arc::new(self.link(entry, kind)?);
                return Ok((TableEvent::Link { revision, link }, Some(Spec::Link)));
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
                return Ok((event, None));
            }
            KeyKind::Actor(_) => Spec::Actor(self.spec(entry)?),
            KeyKind::Provider(_) => Spec::Provider(self.spec(entry)?),
            KeyKind::Wormhole(_) => Spec::Wormhole(self.spec(entry)?),
            KeyKind::Config(_) => Spec::Config(self.spec(entry)?),
            KeyKind::App(_) => Spec::App(self.spec(entry)?),
            KeyKind::Component(_) | KeyKind::Types(_) | KeyKind::Lease(_) | KeyKind::Host(_) => {
                return Ok((TableEvent::Other { revision }, None));
            }
        };
        Ok((TableEvent::Other { revision }, Some(spec)))
    }

    fn spec<T: DeserializeOwned>(&mut self, entry: &Entry) -> Result<T, Refusal> {
        Ok(self.body::<Fields>(entry)?.read()?)
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
        let record = self.records.decode::<T>(self.incarnation, entry);
        self.is_ours |= !matches!(record, Err(RecordError::Forged { .. }));
        let Record {
            generation, body, ..
        } = record?;
        self.check_fresh(entry, generation)?;
        Ok(body)
    }

    fn check_fresh(&mut self, entry: &Entry, generation: u64) -> Result<(), Refusal> {
        if let Some(known) = self.known.get(&entry.key) {
            let same_write = known.gone.is_none() && known.revision == entry.revision;
            if generation <= known.generation && !same_write {
                return Err(Refusal::Replayed {
                    generation,
                    known: known.generation,
                });
            }
        }
        self.known.insert(
            entry.key.clone(),
            Known {
                generation,
                revision: entry.revision,
                gone: None,
            },
        );
        Ok(())
    }

    fn mark_missing(&mut self, entries: &[Entry]) {
        let present: HashSet<&StoreKey> = entries.iter().map(|entry| &entry.key).collect();
        let missing: Vec<StoreKey> = self
            .known
            .keys()
            .filter(|key| !present.contains(key))
            .cloned()
            .collect();
        for key in missing {
            self.mark_gone(&key);
        }
    }

    fn mark_gone(&mut self, key: &StoreKey) {
        let Some(known) = self.known.get_mut(key).filter(|known| known.gone.is_none()) else {
            return;
        };
        self.marks += 1;
        known.gone = Some(self.marks);
        self.gone.push_back((key.clone(), self.marks));
        if self.gone.len() > MAX_GONE
            && let Some((oldest, mark)) = self.gone.pop_front()
            && self
                .known
                .get(&oldest)
                .is_some_and(|known| known.gone == Some(mark))
        {
            self.known.remove(&oldest);
        }
    }

    fn refuse(&mut self, key: &StoreKey, refusal: &Refusal) {
        self.refused += 1;
        if self.logged.contains(key) {
            return;
        }
        if self.logged.len() < MAX_LOGGED {
            self.logged.insert(key.clone());
            tracing::warn!(%key, reason = %refusal, "a value in the store is refused, as if it were not there; find out who wrote it, then put it again or delete it");
        } else if self.logged.len() == MAX_LOGGED {
            self.logged.insert(key.clone());
            tracing::warn!(
                "more values in the store are refused; they are only counted from here on"
            );
        }
    }
}

/// What it means that there is nothing at `key`.
fn absent(key: &StoreKey, revision: Revision) -> TableEvent {
    let kind = key.kind();
    let is_link = matches!(kind, Some(KeyKind::Link { .. }));
    match kind.and_then(LinkKey::of) {
        Some(key) if is_link => TableEvent::NoLink { revision, key },
        Some(key) => TableEvent::NoReports { revision, key },
        None => TableEvent::Other { revision },
    }
}
