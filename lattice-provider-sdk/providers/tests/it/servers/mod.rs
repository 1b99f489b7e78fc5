//! Real servers. A test of one that this machine doesn't have is skipped.

#[cfg(feature = "sql-postgres")]
use lattice_test_servers::PostgresServer;
#[cfg(feature = "messaging-amqp")]
use lattice_test_servers::RabbitServer;
#[cfg(feature = "keyvalue-redis")]
use lattice_test_servers::RedisServer;
use lattice_test_servers::installed;
#[cfg(feature = "blobstore-s3")]
use lattice_test_servers::{S3Bucket, S3Server};

/// Starts a server with an empty database.
#[cfg(feature = "sql-postgres")]
pub(crate) async fn postgres() -> Option<PostgresServer> {
    installed(PostgresServer::start().await)
}

/// Returns a server that tests share, with a name that no other test has.
#[cfg(feature = "messaging-amqp")]
pub(crate) async fn shared_rabbitmq() -> Option<RabbitServer> {
    installed(RabbitServer::shared().await)
}

/// Starts a server for a test that makes it fail.
#[cfg(feature = "messaging-amqp")]
pub(crate) async fn rabbitmq() -> Option<RabbitServer> {
    installed(RabbitServer::start().await)
}

/// Starts a server with more options.
#[cfg(feature = "keyvalue-redis")]
pub(crate) async fn redis(options: &[&str]) -> Option<RedisServer> {
    installed(RedisServer::start(options).await)
}

/// Creates a bucket at a server that tests share, which takes any key.
#[cfg(feature = "blobstore-s3")]
pub(crate) async fn s3_bucket() -> Option<S3Bucket> {
    installed(S3Bucket::create().await)
}

/// Starts a server that checks signatures.
#[cfg(feature = "blobstore-s3")]
pub(crate) async fn s3() -> Option<S3Server> {
    installed(S3Server::start().await)
}
