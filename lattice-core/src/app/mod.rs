//! Apps: actors, providers, links, configurations and wormholes that are declared, changed and
//! deleted together.
//!
//! A manifest declares the desired state of an app, in TOML, in JSON ([`AppManifest::json_schema`])
//! or in Rust:
//!
//! ```toml
//! name = "shop"
//! version = "1.2"
//! external = ["front-desk"]                    # named in links, declared elsewhere
//!
//! [actors.greeter]
//! image = "file:target/greeter.wasm"           # or "ghcr.io/shop/greeter:1.2", or "sha256:…"
//! replicas = 3                                 # or "per-host"
//! require = { zone = "eu" }                    # labels that a host must have
//! exclude = { disk = "slow" }                  # and must not have
//! spread = [{ label = "rack", weights = { a = 2, b = 1 } }]
//! instance = "warm"
//! limits = { memory = "128MiB", cpu = "2s" }
//! config = { greeting = "Hello" }
//! configs = ["common"]
//!
//! [providers.kv]
//! builtin = "keyvalue-memory"                  # or image = "…", a program
//! config = { max-size = "64MiB" }
//! run = "once"                                 # one in the whole lattice
//!
//! [[links]]
//! from = "greeter"
//! to = "kv"
//! interface = "wasi:keyvalue/store@0.2.0-draft"
//! config = { bucket-prefix = "greetings/" }
//!
//! [[links]]
//! from = "front-desk"
//! to = "greeter"
//! interface = "example:hello/greeter@0.1.0"
//! locality = "spread"
//! idempotent = ["greet"]
//!
//! [configs.common]
//! currency = "EUR"
//!
//! [wormholes.web]
//! actor = "greeter"
//! host = "shop.example"
//! domains = ["www.shop.example"]               # more names that lead to it
//! path = "/greetings"                          # only these paths
//! limits = { body = "10MiB", head-timeout = "10s", rate = { per-second = 100 } }
//! auth = { verifier = "front-desk" }           # or `basic` or `bearer`, with hashes
//! ```
//!
//! [`Lattice::plan`](crate::Lattice::plan) returns the changes to make,
//! [`Lattice::apply`](crate::Lattice::apply) makes them in one commit, all or nothing, and
//! [`Lattice::delete_app`](crate::Lattice::delete_app) deletes all of it:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, app::App};
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let app = App::from_toml("shop.toml", r#"
//!     name = "shop"
//!     [actors.greeter]
//!     image = "ghcr.io/shop/greeter:1.2"
//!     replicas = 3
//! "#)?;
//! println!("{}", lattice.plan(&app).await?);
//! lattice.apply(&app).await?;
//! assert!(lattice.apply(&app).await?.plan.is_empty(), "the same again changes nothing");
//!
//! let desired = lattice.desired();
//! assert_eq!(desired.actors.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Everything is checked before anything is written. All problems are returned at once, each with
//! its file, line, column and what was most likely meant ([`Problems`]). An app owns what it
//! declares: another app can't change it ([`ProblemKind::Owned`]), and an app takes over what a
//! person put by hand only if it is the same ([`ProblemKind::ByHand`]). When two processes apply
//! the same app at once, one succeeds and the other fails with [`ApplyError::Conflict`].

mod apply;
mod check;
mod claims;
mod draft;
mod encoding;
mod export;
mod files;
mod foreign;
mod hidden;
mod load;
mod manifest;
mod plan;
mod problem;
mod resource;
mod shape;
mod text;
mod tree;
mod values;
mod want;
mod warning;
mod wormhole;
mod write;

pub use apply::{Applied, ApplyError, PlanError};
pub use export::Export;
pub use foreign::Foreign;
pub use load::{App, LoadError, MAX_MANIFEST};
pub use manifest::{
    ActorManifest, AppManifest, LimitsManifest, LinkManifest, ProviderManifest, SpreadManifest,
};
pub use plan::{Difference, Plan, PlannedChange};
pub use problem::{ManifestPath, Position, Problem, ProblemKind, Problems};
pub use resource::ResourceRef;
pub use warning::Warning;
pub use wormhole::{RateManifest, WormholeAuthManifest, WormholeLimitsManifest, WormholeManifest};
