//! Buckets in a file: a `redb` database. Each write is on the disk when it is confirmed.
//!
//! ```text
//! entries    (bucket, key) ──► number of the write, 8 bytes, little endian · value
//! numbers    format · revision (of the last write)
//! ```

use super::{
    backend::{Addition, Backend, Failure, KeyRange, Place, Seen},
    config::{Limits, duration, max_value_size, timeout},
    provider::KeyValue,
};
use bytes::Bytes;
use lattice_core::{quantity::ByteSize, sync::Mutex};
use lattice_provider_sdk::HostPath;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};
use serde::Deserialize;
use std::{io, ops::Bound, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const ENTRIES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("entries");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The format that this version reads and writes.
const FORMAT: u64 = 1;
/// Memory for the pages of the database.
const CACHE: usize = 64 * 1024 * 1024;
/// How many operations run at once. They block a thread each; writes wait for each other.
const TURNS: usize = 16;
/// The length of a write's number.
const NUMBER: usize = 8;

/// The config of a provider with its buckets in a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileConfig {
    /// The file. It is created if it doesn't exist; its folder has to exist. One provider can have
    /// it open.
    pub path: HostPath,
    /// The largest value. 1 MiB by default.
    #[serde(default = "max_value_size")]
    pub max_value_size: ByteSize,
    /// How long an operation may take, such as `10s`, which is the default.
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

impl FileConfig {
    /// A provider with this file, and defaults for the rest.
    pub fn new(path: impl Into<HostPath>) -> Self {
        Self {
            path: path.into(),
            max_value_size: max_value_size(),
            timeout: timeout(),
        }
    }
}

/// Buckets in a file of one provider.
#[derive(Debug)]
pub struct File {
    open: Arc<OpenFile>,
    turns: Arc<Semaphore>,
}

/// A key-value provider with its buckets in a file.
pub type FileKeyValue = KeyValue<File>;

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// The provider doesn't run.
    Stopped,
    /// It has to be opened before the next operation.
    Closed,
    Open(Arc<Database>),
}

impl KeyValue<File> {
    /// Creates a provider with its buckets in a file, which is opened when the provider starts.
    pub fn new(config: FileConfig) -> Self {
        let limits = Limits {
            max_value_size: config.max_value_size,
            timeout: config.timeout,
        };
        let file = File {
            open: Arc::new(OpenFile {
                path: config.path.into_path_buf(),
                state: Mutex::new(State::Stopped),
            }),
            turns: Arc::new(Semaphore::new(TURNS)),
        };
        Self::with_backend(file, limits)
    }
}

impl File {
    /// Runs an operation on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OpenFile) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Failure::NotRunning)?;
        let open = self.open.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&open)
        });
        done.await.unwrap_or_else(|error| {
            Err(if error.is_panic() {
                damaged("the database could not be read")
            } else {
                Failure::NotRunning
            })
        })
    }

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.run(move |open| open.with(|database| work(&database.begin_read().map_err(failure)?)))
            .await
    }

    /// Runs an operation that writes. What it has written counts only if it succeeds.
    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.run(move |open| {
            open.with(|database| {
                let transaction = database.begin_write().map_err(failure)?;
                let result = work(&transaction)?;
                transaction.commit().map_err(failure)?;
                Ok(result)
            })
        })
        .await
    }
}

