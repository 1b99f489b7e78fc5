//! PostgreSQL: a server.
//!
//! The connections are in pools, one for each schema and access that links ask for, because the
//! settings of a connection are those of its start. A statement that isn't wanted any longer is
//! cancelled at the server, and its connection closed: a cancellation may come late, and would hit
//! another statement.

mod control;
mod decode;
mod encode;
mod error;
mod options;
pub mod published;
mod session;

use super::{
    Limits, LinkConfig, Sql,
    backend::Backend,
    config::{IDLE_TIMEOUT_MS, MAX_BYTES, MAX_ROWS, TIMEOUT_MS},
    database::Error,
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use lattice_core::sync::Mutex;
use lattice_provider_sdk::{BackendServer, HostPath, Refusal, Secret};
use options::Options;
use serde::Deserialize;
use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use published::PostgresWorld;
pub use session::PostgresSession;

/// `lattice:sql` on PostgreSQL.
pub type Postgres = Sql<PostgresBackend>;

/// The config of an instance of `sql-postgres`. What it doesn't set is as in `url`, and then as
/// PostgreSQL's own clients have it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PostgresConfig {
    /// A connection string, such as `postgres://app@db.example.com/shop`. The other fields replace
    /// its parts.
    pub url: Option<Secret>,
    /// The server's name or address, or the folder of its Unix socket.
    pub host: Option<String>,
    /// The server's port. 5432 by default.
    pub port: Option<u16>,
    /// The user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The database. The one that is named after the user by default.
    pub database: Option<String>,
    /// Whether to use TLS. As `sslmode` of the URL says by default, and then `prefer`.
    pub tls: Option<Tls>,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    pub ca_file: Option<HostPath>,
    /// How many connections a pool has at most. 16 by default.
    pub pool_size: NonZeroUsize,
    /// How long it may take to connect, in milliseconds. 5,000 by default.
    pub connect_timeout_ms: u64,
    /// How long a statement may take, in milliseconds. 10,000 by default.
    pub timeout_ms: u64,
    /// How long a transaction may wait for its next statement, and a stream for its reader, in
    /// milliseconds. 30,000 by default.
    pub idle_timeout_ms: u64,
    /// The most rows of a `query`. 10,000 by default.
    pub max_rows: usize,
    /// The most bytes of a `query`, and of a row of a stream. 4 MiB by default.
    pub max_bytes: usize,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            tls: None,
            ca_file: None,
            pool_size: const { NonZeroUsize::new(16).expect("it isn't 0") },
            connect_timeout_ms: 5_000,
            timeout_ms: TIMEOUT_MS,
            idle_timeout_ms: IDLE_TIMEOUT_MS,
            max_rows: MAX_ROWS,
            max_bytes: MAX_BYTES,
        }
    }
}

/// Whether connections use TLS. A certificate is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// No.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Yes. A server that doesn't offer it isn't used.
    Require,
}

impl Postgres {
    /// Makes the provider. It connects when it is used. A config that can't be used is refused when
    /// it starts, and when links are made.
    pub fn new(config: PostgresConfig) -> Self {
        let limits = Limits {
            timeout: Duration::from_millis(config.timeout_ms),
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            max_rows: config.max_rows,
            max_bytes: config.max_bytes,
        };
        let pools = Options::new(&config).and_then(|options| {
            let whole = Key::default();
            let default = Arc::new(PgPool::new(&options, &whole)?);
            Ok(Pools {
                by_key: Mutex::new(HashMap::from([(whole, Arc::downgrade(&default))])),
                options,
                _default: default,
            })
        });
        Self::on(PostgresBackend(pools), limits)
    }
}

/// The connections to a server of PostgreSQL, or why there can be none.
#[derive(Debug)]
pub struct PostgresBackend(Result<Pools, Refusal>);

/// The pools of the links that there are.
#[derive(Debug)]
struct Pools {
    options: Options,
    by_key: Mutex<HashMap<Key, Weak<PgPool>>>,
    /// That of links without config is always kept, for checks of health.
    _default: Arc<PgPool>,
}

/// What the connections of a pool have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Key {
    schema: Option<String>,
    is_read_only: bool,
}

/// Connections of one kind.
pub struct PgPool {
    pool: Pool,
    tls: MakeRustlsConnect,
    is_read_only: bool,
    /// What traces call the database.
    namespace: String,
}

impl fmt::Debug for PgPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgPool")
            .field("status", &self.pool.status())
            .field("is_read_only", &self.is_read_only)
            .finish_non_exhaustive()
    }
}

impl PgPool {
    fn new(options: &Options, key: &Key) -> Result<Self, Refusal> {
        let recycling_method = if key.is_read_only {
            // A function can set that later transactions may write.
            RecyclingMethod::Custom("RESET ALL".to_owned())
        } else {
            RecyclingMethod::Fast
        };
        let server = options.server(key.schema.as_deref(), key.is_read_only);
        let manager = ManagerConfig { recycling_method };
        let manager = Manager::from_config(server, options.tls.clone(), manager);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            tls: options.tls.clone(),
            is_read_only: key.is_read_only,
            namespace: options.namespace(key.schema.as_deref()),
        })
    }
}

impl Pools {
    fn of(&self, key: Key) -> Result<Arc<PgPool>, Refusal> {
        let mut pools = self.by_key.lock();
        if let Some(pool) = pools.get(&key).and_then(Weak::upgrade) {
            return Ok(pool);
        }
        pools.retain(|_, pool| pool.strong_count() > 0);
        let pool = Arc::new(PgPool::new(&self.options, &key)?);
        pools.insert(key, Arc::downgrade(&pool));
        Ok(pool)
    }
}

impl PostgresBackend {
    fn pools(&self) -> Result<&Pools, Refusal> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl Backend for PostgresBackend {
    type World = PostgresWorld;
    type Scope = Arc<PgPool>;
    type Session = PostgresSession;

    const SYSTEM: &'static str = "postgresql";

    fn namespace(&self, pool: &Arc<PgPool>) -> String {
        pool.namespace.clone()
    }

    fn server(&self) -> Option<BackendServer> {
        self.pools().ok()?.options.address()
    }

    fn scope(&self, config: &LinkConfig) -> Result<Arc<PgPool>, Refusal> {
        if config
            .schema
            .as_deref()
            .is_some_and(|schema| !options::is_schema(schema))
        {
            return Err(Refusal::new(
                "`schema` isn't the name of one: it has 1 to 63 bytes, none of which is 0",
            ));
        }
        self.pools()?.of(Key {
            schema: config.schema.clone(),
            is_read_only: config.read_only,
        })
    }

    async fn start(&self) -> Result<(), Refusal> {
        self.pools()?;
        Ok(())
    }

    async fn session(&self, pool: &Arc<PgPool>, _: Instant) -> Result<PostgresSession, Error> {
        let client = pool.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error::connecting(&error),
            PoolError::Timeout(_) => Error::Unavailable(
                "the server took no connection in `connect-timeout-ms`".to_owned(),
            ),
            error => Error::Unavailable(error.to_string()),
        })?;
        Ok(PostgresSession::new(client, pool.clone()))
    }
}
