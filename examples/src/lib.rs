//! Code that the examples share: the actors that they run, a small key-value provider, a NATS
//! server for experiments, an HTTP client, and a load generator that counts the outcomes of its
//! calls.
//!
//! The examples themselves are the files next to this crate's `Cargo.toml`. Run one with
//! `cargo run --release -p lattice-examples --example NAME` after `make guests`.

pub mod fetch;
pub mod guests;
pub mod load;
mod report;
pub mod server;
pub mod store;

/// Clients for the interfaces of `guests/wit`, generated from the same text as the actors:
/// [`DeskClient`](desk::DeskClient).
mod visitor {
    lattice_provider_sdk::provider!({ path: "guests/wit", world: "visitor" });
}

/// Compiles the Rust code of the README and of the pages below. The README's actor isn't compiled,
/// because it needs a folder of WIT.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../lattice-core/README.md")]
struct CoreReadme;

#[cfg(doctest)]
#[doc = include_str!("../../lattice-host/README.md")]
struct HostReadme;

#[cfg(doctest)]
#[doc = include_str!("../../lattice-core/docs/nats.md")]
struct NatsPage;

#[cfg(doctest)]
#[doc = include_str!("../../lattice-core/docs/leaf-nodes.md")]
struct LeafNodesPage;

#[cfg(doctest)]
#[doc = include_str!("../../lattice-host/docs/http.md")]
struct HttpPage;

pub use report::Report;
pub use visitor::example::hello::desk;

/// The program that `.ci/package.sh` checks against the packages.
#[cfg(test)]
#[path = "../../.ci/consumer/main.rs"]
mod consumer;