impl OpenFile {
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        let database = self.database()?;
        let result = work(&database);
        if let Err(Failure::Unavailable { .. } | Failure::Full { .. }) = result {
            // After a failed write, the database has to be opened again.
            let mut state = self.state.lock();
            if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, &database)) {
                *state = State::Closed;
            }
        }
        result
    }

    fn database(&self) -> Result<Arc<Database>, Failure> {
        let mut state = self.state.lock();
        match &*state {
            State::Stopped => Err(Failure::NotRunning),
            State::Open(database) => Ok(database.clone()),
            State::Closed => {
                let database = Arc::new(self.open()?);
                *state = State::Open(database.clone());
                Ok(database)
            }
        }
    }

    fn open(&self) -> Result<Database, Failure> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        let database = builder.create(&self.path).map_err(failure)?;
        let transaction = database.begin_write().map_err(failure)?;
        {
            transaction.open_table(ENTRIES).map_err(failure)?;
            let mut numbers = transaction.open_table(NUMBERS).map_err(failure)?;
            let format = numbers.get("format").map_err(failure)?;
            let format = format.map(|format| format.value());
            match format {
                None => {
                    numbers.insert("format", FORMAT).map_err(failure)?;
                }
                Some(FORMAT) => {}
                Some(other) => {
                    return Err(damaged(&format!(
                        "it has format {other}, and this version reads {FORMAT}"
                    )));
                }
            }
        }
        transaction.commit().map_err(failure)?;
        Ok(database)
    }
}

impl Backend for File {
    const NAME: &'static str = "keyvalue-file";
    const IS_LASTING: bool = true;

    async fn start(&self) -> Result<(), Failure> {
        self.run(|open| {
            {
                let mut state = open.state.lock();
                if matches!(*state, State::Stopped) {
                    *state = State::Closed;
                }
            }
            let opened = open.database();
            if opened.is_err() {
                *open.state.lock() = State::Stopped;
            }
            opened.map(drop)
        })
        .await
    }

    async fn stop(&self) {
        let stopped = self.run(|open| {
            let state = std::mem::replace(&mut *open.state.lock(), State::Stopped);
            // Closed here, if no operation still uses it.
            drop(state);
            Ok(())
        });
        // Stopping twice is the same as once.
        let _ = stopped.await;
    }

    async fn check(&self) -> Result<(), Failure> {
        self.reading(|_| Ok(())).await
    }

    async fn read(&self, at: Place<'_>) -> Result<Seen, Failure> {
        let at = (at.bucket.to_owned(), at.key.to_owned());
        self.reading(move |transaction| {
            let entries = transaction.open_table(ENTRIES).map_err(failure)?;
            let entry = entries.get((&*at.0, &*at.1)).map_err(failure)?;
            entry.map_or(Ok(Seen::NOTHING), |entry| decoded(entry.value()))
        })
        .await
    }

    async fn set(&self, at: Place<'_>, value: Bytes) -> Result<(), Failure> {
        let at = (at.bucket.to_owned(), at.key.to_owned());
        self.writing(move |transaction| put(transaction, (&at.0, &at.1), &value))
            .await
    }

    async fn delete(&self, at: Place<'_>) -> Result<(), Failure> {
        let at = (at.bucket.to_owned(), at.key.to_owned());
        self.writing(move |transaction| remove(transaction, (&at.0, &at.1)))
            .await
    }

    async fn add(&self, at: Place<'_>, addition: Addition) -> Result<i64, Failure> {
        let at = (at.bucket.to_owned(), at.key.to_owned());
        self.writing(move |transaction| {
            let seen = seen(transaction, (&at.0, &at.1))?;
            let sum = addition.to(seen.value.as_deref())?;
            put(transaction, (&at.0, &at.1), sum.to_string().as_bytes())?;
            Ok(sum)
        })
        .await
    }

    async fn swap(&self, at: Place<'_>, expected: &Seen, value: Bytes) -> Result<bool, Failure> {
        let at = (at.bucket.to_owned(), at.key.to_owned());
        let revision = expected.revision;
        self.writing(move |transaction| {
            let is_same = seen(transaction, (&at.0, &at.1))?.revision == revision;
            if is_same {
                put(transaction, (&at.0, &at.1), &value)?;
            }
            Ok(is_same)
        })
        .await
    }

