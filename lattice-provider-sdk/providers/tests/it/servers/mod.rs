//! Real servers. A test of one that this machine doesn't have is skipped.

use lattice_test_servers::installed;
#[cfg(feature = "sql-postgres")]
use lattice_test_servers::PostgresServer;
#[cfg(feature = "keyvalue-redis")]
use lattice_test_servers::RedisServer;

/// Starts a server with an empty database.
#[cfg(feature = "sql-postgres")]
pub(crate) async fn postgres() -> Option<PostgresServer> {
    installed(PostgresServer::start().await)
}

/// Starts a server with more options.
#[cfg(feature = "keyvalue-redis")]
pub(crate) async fn redis(options: &[&str]) -> Option<RedisServer> {
    installed(RedisServer::start(options).await)
}
