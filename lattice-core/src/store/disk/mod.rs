//! A store in a file, for a lattice that lives in one process and outlives it.
//!
//! All entries are in memory, as in a [`MemoryStore`](super::MemoryStore). Every commit is on the
//! disk, whole, before it returns and before anyone sees it. The file belongs to one process at a
//! time. Its [`Incarnation`] and the order of its revisions last as long as the file; a restart
//! skips some revisions.
//!
//! **Leases** end by this process's own clock while it lives, and by the wall clock across a
//! restart: when their time has passed, they are gone. A clock that was set back makes them last
//! for another whole term at most. A clock that was set forward ends them early, which is safe:
//! their holders were in the process that ended.
//!
//! **Trust**: values are authenticated as in any store, see [`record`](super::record). The file is
//! created so that only its owner can read and write it. Any other user who can write it can put an
//! earlier state of it back.
//!
//! ```text
//!          ┌── the disk fails, and the file opens again: the commit is known to be in it, or not ──┐
//!          ▼                                                                                       │
//!  open: Live ──── the disk fails, and the file can't be opened ────► InDoubt (out of reach) ──────┘
//! ```

mod error;
mod held;
mod journal;
mod slot;
mod snapshot;

pub use error::OpenError;
pub(crate) use snapshot::Snapshot;

use super::{
    CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError, StoreKey,
    StoreWatch,
    check::{check_ops, check_ttl},
    state::{Cursor, Followed, Look, StoreContents, follow},
};
use crate::{name::LatticeName, sync::Mutex};
use bytes::Bytes;
use error::JournalError;
use futures_util::future::BoxFuture;
use held::{Held, Phase, ceiling};
use journal::{Journal, Kind, Marks};
use slot::Now;
use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

/// Longest wait for the disk in one call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most writes that wait for their turn at once.
const QUEUE: usize = 1_024;
/// How long to wait for a file that is already open: its last user may be about to end.
const HANDOVER: Duration = Duration::from_secs(2);
/// Pause between two attempts to open a file.
const AGAIN: Duration = Duration::from_millis(20);
/// Pause between two attempts to reach a disk that has failed.
const RETRY: Duration = Duration::from_secs(1);

/// A [`Store`] in a file; see the [module](self). Cheap to clone: clones are handles to one store.
/// Dropping the last handle and the last watch closes the file, which takes some milliseconds.
///
/// ```
/// # use lattice_core::{name::LatticeName, store::{disk::DiskStore, *}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lattice.redb");
/// let (lattice, key) = (LatticeName::new("dev")?, StoreKey::for_test("color"));
/// let store = DiskStore::open(&path, &lattice).await?;
/// store.commit(vec![Op::put(key.clone(), "red", Expect::Absent)]).await?;
/// drop(store);
///
/// let store = DiskStore::open(&path, &lattice).await?;
/// assert_eq!(store.read(key).await?.expect("put above").value, "red");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DiskStore(Arc<OpenDatabase>);

struct OpenDatabase {
    path: PathBuf,
    lattice: LatticeName,
    marks: Marks,
    held: Mutex<Held>,
    changed: watch::Sender<()>,
    /// Used by the holder of the turn, on a thread that may block. `None` after a failure.
    journal: Mutex<Option<Journal>>,
    /// One write at a time, in the order of arrival.
    turn: Arc<Semaphore>,
    queue: Semaphore,
}

