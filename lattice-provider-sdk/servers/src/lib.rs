//! Real servers for the tests and benches of the standard providers and of the page, each in a
//! folder of its own and at an address of its own, so that any number of them can run at once.
//!
//! A server ends with its value, and with the process that has started it, whichever way that ends.
//! Those that take seconds to start can be shared by processes, in which they have names of their
//! own; such a server ends five seconds after the last use. `.ci/servers.sh` and `.ci/chromium.sh`
//! find or install the programs. If one isn't there, [`NoServer`] says so, and a test or a
//! measurement that needs it is skipped.
//!
//! The methods with which tests make a server fail panic when they can't do that: the test can't go
//! on.

mod chromium;
mod failure;
mod postgres;
mod rabbitmq;
mod redis;
mod running;
mod s3;
mod shared;
mod signal;

pub use chromium::Chromedriver;
pub use failure::{NoServer, installed};
pub use postgres::{LOCKED, PostgresServer};
pub use rabbitmq::RabbitServer;
pub use redis::RedisServer;
pub use running::free_port;
pub use s3::{S3Bucket, S3Server};
pub use signal::signal;
