//! SQLite: a file, or memory, in this process.
//!
//! ```text
//!   session ──jobs──► worker: a thread with one connection    session, worker
//!      ▲                 │ rows, at most 64 ahead of the reader
//!      └─── pool ◄───────┘ free again, once its transaction is rolled back
//! ```
//!
//! The file is in WAL mode: readers and one writer don't wait for each other. A database in memory
//! has one connection, which a transaction has for itself.

mod session;
mod values;
mod worker;

use super::{
    Limits, LinkConfig, Sql, World,
    backend::Backend,
    config::{IDLE_TIMEOUT_MS, MAX_BYTES, MAX_ROWS, TIMEOUT_MS},
    database::Error,
};
use lattice_core::{quantity::ByteSize, sync::Mutex};
use lattice_provider_sdk::{HostPath, Refusal};
use serde::Deserialize;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub use session::SqliteSession;
use worker::Worker;

/// `lattice:sql` on SQLite.
pub type Sqlite = Sql<SqliteBackend>;

/// The most that a database in memory takes by default.
const MAX_SIZE: ByteSize = ByteSize::mib(256);

/// The config of an instance of `sql-sqlite`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqliteConfig {
    /// The file of the database, which is made if there is none. Without it, the database is in
    /// memory, and lost when the provider stops.
    pub path: Option<HostPath>,
    /// The most that the database takes, such as `256MiB`. That is the default in memory; a file
    /// has no limit by default. A statement that needs more fails with SQLite's code 13.
    pub max_size: Option<ByteSize>,
    /// How many connections there are at most, each with a thread. 4 by default; 1 in memory.
    pub pool_size: NonZeroUsize,
    /// How long a statement waits for another writer, in milliseconds, before it fails with
    /// `conflict`. 5,000 by default.
    pub busy_timeout_ms: u64,
    /// How long a statement may take, in milliseconds. 10,000 by default.
    pub timeout_ms: u64,
    /// How long a transaction may wait for its next statement, and a stream for its reader, in
    /// milliseconds. 30,000 by default.
    pub idle_timeout_ms: u64,
    /// The most rows of a `query`. 10,000 by default.
    pub max_rows: usize,
    /// The most bytes of a `query`, of a row and of a value. 4 MiB by default.
    pub max_bytes: usize,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            path: None,
            max_size: None,
            pool_size: const { NonZeroUsize::new(4).expect("it isn't 0") },
            busy_timeout_ms: 5_000,
            timeout_ms: TIMEOUT_MS,
            idle_timeout_ms: IDLE_TIMEOUT_MS,
            max_rows: MAX_ROWS,
            max_bytes: MAX_BYTES,
        }
    }
}

impl SqliteConfig {
    /// The most that the database takes, if there is a limit.
    fn size_limit(&self) -> Option<ByteSize> {
        let in_memory = self.path.is_none().then_some(MAX_SIZE);
        self.max_size.or(in_memory)
    }

    /// How long a statement waits for another writer: at most what SQLite can wait, 24 days.
    fn busy_timeout(&self) -> Duration {
        let most = u64::from(i32::MAX.unsigned_abs());
        Duration::from_millis(self.busy_timeout_ms.min(most))
    }
}

impl Sqlite {
    /// Makes the provider. The file is opened when it starts.
    pub fn new(config: SqliteConfig) -> Self {
        let limits = Limits {
            timeout: Duration::from_millis(config.timeout_ms),
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            max_rows: config.max_rows,
            max_bytes: config.max_bytes,
        };
        // Each connection to memory has a database of its own.
        let size = match config.path {
            Some(_) => config.pool_size.get(),
            None => 1,
        };
        let pool = Pool {
            connections: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            free: Mutex::new(Vec::new()),
            config: Arc::new(config),
        };
        Self::on(SqliteBackend(Arc::new(pool)), limits)
    }
}

/// The connections to a database of SQLite.
#[derive(Debug)]
pub struct SqliteBackend(Arc<Pool>);

/// The connections that nothing uses, and how many there may be.
#[derive(Debug)]
struct Pool {
    connections: Arc<Semaphore>,
    free: Mutex<Vec<Worker>>,
    config: Arc<SqliteConfig>,
}

/// What a link has of its own.
#[derive(Debug, Clone, Copy)]
pub struct SqliteScope {
    is_read_only: bool,
}

impl Backend for SqliteBackend {
    type World = World;
    type Scope = SqliteScope;
    type Session = SqliteSession;

    const SYSTEM: &'static str = "sqlite";

    fn scope(&self, config: &LinkConfig) -> Result<SqliteScope, Refusal> {
        if config.schema.is_some() {
            return Err(Refusal::new(
                "`schema` is set, but SQLite has no schemas; remove it",
            ));
        }
        Ok(SqliteScope {
            is_read_only: config.read_only,
        })
    }

    async fn start(&self) -> Result<(), Refusal> {
        let permit = self.0.permit().await?;
        let (worker, lent) = self.0.worker(permit).await?;
        lent.give_back(worker);
        Ok(())
    }

    async fn session(&self, scope: &SqliteScope, _: Instant) -> Result<SqliteSession, Error> {
        let permit = self.0.permit().await?;
        let (worker, lent) = self.0.worker(permit).await?;
        let busy = self.0.config.busy_timeout();
        Ok(SqliteSession::new(worker, lent, busy, scope.is_read_only))
    }
}

impl Pool {
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = self.connections.clone().acquire_owned().await;
        permit.map_err(|_| Error::Unavailable("the provider is stopping".to_owned()))
    }

    /// Returns a connection that nothing uses, or a new one.
    async fn worker(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Worker, Lent), Error> {
        let free = self.free.lock().pop();
        let worker = match free {
            Some(worker) => worker,
            None => Worker::open(self.config.clone()).await?,
        };
        let pool = Arc::downgrade(self);
        let lent = Lent {
            pool,
            _permit: permit,
        };
        Ok((worker, lent))
    }
}

/// The right to a connection of a pool.
#[derive(Debug)]
struct Lent {
    pool: Weak<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Gives a connection back that is fit for others.
    fn give_back(self, worker: Worker) {
        if let Some(pool) = self.pool.upgrade() {
            pool.free.lock().push(worker);
        }
    }
}
