//! The file: a `redb` database with one row per key. Each commit is written as a whole. Everything
//! here blocks.
//!
//! ```text
//! numbers    format · incarnation · revision (of the last commit)
//!            · ceiling (above every revision given away) · opened (how often)
//!            · taken (when, in milliseconds since 1970)
//! texts      lattice · kind
//! slots      key ──► its last write, see `slot`
//! ```
//! A new file is written under another name and then linked to its own, so that it exists whole or
//! not at all.

use super::{
    error::{JournalError, OpenError},
    slot::{self, Now},
};
use crate::{
    name::LatticeName,
    store::{Incarnation, Revision, StoreKey, state::Slot},
};
use bytes::Bytes;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    backends::FileBackend,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The format that this version writes, and the only one that it reads.
pub(super) const FORMAT: u64 = 1;
/// Memory for the pages of the database. It is small because all entries are in the store's own
/// memory and the file is read once.
const CACHE: usize = 4 * 1024 * 1024;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");
const SLOTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("slots");

/// An open file.
#[derive(Debug)]
pub(super) struct Journal(Database);

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file is the store.
    Store,
    /// The file is a copy of a store that is elsewhere.
    Copy,
}

/// The metadata of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) incarnation: Incarnation,
    /// Of the last commit.
    pub(super) revision: Revision,
    /// Every revision that was given out is at most this.
    pub(super) ceiling: Revision,
    /// How many times the file was opened.
    pub(super) opened: u64,
    /// When a copy was taken, in milliseconds since 1970; 0 if none was taken yet.
    pub(super) taken: u64,
}

/// The writes of one commit.
#[derive(Debug)]
pub(super) struct Batch {
    /// The encoded write of each key; `None` forgets the key.
    pub(super) changes: Vec<(StoreKey, Option<Bytes>)>,
    pub(super) revision: Revision,
    pub(super) ceiling: Revision,
}

/// The effect on keys that a write doesn't name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Stays,
    Goes,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Copy => "copy",
        }
    }
}

impl Journal {
    /// Opens the file of `lattice`, or creates it.
    pub(super) fn open(
        path: &Path,
        lattice: &LatticeName,
        kind: Kind,
    ) -> Result<(Self, Marks), OpenError> {
        match Self::existing(path, lattice, kind) {
            Err(OpenError::Refused { source, .. }) if source.kind() == ErrorKind::NotFound => {
                create(path, lattice, kind)
                    .map_err(|error| OpenError::from_journal(path, error))?;
                Self::existing(path, lattice, kind)
            }
            other => other,
        }
    }