impl DiskStore {
    /// Opens the file at `path`, or creates it in an existing folder. Waits for a file that is
    /// already open, for 2 s at most.
    ///
    /// # Errors
    /// Fails with [`OpenError`], which says what to do.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a new, empty store behind.
    pub async fn open(path: impl AsRef<Path>, lattice: &LatticeName) -> Result<Self, OpenError> {
        let lattice = lattice.clone();
        let open = move |path: &Path| OpenDatabase::open(path, &lattice);
        Ok(Self(Arc::new(open_patiently(path.as_ref(), open).await?)))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    async fn write(&self, ops: Vec<Op>, ttl: Option<Duration>) -> Result<Revision, CommitError> {
        check_ops(&ops)?;
        let deadline = Instant::now() + TIMEOUT;
        let Ok(_place) = self.0.queue.try_acquire() else {
            let reason = format!("{QUEUE} writes wait for the disk already");
            return Err(StoreError::Unavailable(reason).into());
        };
        let turn = self.0.turn(deadline).await?;
        let shared = Arc::clone(&self.0);
        let work = spawn_blocking(move || {
            // Released when the write is done, even when its caller has stopped waiting.
            let _turn = turn;
            shared.write(ops, ttl)
        });
        match timeout_at(deadline, work).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) | Err(_) => Err(CommitError::Unknown),
        }
    }

    async fn read_state<T>(&self, work: impl FnOnce(&StoreContents) -> T) -> Result<T, StoreError> {
        if self.0.may_retry() {
            Arc::clone(&self.0).wake().await;
        }
        let mut held = self.0.held.lock();
        held.age();
        match &held.phase {
            Phase::InDoubt { reason, .. } => Err(StoreError::Unavailable(reason.clone())),
            Phase::Live | Phase::Writing => Ok(work(&held.state)),
        }
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl Store for DiskStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(self.read_state(StoreContents::incarnation))
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.read_state(StoreContents::position))
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(self.read_state(move |state| state.read(&key)))
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(self.write(ops, None))
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            check_ttl(ttl)?;
            self.write(vec![Op::put(key, value, expect)], Some(ttl))
                .await
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            self.read_state(|_| ()).await?;
            Ok(follow(Arc::clone(&self.0)))
        })
    }
}

impl Followed for OpenDatabase {
    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn look(&self, cursor: &mut Cursor) -> Look {
        let mut held = self.held.lock();
        held.age();
        match held.state.next(cursor) {
            Some(event) => Look::Event(event),
            None => Look::Wait(match &held.phase {
                Phase::Live => held.state.next_expiry(),
                Phase::Writing => None,
                Phase::InDoubt { next, .. } => Some(*next),
            }),
        }
    }

    /// Tries to reach a disk that has failed.
    fn wake(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if !self.may_retry() {
                return;
            }
            let deadline = Instant::now() + TIMEOUT;
            let Ok(turn) = self.turn(deadline).await else {
                return;
            };
            let work = spawn_blocking(move || {
                let _turn = turn;
                let mut journal = self.journal.lock();
                self.settle(&mut journal)
            });
            // The result is in the phase.
            let _ = timeout_at(deadline, work).await;
        })
    }
}

/// Opens a file, and waits a little for one that is already open.
async fn open_patiently<T: Send + 'static>(
    path: &Path,
    open: impl Fn(&Path) -> Result<T, OpenError> + Clone + Send + 'static,
) -> Result<T, OpenError> {
    let path = absolute(path).map_err(|error| OpenError::from_io(path, error))?;
    let patience = Instant::now() + HANDOVER;
    loop {
        let (at, open) = (path.clone(), open.clone());
        match spawn_blocking(move || open(&at)).await {
            Ok(Err(OpenError::AlreadyOpen { .. })) if Instant::now() < patience => {
                sleep(AGAIN).await;
            }
            Ok(opened) => return opened,
            // The database panicked: it met a state that it considers impossible.
            Err(error) => {
                let source = JournalError::Damaged(Box::new(error));
                return Err(OpenError::from_journal(&path, source));
            }
        }
    }
}

