//! The core of Lattice: links and calls between the components of a compute mesh.
//!
//! A **lattice** is one named mesh on a bus. Components join it, native providers and WebAssembly
//! actors alike, and call each other by id and WIT interface, in this process or on any host. A
//! call needs a grant: a **link** allows a *source* to call a *target* through an *interface*. It
//! has a deadline, and ends with a value or with a typed error that states whether the callee's
//! code ran.
//!
//! ```
//! use lattice_core::{Lattice, link::Link, serve::Functions};
//!
//! const GREETER: &str = "example:hello/greeter@0.1.0";
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Or `Lattice::connect("nats://…", "prod").key(key)`: the rest stays the same.
//!     let lattice = Lattice::in_memory("dev").await?;
//!
//!     let greeter = Functions::new().export(
//!         GREETER,
//!         "greet",
//!         "func(name: string) -> string",
//!         async |(name,): (String,)| format!("Hello, {name}!"),
//!     )?;
//!     let _serving = lattice.serve("greeter", greeter).await?;
//!     lattice.links().put(Link::new("web", GREETER, "greeter")?).await?;
//!
//!     let greeting: String = lattice.caller("web")?.call(GREETER, "greet", ("Ada",)).await?;
//!     println!("{greeting}");
//!     # assert_eq!(greeting, "Hello, Ada!");
//!     Ok(())
//! }
//! ```
//!
//! `lattice-provider-sdk` writes components and typed clients from WIT, `lattice-host` runs
//! WebAssembly.
//!
//! # Where to look
//!
//! | for | look at |
//! | --- | --- |
//! | connecting, calling, linking | [`Lattice`], [`Component`], [`link`], [`links`] |
//! | whether this process follows the store | [`Replica`] |
//! | states that change | [`Watch`] |
//! | the errors of a call | [`call::CallError`] |
//! | desired state: manifests, plans, records | [`app`], [`desired`] |
//! | secrets, sealed in the store | [`secrets`] |
//! | doing something once, whichever replica does it | [`series`] |
//! | public endpoints that lead to actors | [`wormhole`], [`wormholes`] |
//! | observing the whole lattice: views, changes, explanations, drawings | [`constellation`] |
//! | the log lines of components | [`logs`] |
//! | spans of calls, and traces through several processes | [`trace`] |
//! | metrics, and how they are named | [`telemetry`] |
//! | serving and calling | [`serve`], [`node`], [`server`], [`client`] |
//! | which hosts are live | [`membership`] |
//! | keys and tags | [`auth`] |
//! | implementing a bus or a store | [`bus`], [`store`]; the crate `lattice-sim` has a suite that each must pass, and wrappers that inject faults |
//! | testing: many hosts, a simulated clock, crashes, partitions, one seed | the crate `lattice-sim` |
//! | values as bytes | [`value`] |
//! | values of types that are known only at run time | [`dynamic`] |
//! | streams, futures and handles in values | [`stream`] |
//!
//! # Features
//!
//! * `apps`: manifests, desired state, placement, and the agent that keeps a host's share running;
//!   wormholes.
//! * `dynamic`: values of types that are known only at run time, as JSON and as text.
//! * `disk` (default): a store in a file, for [`Lattice::on_disk`], and the last snapshot of a
//!   remote store, for [`Connect::snapshot`].
//! * `nats` (default): NATS as the bus and its `JetStream` as the store.
//! * `secrets`: secrets in the store, sealed with the lattice's key.
//! * `view`: the constellation. Implies `apps`.

#![forbid(unsafe_code)]
// Without the upper layers, their interfaces in the node, the replica and the handle are unused.
#![cfg_attr(
    not(feature = "view"),
    expect(dead_code, reason = "the seams of the optional layers")
)]

#[doc(hidden)]
pub mod __private;
#[cfg(feature = "apps")]
pub mod agent;
#[cfg(feature = "apps")]
pub mod app;
#[doc(hidden)]
pub mod backoff;
mod budget;
pub mod bus;
pub mod call;
pub mod client;
mod connection;
#[cfg(feature = "view")]
pub mod constellation;
#[cfg(feature = "apps")]
pub mod desired;
mod drained;
#[cfg(feature = "dynamic")]
pub mod dynamic;
#[doc(hidden)]
pub mod entropy;
#[doc(hidden)]
pub mod extensions;
pub mod failures;
mod handles;
mod lattice;
pub mod link;
pub mod links;
#[doc(hidden)]
pub mod liveness;
pub mod logs;
#[doc(hidden)]
pub mod measure;
pub mod membership;
#[cfg(feature = "nats")]
pub mod nats;
pub mod node;
mod ordered_watch;
mod panic;
#[cfg(feature = "apps")]
pub mod place;
#[cfg(feature = "apps")]
mod record_format;
#[doc(hidden)]
pub mod replica;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod series;
pub mod serve;
pub mod server;
pub mod store;
pub mod stream;
#[doc(hidden)]
pub mod sync;
mod task_group;
pub mod telemetry;
pub mod trace;
mod transport;
#[doc(hidden)]
pub mod type_store;
mod watch;
#[cfg(feature = "apps")]
pub mod wormhole;
#[cfg(feature = "apps")]
pub mod wormholes;

#[doc(inline)]
pub use lattice_proto::{auth, id, name, quantity, signature, types, value};
#[doc(hidden)]
pub use lattice_proto::{error, replay, subject, wire};

pub use client::Component;
pub use drained::{CutOff, Drained};
#[cfg(feature = "disk")]
pub use lattice::OnDisk;
pub use lattice::{
    Backend, Connect, ConnectError, Custom, InMemory, Lattice, MessageMemory, Serve,
};
#[cfg(feature = "nats")]
pub use lattice::{Invitation, InvitationError, OnNats};
pub use replica::{FollowError, OtherKey, Replica, ReplicaHealth, ReplicaState};
pub use watch::Watch;
