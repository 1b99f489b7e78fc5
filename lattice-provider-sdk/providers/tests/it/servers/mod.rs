//! Real servers, each in a folder of its own. One that isn't installed skips its tests.

#[cfg(feature = "sql-postgres")]
pub(crate) mod postgres;
#[cfg(feature = "messaging-amqp")]
pub(crate) mod rabbitmq;
#[cfg(feature = "keyvalue-redis")]
pub(crate) mod redis;
#[cfg(feature = "blobstore-s3")]
pub(crate) mod s3;
#[cfg(any(feature = "blobstore-s3", feature = "messaging-amqp"))]
mod shared;

use std::net::{Ipv4Addr, TcpListener};

/// Returns a port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