/// The blocking part. It runs on a thread that may block, one call at a time.
impl OpenDatabase {
    fn open(path: &Path, lattice: &LatticeName) -> Result<Self, OpenError> {
        let (journal, mut marks) = Journal::open(path, lattice, Kind::Store)?;
        let failed = |error| OpenError::from_journal(path, error);
        let now = Now::read();
        let slots = journal.slots(now).map_err(failed)?;
        marks.opened += 1;
        let newest = slots.values().map(|slot| slot.revision).max();
        let last = marks.ceiling.max(marks.revision);
        let state = StoreContents::restored(
            marks.incarnation,
            last.max(newest.unwrap_or_default()),
            slots,
        );
        let mut held = Held {
            state,
            aged: BTreeSet::new(),
            phase: Phase::Live,
        };
        held.age();
        let (state, aged) = (&held.state, std::mem::take(&mut held.aged));
        let (kept, forgotten) = aged.into_iter().partition(|key| state.slot(key).is_some());
        held.aged = kept;
        let ceiling = ceiling(&held.state, 0);
        let forgotten: BTreeSet<StoreKey> = forgotten;
        journal
            .begin(marks, ceiling, forgotten.into_iter().collect())
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            lattice: lattice.clone(),
            marks,
            held: Mutex::new(held),
            changed: watch::Sender::new(()),
            journal: Mutex::new(Some(journal)),
            turn: Arc::new(Semaphore::new(1)),
            queue: Semaphore::new(QUEUE),
        })
    }

    fn write(&self, ops: Vec<Op>, ttl: Option<Duration>) -> Result<Revision, CommitError> {
        let mut place = self.journal.lock();
        self.settle(&mut place)?;
        let commit = self.held.lock().begin(ops, ttl)?;
        let Some(journal) = place.as_ref() else {
            return Err(StoreError::Closed.into());
        };
        let revision = commit.batch.revision;
        let appended = catch_unwind(AssertUnwindSafe(|| journal.append(&commit.batch)));
        // A panic: the database met a state that it considers impossible.
        let impossible = |_| Err(JournalError::Damaged("the database gave up".into()));
        let Err(error) = appended.unwrap_or_else(impossible) else {
            self.end(|held| held.take_in(commit));
            return Ok(revision);
        };
        tracing::error!(path = %self.path.display(), %error, "a commit could not be written");
        // After an error the database refuses everything; only opening it again shows what it
        // contains.
        *place = None;
        self.end(|held| held.doubt(commit, error.to_string(), Instant::now()));
        self.settle(&mut place).map_err(|_| CommitError::Unknown)?;
        if self.held.lock().state.revision() >= revision {
            Ok(revision)
        } else {
            Err(StoreError::from(error).into())
        }
    }

    /// Opens the file again after a failure. Applies the commit that was in doubt when the file
    /// turns out to contain it.
    fn settle(&self, place: &mut Option<Journal>) -> Result<(), StoreError> {
        if place.is_some() {
            return Ok(());
        }
        let opened = Journal::existing(&self.path, &self.lattice, Kind::Store);
        let unavailable = |error: &dyn fmt::Display| {
            let reason = error.to_string();
            self.end(|held| held.retry_later(&reason));
            StoreError::Unavailable(reason)
        };
        let (journal, marks) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Full { source, .. }) => {
                unavailable(&source);
                return Err(StoreError::Full(source.to_string()));
            }
            Err(error) => return Err(unavailable(&error)),
        };
        if (marks.incarnation, marks.opened) != (self.marks.incarnation, self.marks.opened) {
            let taken = "another process has used the file meanwhile; start this one again";
            return Err(unavailable(&taken));
        }
        *place = Some(journal);
        self.end(|held| held.resolve(marks.revision));
        Ok(())
    }

    fn end(&self, how: impl FnOnce(&mut Held)) {
        how(&mut self.held.lock());
        self.changed.send_replace(());
    }
}

impl OpenDatabase {
    /// Waits for the right to use the journal.
    async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = timeout_at(deadline, Arc::clone(&self.turn).acquire_owned()).await;
        let slow = |_| StoreError::Unavailable("the disk does not keep up with the writes".into());
        // The semaphore is never closed.
        turn.map_err(slow)?.map_err(|_| StoreError::Closed)
    }

    fn may_retry(&self) -> bool {
        let held = self.held.lock();
        matches!(&held.phase, Phase::InDoubt { next, .. } if *next <= Instant::now())
    }
}

#[cfg(test)]
mod tests;
