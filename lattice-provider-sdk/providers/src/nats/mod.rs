//! Connections to NATS, which providers of several capabilities have.
//!
//! Each provider has a connection of its own, which isn't that of the lattice. Its settings are
//! those of [`NatsSettings`], beside the provider's own, and are named as the options of `lattice
//! up` for NATS are:
//!
//! | setting | what it is | option of `lattice up` |
//! | --- | --- | --- |
//! | `servers` | the servers' URLs, joined by commas | `--nats` |
//! | `creds` | the content of a credentials file | `--creds` |
//! | `token` | a token | `--nats-token-file` |
//! | `nkey` | the seed of an nkey (`SU…`) | `--nats-nkey-file` |
//! | `user`, `password` | a user and a password | in the URL of `--nats` |
//! | `ca-file` | certificates of the authorities that are trusted (PEM) | `--nats-ca` |
//! | `cert-file`, `cert-key-file` | a client certificate and its private key (PEM) | `--nats-cert`, `--nats-cert-key` |
//! | `tls-first` | whether the TLS handshake comes first | `--nats-tls-first` |
//! | `inbox-prefix` | what the subjects for replies start with | `--nats-inbox-prefix` |
//! | `jetstream-domain` | the `JetStream` domain | `--jetstream-domain` |
//! | `timeout` | how long an operation may take | |
//!
//! A secret, such as `creds`, is the text itself, or says where it is, as
//! `{ "file": "/run/shop.creds" }` does. A setting that ends with `-file` is the path of a file of
//! certificates, or of a key.
//!
//! ```
//! use lattice_provider_sdk::settings;
//! use lattice_providers::nats::{NatsLogin, NatsSettings};
//! use std::collections::BTreeMap;
//!
//! let entries = [("servers", "nats://a:4222, nats://b:4222"), ("token", "enigma")];
//! let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
//! let parsed: NatsSettings = settings(&BTreeMap::from(entries))?;
//! assert!(matches!(parsed.login, NatsLogin::Token(_)));
//! # Ok::<_, lattice_provider_sdk::Refusal>(())
//! ```
//!
//! A server that is away isn't an error: the connection is made when it is there, and made again
//! after a loss.

mod connection;
mod settings;

#[cfg(any(feature = "blobstore-nats", feature = "keyvalue-nats"))]
pub(crate) use connection::Away;
pub(crate) use connection::Connection;
pub use settings::{NatsLogin, NatsSettings, NatsTls};