    async fn keys(&self, bucket: &str, range: KeyRange<'_>) -> Result<Vec<String>, Failure> {
        let (bucket, prefix) = (bucket.to_owned(), range.prefix.to_owned());
        let after = range.after.filter(|after| *after >= range.prefix);
        let (after, most) = (after.map(str::to_owned), range.most);
        self.reading(move |transaction| {
            let entries = transaction.open_table(ENTRIES).map_err(failure)?;
            let first = match &after {
                Some(after) => Bound::Excluded((&*bucket, &**after)),
                None => Bound::Included((&*bucket, &*prefix)),
            };
            let found = entries.range((first, Bound::Unbounded)).map_err(failure)?;
            let mut keys = Vec::new();
            for entry in found.take(most) {
                let (at, _) = entry.map_err(failure)?;
                let (in_bucket, key) = at.value();
                if in_bucket != bucket || !key.starts_with(&prefix) {
                    break;
                }
                keys.push(key.to_owned());
            }
            Ok(keys)
        })
        .await
    }

    async fn set_many(&self, bucket: &str, entries: Vec<(String, Bytes)>) -> Result<(), Failure> {
        let bucket = bucket.to_owned();
        self.writing(move |transaction| {
            let mut entries = entries.iter();
            entries.try_for_each(|(key, value)| put(transaction, (&bucket, key), value))
        })
        .await
    }

    async fn delete_many(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        let (bucket, keys) = (bucket.to_owned(), keys.to_vec());
        self.writing(move |transaction| {
            let mut keys = keys.iter();
            keys.try_for_each(|key| remove(transaction, (&bucket, key)))
        })
        .await
    }
}

fn seen(transaction: &WriteTransaction, at: (&str, &str)) -> Result<Seen, Failure> {
    let entries = transaction.open_table(ENTRIES).map_err(failure)?;
    let entry = entries.get(at).map_err(failure)?;
    entry.map_or(Ok(Seen::NOTHING), |entry| decoded(entry.value()))
}

fn put(transaction: &WriteTransaction, at: (&str, &str), value: &[u8]) -> Result<(), Failure> {
    let mut numbers = transaction.open_table(NUMBERS).map_err(failure)?;
    let last = numbers.get("revision").map_err(failure)?;
    let revision = last.map_or(0, |last| last.value()) + 1;
    numbers.insert("revision", revision).map_err(failure)?;
    let mut row = Vec::with_capacity(NUMBER + value.len());
    row.extend_from_slice(&revision.to_le_bytes());
    row.extend_from_slice(value);
    let mut entries = transaction.open_table(ENTRIES).map_err(failure)?;
    entries.insert(at, &*row).map_err(failure)?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, at: (&str, &str)) -> Result<(), Failure> {
    let mut entries = transaction.open_table(ENTRIES).map_err(failure)?;
    entries.remove(at).map_err(failure)?;
    Ok(())
}

fn decoded(row: &[u8]) -> Result<Seen, Failure> {
    let (number, value) = row
        .split_first_chunk::<NUMBER>()
        .ok_or_else(|| damaged("an entry is too short"))?;
    Ok(Seen {
        value: Some(Bytes::copy_from_slice(value)),
        revision: u64::from_le_bytes(*number),
    })
}

fn damaged(reason: &str) -> Failure {
    Failure::Damaged {
        backend: File::NAME,
        reason: reason.to_owned(),
    }
}

/// Each operation of the database has an error type. All of them convert into one.
fn failure(error: impl Into<redb::Error>) -> Failure {
    let backend = File::NAME;
    let error = error.into();
    let reason = error.to_string();
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            Failure::Unavailable {
                backend,
                reason:
                    "another provider or process has the file open; give each a file of its own"
                        .to_owned(),
            }
        }
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Failure::Full { backend, reason },
            // A file that doesn't begin as a database does.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Failure::Damaged { backend, reason }
            }
            _ => Failure::Unavailable { backend, reason },
        },
        redb::Error::Corrupted(_)
        | redb::Error::RepairAborted
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => Failure::Damaged { backend, reason },
        _ => Failure::Unavailable { backend, reason },
    }
}
