//! The last snapshot of a remote store, on disk. A host starts from it when the store is away.
//!
//! A copy in memory applies the store's events. A task writes its changes to a file, [`PAUSE`]
//! after the first change and whole per write: the file is always one state of the store, at most
//! that much older than the copy. It contains authentic values only, and a process that starts from
//! it authenticates each value again.
//!
//! A declared record stays in the copy until the store has its deletion, or another value of it.
//! When it was overwritten or removed without the key, the next process starts with the last value,
//! and treats it as unreadable once it has seen the store.
//!
//! In addition to the copy, the file holds the hosts that were live: [`StoreKey::known_hosts`].

use super::{
    OpenError,
    error::JournalError,
    journal::{Journal, Kind, Marks, Rest},
    open_patiently,
    slot::{self, Now},
};
use crate::{
    auth::Auth,
    name::LatticeName,
    store::{
        Entry, Incarnation, KeyKind, LastKnown, Revision, StoreKey, WatchEvent,
        generation::unseen,
        record::{authentic, generation_of, looks_removed},
    },
    sync::Mutex,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// Delay from a change to its write, so that a burst costs one write.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The file and the copy that it is made from. Dropping it writes the changes that are not written
/// yet, which takes some milliseconds.
pub(crate) struct Snapshot {
    shared: Arc<SnapshotFile>,
    task: AbortOnDropHandle<()>,
}

struct SnapshotFile {
    path: PathBuf,
    lattice: LatticeName,
    auth: Auth,
    copy: Mutex<Copy>,
    changed: Notify,
    /// `None` after a failure.
    journal: Mutex<Option<Journal>>,
}

struct Copy {
    marks: Marks,
    entries: BTreeMap<StoreKey, Entry>,
    /// Not authenticated here; its reader does that.
    hosts: Option<Bytes>,
    unwritten: Unwritten,
}

/// The changes of the copy that the file lacks.
enum Unwritten {
    Keys(BTreeSet<StoreKey>),
    All,
}

impl Snapshot {
    /// Opens the file at `path`, or creates it.
    pub(crate) async fn open(
        path: &Path,
        lattice: &LatticeName,
        auth: &Auth,
    ) -> Result<Self, OpenError> {
        let (lattice, auth) = (lattice.clone(), auth.clone());
        let open = move |path: &Path| SnapshotFile::open(path, &lattice, &auth);
        let shared = Arc::new(open_patiently(path, open).await?);
        let task = tokio::spawn(write_changes(shared.clone()));
        Ok(Self {
            shared,
            task: AbortOnDropHandle::new(task),
        })
    }
}

impl LastKnown for Snapshot {
    fn snapshot(&self) -> Option<(SystemTime, WatchEvent)> {
        let copy = self.shared.copy.lock();
        let taken = copy.taken()?;
        let snapshot = WatchEvent::Snapshot {
            incarnation: copy.marks.incarnation,
            revision: copy.marks.revision,
            entries: copy.entries.values().cloned().collect(),
        };
        Some((taken, snapshot))
    }

    fn incarnation(&self) -> Option<Incarnation> {
        let copy = self.shared.copy.lock();
        copy.taken().map(|_| copy.marks.incarnation)
    }

    fn entry(&self, key: &StoreKey) -> Option<Entry> {
        self.shared.copy.lock().entries.get(key).cloned()
    }

    fn note(&self, event: &WatchEvent) {
        self.shared.copy.lock().note(event, &self.shared.auth);
        self.shared.changed.notify_one();
    }

    fn hosts(&self) -> Option<Bytes> {
        self.shared.copy.lock().hosts.clone()
    }

    fn note_hosts(&self, hosts: Bytes) {
        self.shared.copy.lock().note_hosts(hosts);
        self.shared.changed.notify_one();
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.write_or_say();
    }
}

async fn write_changes(shared: Arc<SnapshotFile>) {
    loop {
        shared.changed.notified().await;
        sleep(PAUSE).await;
        while !write(&shared).await {
            sleep(RETRY).await;
        }
    }
}

async fn write(shared: &Arc<SnapshotFile>) -> bool {
    let shared = shared.clone();
    let written = spawn_blocking(move || shared.write_or_say()).await;
    // The write fails when the database panicked, or at the end of the runtime.
    written.unwrap_or(false)
}

impl SnapshotFile {
    fn open(path: &Path, lattice: &LatticeName, auth: &Auth) -> Result<Self, OpenError> {
        let (journal, marks) = Journal::open(path, lattice, Kind::Copy)?;
        let slots = journal.slots(Now::read());
        let mut slots = slots.map_err(|error| OpenError::from_journal(path, error))?;
        let hosts = slots.remove(&StoreKey::known_hosts());
        let mut copy = Copy {
            marks,
            entries: BTreeMap::new(),
            hosts: hosts.and_then(|slot| slot.value),
            unwritten: Unwritten::Keys(BTreeSet::new()),
        };
        let found = slots.len();
        for (key, slot) in slots {
            let Some(value) = slot.value else { continue };
            let entry = Entry {
                key,
                value,
                revision: slot.revision,
            };
            copy.put(&entry, None, auth);
        }
        if copy.entries.is_empty() && found > 0 {
            tracing::warn!(path = %path.display(), "ignoring the last snapshot: it was not made with this lattice's key");
            copy.marks.taken = 0;
        }
        Ok(Self {
            path: path.to_owned(),
            lattice: lattice.clone(),
            auth: auth.clone(),
            copy: Mutex::new(copy),
            changed: Notify::new(),
            journal: Mutex::new(Some(journal)),
        })
    }

    /// Writes the file and logs a failure. Returns whether everything is written. Blocks.
    fn write_or_say(&self) -> bool {
        let written = self.write();
        if let Err(error) = &written {
            tracing::warn!(path = %self.path.display(), %error, "the last snapshot can't be written; the old one stays in place until writing works again");
        }
        written.is_ok()
    }

    fn write(&self) -> Result<(), JournalError> {
        let mut place = self.journal.lock();
        if self.copy.lock().is_written() {
            return Ok(());
        }
        let journal = match place.take() {
            Some(journal) => journal,
            None => {
                Journal::existing(&self.path, &self.lattice, Kind::Copy)
                    .map_err(|error| JournalError::Io(std::io::Error::other(error)))?
                    .0
            }
        };
        let (rest, changes, marks) = self.copy.lock().take_unwritten();
        // After an error the journal can't be used and the state of the file is unknown, so the
        // next write is a whole one.
        match journal.copy(rest, &changes, marks) {
            Ok(()) => *place = Some(journal),
            Err(error) => {
                self.copy.lock().unwritten = Unwritten::All;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Returns whether a key declares something that stays as it was when its value can't be read. An
/// unreadable link grants nothing.
fn is_declared(key: &StoreKey) -> bool {
    matches!(
        key.kind(),
        Some(
            KeyKind::Actor(_)
                | KeyKind::Provider(_)
                | KeyKind::Wormhole(_)
                | KeyKind::WormholeHost(_)
                | KeyKind::Config(_)
                | KeyKind::App(_)
                | KeyKind::Served(_)
                | KeyKind::Secret(_)
        )
    )
}

/// Returns whether an entry of the copy stays when the store has nothing at its key any more:
/// whether it was declared and not deleted.
fn outlasts_removal(known: &Entry) -> bool {
    is_declared(&known.key) && !looks_removed(&known.value)
}

impl Copy {
    fn taken(&self) -> Option<SystemTime> {
        let since = Duration::from_millis(self.marks.taken);
        (self.marks.taken > 0).then(|| SystemTime::UNIX_EPOCH + since)
    }

    fn note(&mut self, event: &WatchEvent, auth: &Auth) {
        match event {
            WatchEvent::Commit(changes) => {
                for change in changes {
                    self.note(change, auth);
                }
            }
            WatchEvent::Lost => return,
            WatchEvent::Snapshot {
                incarnation,
                revision,
                entries,
            } => self.replace(*incarnation, *revision, entries, auth),
            WatchEvent::Put(entry) => {
                self.marks.revision = entry.revision;
                let known = self.entries.remove(&entry.key);
                if !self.put(entry, known.as_ref(), auth) {
                    self.keep(known);
                }
                self.change(&entry.key);
            }
            WatchEvent::Delete { key, revision } => {
                self.marks.revision = *revision;
                if !self.entries.get(key).is_some_and(outlasts_removal) {
                    self.entries.remove(key);
                }
                self.change(key);
            }
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.marks.taken = since.map_or(1, |since| since.as_millis() as u64);
    }

    /// Takes in the whole content of the store.
    fn replace(
        &mut self,
        incarnation: Incarnation,
        revision: Revision,
        entries: &[Entry],
        auth: &Auth,
    ) {
        let is_same = self.marks.incarnation == incarnation;
        let went_back = revision < self.marks.revision;
        self.marks.incarnation = incarnation;
        self.marks.revision = revision;
        let mut before = mem::take(&mut self.entries);
        if !is_same {
            before.clear();
        }
        for entry in entries {
            let known = before.remove(&entry.key);
            // A store that went back has older values.
            if !self.put(entry, known.as_ref().filter(|_| !went_back), auth) {
                self.keep(known);
            }
        }
        if !went_back {
            // The store has nothing at these keys any more.
            let kept = before
                .into_iter()
                .filter(|(_, known)| outlasts_removal(known));
            self.entries.extend(kept);
        }
        self.unwritten = Unwritten::All;
    }

    fn note_hosts(&mut self, hosts: Bytes) {
        self.hosts = Some(hosts);
        if let Unwritten::Keys(keys) = &mut self.unwritten {
            keys.insert(StoreKey::known_hosts());
        }
    }

    /// Notes that the entry at `key` may have changed.
    fn change(&mut self, key: &StoreKey) {
        if let Unwritten::Keys(keys) = &mut self.unwritten {
            keys.insert(key.clone());
        }
    }

    /// Keeps the declared record at a key whose new value is refused.
    fn keep(&mut self, known: Option<Entry>) {
        if let Some(known) = known.filter(|known| is_declared(&known.key)) {
            self.entries.insert(known.key.clone(), known);
        }
    }

    /// Puts an entry at a key that had another one, if there was any. Returns whether it was
    /// accepted; any other one is left out.
    fn put(&mut self, entry: &Entry, known: Option<&Entry>, auth: &Auth) -> bool {
        if !self.accepts(entry, known, auth) {
            return false;
        }
        let own = Entry {
            key: entry.key.clone(),
            // A slice of a larger buffer would keep all of that buffer in memory.
            value: Bytes::copy_from_slice(&entry.value),
            revision: entry.revision,
        };
        self.entries.insert(own.key.clone(), own);
        true
    }

    /// Returns whether an entry is authentic and, if it declares something, not a replayed older
    /// value, which the replica refuses. The next process would otherwise start with that value.
    fn accepts(&self, entry: &Entry, known: Option<&Entry>, auth: &Auth) -> bool {
        if authentic(auth, self.marks.incarnation, entry).is_none() {
            return false;
        }
        if !is_declared(&entry.key) {
            return true;
        }
        let generation = generation_of(&entry.value);
        let is_replayed = known.is_some_and(|known| {
            known.revision != entry.revision && generation <= generation_of(&known.value)
        });
        !is_replayed && unseen(generation, entry.revision).is_none()
    }

    fn is_written(&self) -> bool {
        matches!(&self.unwritten, Unwritten::Keys(keys) if keys.is_empty())
    }

    fn take_unwritten(&mut self) -> (Rest, Vec<(StoreKey, Option<Bytes>)>, Marks) {
        let encoded = |entry: &Entry| slot::encode(entry.revision, Some(&entry.value), None);
        let hosts_at = StoreKey::known_hosts();
        let hosts = self.hosts.as_ref();
        let hosts = hosts.map(|hosts| slot::encode(Revision(1), Some(hosts), None));
        let none = Unwritten::Keys(BTreeSet::new());
        let (rest, changes) = match mem::replace(&mut self.unwritten, none) {
            Unwritten::All => {
                let all = self.entries.values();
                let all = all.map(|entry| (entry.key.clone(), Some(encoded(entry))));
                let hosts = hosts.map(|hosts| (hosts_at, Some(hosts)));
                (Rest::Goes, all.chain(hosts).collect())
            }
            Unwritten::Keys(keys) => {
                let changed = keys.into_iter().map(|key| {
                    let value = match self.entries.get(&key) {
                        None if key == hosts_at => hosts.clone(),
                        entry => entry.map(encoded),
                    };
                    (key, value)
                });
                (Rest::Stays, changed.collect())
            }
        };
        (rest, changes, self.marks)
    }
}
