//! Rows of PostgreSQL.

use super::{Lookups, SIZE, rate};
use crate::{
    Failure,
    bars::Bar,
    guests::Guest,
    lookup::{DATABASE, LookupScene},
};
use bytes::Bytes;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use lattice_benches_common::{measure::Calls, report::Report};
use lattice_core::error::chain;
use lattice_providers::sql::{Postgres, PostgresConfig, Tls};
use lattice_test_servers::PostgresServer;
use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio_postgres::NoTls;

const POSTGRES: &str = "sql.postgres.rate";
/// The user, and the database of the same name.
const USER: &str = "postgres";
/// Connections of each side: what the provider has by default.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
/// What the guest reads, and how many rows there are.
const QUERY: &str = "SELECT body FROM readings WHERE id = $1";
const ROWS: u32 = 1_000;

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    if !report.wants(POSTGRES) {
        return Ok(());
    }
    match postgres().await {
        Ok((server, client)) => {
            let provider = Postgres::new(PostgresConfig {
                host: Some(server.host()),
                user: Some(USER.to_owned()),
                tls: Some(Tls::Disable),
                pool_size: CONNECTIONS,
                ..PostgresConfig::default()
            });
            let ours = LookupScene::start(Guest::Sql, DATABASE, provider).await?;
            let row = rate(report, POSTGRES, Lookups(ours), client).await?;
            report.add_row(row, Bar::RatioAtLeast(0.8));
        }
        Err(reason) => report.leave_out(POSTGRES, chain(&*reason)),
    }
    Ok(())
}

/// Starts a server, and connects the bare client, of which one call has succeeded.
async fn postgres() -> Result<(PostgresServer, Client), Failure> {
    let server = PostgresServer::start().await?;
    let client = Client::connect(&server).await?;
    client.call(0, &Bytes::new()).await?;
    Ok((server, client))
}

/// The bare client, with a pool of connections that keep the prepared statement.
struct Client {
    pool: Pool,
    next: AtomicU32,
}

impl Client {
    /// Connects, and makes the table.
    async fn connect(server: &PostgresServer) -> Result<Self, Failure> {
        let mut config = tokio_postgres::Config::new();
        config.host(server.host()).user(USER).dbname(USER);
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager).max_size(CONNECTIONS.get()).build()?;
        let made = format!(
            "CREATE TABLE readings (id INT PRIMARY KEY, body BYTEA NOT NULL);
             INSERT INTO readings
             SELECT id, decode(repeat('07', {SIZE}), 'hex') FROM generate_series(0, {ROWS} - 1) AS id;
             ANALYZE readings"
        );
        pool.get().await?.batch_execute(&made).await?;
        let next = AtomicU32::new(0);
        Ok(Self { pool, next })
    }
}

impl Calls for Client {
    async fn call(&self, _: usize, _: &Bytes) -> Result<usize, Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) % ROWS;
        let id = i32::try_from(id)?;
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(QUERY).await?;
        let row = client.query_one(&statement, &[&id]).await?;
        Ok(row.try_get::<_, &[u8]>(0)?.len())
    }
}
