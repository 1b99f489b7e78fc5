//! The standard capability providers of a lattice, written with `lattice-provider-sdk` as any other
//! provider is.
//!
//! A *capability* is an interface that actors import, such as a key-value store, and a *backend* is
//! what serves it, such as Redis. To use another backend is to link to another provider. Each
//! capability has a module, and nothing is built without its feature: that of the capability has
//! the backends in memory and those over the lattice, and the others have one each, such as
//! `keyvalue-redis`. `blobstore` also has files, and `blobstore-s3` also Azure and GCS. `all` has
//! every one.
//!
//! ```
//! use lattice_provider_sdk::{Lattice, Link, serve};
//! use lattice_providers::keyvalue::{MemoryConfig, MemoryKeyValue};
//!
//! lattice_provider_sdk::client!({ inline: "
//!     package example:app@0.1.0;
//!     world app { import wasi:keyvalue/store@0.2.0-draft; }
//! " });
//! use wasi::keyvalue::store::{INTERFACE, StoreClient};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("dev").await?;
//!     let store = MemoryKeyValue::new(MemoryConfig::default());
//!     let _serving = serve(&lattice, "store", store).await?;
//!     lattice.links().put(Link::new("app", INTERFACE.name(), "store")?).await?;
//!
//!     // Here a program is the caller. An actor imports the same interface.
//!     let store = StoreClient::new(lattice.caller("app")?);
//!     let bucket = store.open("greetings").await?.map_err(|error| format!("{error:?}"))?;
//!     bucket.set("greeting", b"Hello!").await?.map_err(|error| format!("{error:?}"))?;
//!     let greeting = bucket.get("greeting").await?.map_err(|error| format!("{error:?}"))?;
//!     assert_eq!(greeting.as_deref(), Some(&b"Hello!"[..]));
//!     Ok(())
//! }
//! ```
//!
//! # Three ways to run one
//!
//! * In a host, by its name in a manifest. The command `lattice` has all of them, and so does a
//!   host with the feature `providers` of `lattice-mesh-host`:
//!
//!   ```toml
//!   [providers.store]
//!   builtin = "keyvalue-memory"
//!   config = { max-size = "64MiB" }
//!   ```
//!
//! * In a host or any other Rust program, as a value: with
//!   `Host::builder(&lattice).provider("store", …)`, or [`serve`](lattice_provider_sdk::serve).
//! * In a process of its own: `lattice-provider keyvalue-memory --id store --set max-size=64MiB`.
//!
//! A provider has *settings*, which are the same for all links, such as the address of a server.
//! They are fields of a public type, with their defaults. A link has a *config*, which is the
//! caller's own, such as a prefix or a bucket. Settings and configs with unknown names are refused.
//! A password in either is a [`Secret`](lattice_provider_sdk::Secret): it may also be in a file or
//! a variable, and is never printed. Servers are reached by the same settings in all providers:
//! `user` and `password` are a login, and `ca-file` is a file with the certificates of authorities,
//! in PEM, which are trusted in place of those of the system. Where the provider can have a
//! certificate too, `cert-file` and `cert-key-file` are files with it and with its private key. The
//! module `nats` has the settings of all providers that connect to NATS.
//!
//! # Files and variables of the machine
//!
//! Who may apply apps isn't who operates a host, so settings in a manifest may name only the files
//! and variables that the host allows: with `lattice up --provider-files FOLDER` and
//! `--provider-env PREFIX`, or [`Access`](lattice_provider_sdk::Access) in
//! `HostBuilder::provider_access`. By default, there are none, and a provider such as
//! `keyvalue-file` says so in its condition. That holds for
//! [paths](lattice_provider_sdk::HostPath), for secrets that are in a file or a variable, and for
//! the source of `secrets`. `..` and symbolic links don't lead out of a folder. Two apps of one
//! host share what it allows. The config of a link names no files and variables. A provider that
//! is made in Rust, or run by its own operator with the command `lattice-provider`, may use all.
//! Only such a provider may also use Unix sockets, and the credentials that a cloud gives to its
//! machine.
//!
//! # A backend that is away
//!
//! A provider starts although its server is away. Calls fail with the interface's own error, within
//! their deadline, and the provider's condition says why, in `lattice get` and `lattice explain`.
//! When the server is back, calls succeed again.

#![forbid(unsafe_code)]

#[cfg(feature = "blobstore")]
pub mod blobstore;
mod builtin;
mod builtins;
#[cfg(any(
    feature = "blobstore-nats",
    feature = "blobstore-s3",
    feature = "keyvalue-nats",
    feature = "keyvalue-redis",
    feature = "messaging-amqp",
    feature = "messaging-nats",
    feature = "sql-postgres"
))]
mod certificates;
#[cfg(any(
    feature = "blobstore-nats",
    feature = "blobstore-s3",
    feature = "keyvalue",
    feature = "messaging-amqp",
    feature = "messaging-nats"
))]
mod duration;
#[cfg(feature = "keyvalue")]
pub mod keyvalue;
#[cfg(feature = "messaging")]
pub mod messaging;
#[cfg(any(
    feature = "blobstore-nats",
    feature = "keyvalue-nats",
    feature = "messaging-nats"
))]
pub mod nats;
#[cfg(any(feature = "messaging", feature = "schedule"))]
mod outgoing;
#[cfg(any(feature = "blobstore", feature = "keyvalue", feature = "messaging"))]
mod patience;
#[cfg(any(feature = "messaging", feature = "schedule"))]
mod period;
#[cfg(any(feature = "keyvalue", feature = "messaging", feature = "schedule"))]
mod problems;
#[cfg(feature = "schedule")]
pub mod schedule;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "sql")]
pub mod sql;

pub use builtin::{Builtin, Make};
pub use builtins::builtins;
#[cfg(any(feature = "messaging", feature = "schedule"))]
pub use period::Period;
