//! NATS: one connection, shared by the bus and the store.
//!
//! [`NatsOptions`] has the servers and the login. [`NatsOptions::connect`] returns a
//! [`NatsConnection`], a cheap handle from which the [bus](NatsConnection::bus) and the store are
//! created.
//!
//! ```no_run
//! # async fn demo() -> Result<(), lattice_core::nats::ConnectError> {
//! use lattice_core::nats::NatsOptions;
//!
//! let connection = NatsOptions::new("tls://nats-1.example:4222")
//!     .server("tls://nats-2.example:4222")
//!     .credentials_file("/etc/lattice/prod.creds")
//!     .connect()
//!     .await?;
//! # Ok(())
//! # }
//! ```

mod bus;
pub(crate) mod client;
mod connection;
mod error;
mod options;
mod round_trip;
mod shared;
mod signals;
mod store;
pub(crate) mod tap;
mod tls;
mod url;

pub use bus::NatsBus;
pub use connection::NatsConnection;
pub use error::ConnectError;
pub use options::NatsOptions;
pub(crate) use shared::SharedNats;
#[cfg(feature = "disk")]
pub(crate) use store::LateStore;
pub use store::{NatsStore, NatsStoreOptions, OpenError};