    /// Opens the file of `lattice`, which must exist.
    pub(super) fn existing(
        path: &Path,
        lattice: &LatticeName,
        kind: Kind,
    ) -> Result<(Self, Marks), OpenError> {
        let open = || -> Result<Self, JournalError> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() == 0 {
                // The database would initialize an empty file as its own.
                return Err(JournalError::NotAStore);
            }
            database(file).map(Self)
        };
        let failed = |error| OpenError::from_journal(path, error);
        let journal = open().map_err(failed)?;
        let found = journal.number("format").map_err(failed)?;
        if found != FORMAT {
            return Err(OpenError::OtherFormat {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        if journal.text("kind").map_err(failed)? != kind.name() {
            return Err(failed(JournalError::NotAStore));
        }
        let name = journal.text("lattice").map_err(failed)?;
        if name != lattice.as_str() {
            return Err(OpenError::OtherLattice {
                path: path.to_owned(),
                found: name,
                wanted: lattice.clone(),
            });
        }
        let marks = journal.marks().map_err(failed)?;
        Ok((journal, marks))
    }

    /// Reads the last write of every key.
    pub(super) fn slots(&self, now: Now) -> Result<BTreeMap<StoreKey, Slot>, JournalError> {
        let mut slots = BTreeMap::new();
        for row in self.0.begin_read()?.open_table(SLOTS)?.iter()? {
            let (key, bytes) = row?;
            let key = StoreKey::from_store(key.value());
            let Some(slot) = slot::decode(bytes.value(), now) else {
                let what = format!("the entry of key `{key}` can't be read");
                return Err(JournalError::Damaged(what.into()));
            };
            slots.insert(key, slot);
        }
        Ok(slots)
    }

    /// Writes a commit: either all of it is on the disk when this returns, or nothing. After an
    /// error it is unknown which, and the journal can't be used any more.
    pub(super) fn append(&self, batch: &Batch) -> Result<(), JournalError> {
        self.write(Rest::Stays, &batch.changes, |set| {
            set("revision", batch.revision.0)?;
            set("ceiling", batch.ceiling.0)
        })
    }

    /// Records that a process begins to use the file. `ceiling` is above every revision that the
    /// process gives out before its first commit. Removes the keys in `forgotten`.
    pub(super) fn begin(
        &self,
        marks: Marks,
        ceiling: Revision,
        forgotten: Vec<StoreKey>,
    ) -> Result<(), JournalError> {
        let changes: Vec<_> = forgotten.into_iter().map(|key| (key, None)).collect();
        self.write(Rest::Stays, &changes, |set| {
            set("opened", marks.opened)?;
            set("ceiling", ceiling.0)
        })
    }

    /// Writes what changed in a copy, or all of it. Errors are as for [`append`](Self::append).
    pub(super) fn copy(
        &self,
        rest: Rest,
        changes: &[(StoreKey, Option<Bytes>)],
        marks: Marks,
    ) -> Result<(), JournalError> {
        self.write(rest, changes, |set| {
            set("incarnation", marks.incarnation.0)?;
            set("revision", marks.revision.0)?;
            set("taken", marks.taken)
        })
    }

    fn write(
        &self,
        rest: Rest,
        changes: &[(StoreKey, Option<Bytes>)],
        numbers: impl FnOnce(
            &mut dyn FnMut(&str, u64) -> Result<(), JournalError>,
        ) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        if rest == Rest::Goes {
            transaction.delete_table(SLOTS)?;
        }
        {
            let mut slots = transaction.open_table(SLOTS)?;
            for (key, bytes) in changes {
                match bytes {
                    Some(bytes) => slots.insert(key.as_str(), &bytes[..])?,
                    None => slots.remove(key.as_str())?,
                };
            }
            let mut table = transaction.open_table(NUMBERS)?;
            numbers(&mut |name, number| {
                table.insert(name, number)?;
                Ok(())
            })?;
        }
        Ok(transaction.commit()?)
    }

    fn marks(&self) -> Result<Marks, JournalError> {
        Ok(Marks {
            incarnation: Incarnation(self.number("incarnation")?),
            revision: Revision(self.number("revision")?),
            ceiling: Revision(self.number("ceiling")?),
            opened: self.number("opened")?,
            taken: self.number("taken")?,
        })
    }

    fn number(&self, name: &str) -> Result<u64, JournalError> {
        let table = self.0.begin_read()?.open_table(NUMBERS)?;
        let number = table.get(name)?.map(|number| number.value());
        number.ok_or(JournalError::NotAStore)
    }

    fn text(&self, name: &str) -> Result<String, JournalError> {
        let table = self.0.begin_read()?.open_table(TEXTS)?;
        let text = table.get(name)?.map(|text| text.value().to_owned());
        text.ok_or(JournalError::NotAStore)
    }
}

fn database(file: File) -> Result<Database, JournalError> {
    let backend = FileBackend::new(file)?;
    Ok(Builder::new()
        .set_cache_size(CACHE)
        // An altered file then fails to open, rather than surprising later.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)?)
}

/// Creates the file, unless another process creates it first.
fn create(path: &Path, lattice: &LatticeName, kind: Kind) -> Result<(), JournalError> {
    let draft = Draft::beside(path);
    {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        owner_only(&mut options);
        let file = options.open(&draft.0)?;
        let database = database(file)?;
        let transaction = database.begin_write()?;
        {
            transaction.open_table(SLOTS)?;
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.insert("format", FORMAT)?;
            numbers.insert("incarnation", born().0)?;
            for name in ["revision", "ceiling", "opened", "taken"] {
                numbers.insert(name, 0)?;
            }
            let mut texts = transaction.open_table(TEXTS)?;
            texts.insert("lattice", lattice.as_str())?;
            texts.insert("kind", kind.name())?;
        }
        transaction.commit()?;
    }
    match fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    drop(draft);
    sync_folder(path)?;
    Ok(())
}

/// A file that is removed when this is dropped.
struct Draft(PathBuf);

impl Draft {
    fn beside(path: &Path) -> Self {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        let random = getrandom::u32().unwrap_or_default();
        name.push(format!(".{}-{random:08x}.new", std::process::id()));
        Self(path.with_file_name(name))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The file may never have been created.
        let _ = fs::remove_file(&self.0);
    }
}

/// The file's contents grant calls, so only its owner may read or write it.
#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// Makes a new file name durable.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn born() -> Incarnation {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Incarnation(since.map_or(1, |since| since.as_nanos() as u64))
}
