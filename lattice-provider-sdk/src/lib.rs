//! Write native capability providers for a lattice from WIT.
//!
//! A *provider* is native code that serves WIT interfaces to the components of a lattice: a database, a queue, a device, or
//! a service that exists already. [`provider!`] turns a WIT world into Rust: its types, a trait for each interface that it
//! exports, a client for each one that it imports. Implement the traits, and say in [`Provider`] what becomes of a link:
//! its config is checked when the link is made, and makes a *binding* that every call over the link has at hand.
//!
//! ```
//! use lattice_provider_sdk::{Call, Context, Lattice, Link, Provider, Refusal, provider, serve};
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! provider!({
//!     inline: "
//!         package example:count@0.1.0;
//!         interface counter { add: func(by: u32) -> result<u32, string>; }
//!         world counting { import counter; export counter; }
//!     ",
//! });
//! use example::count::counter::{Counter, CounterClient};
//!
//! struct Counters;
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Config {
//!     limit: u32,
//! }
//!
//! struct Binding {
//!     limit: u32,
//!     count: AtomicU32,
//! }
//!
//! impl Provider for Counters {
//!     type World = World;
//!     type Config = Config;
//!     type Binding = Binding;
//!
//!     async fn link(&self, _: &Link, config: Config) -> Result<Binding, Refusal> {
//!         if config.limit == 0 {
//!             return Err(Refusal::new("`limit` must be at least 1"));
//!         }
//!         Ok(Binding { limit: config.limit, count: AtomicU32::new(0) })
//!     }
//! }
//!
//! impl Counter for Counters {
//!     async fn add(&self, call: &Call<Self>, by: u32) -> Result<u32, String> {
//!         let Binding { limit, count } = call.binding();
//!         let added = |now: u32| now.checked_add(by).filter(|sum| sum <= limit);
//!         let before = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
//!         before.map(|before| before + by).map_err(|now| format!("{now} + {by} is over {limit}"))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
//! # }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // Or `Lattice::connect("nats://…", "prod").key(key)`; what follows is the same.
//! let lattice = Lattice::in_memory("dev").await?;
//! let serving = serve(&lattice, "counters", Counters).await?;
//! lattice.links().put(Link::new("app", "example:count/counter@0.1.0", "counters")?.config(&Config { limit: 5 })?).await?;
//!
//! let counter = CounterClient::new(lattice.caller("app".parse()?).await?);
//! assert_eq!(counter.add(Context::default(), 3).await?, Ok(3));
//! assert_eq!(counter.add(Context::default(), 3).await?, Err("3 + 3 is over 5".to_owned()));
//! # assert!(serving.stop(std::time::Duration::from_secs(1)).await);
//! # Ok(())
//! # }
//! ```
//!
//! # Three ways to run
//!
//! The same type runs unchanged
//!
//! * in a host: `Host::builder(&lattice).provider("counters", Counters)`, beside the actors that call it most;
//! * in any Rust program: [`serve`], as above;
//! * in a test: [`serve`] on [`Lattice::in_memory`], which makes the test of a [`Stateless`] provider short:
//!
//! ```
//! # lattice_provider_sdk::provider!({
//! #     inline: "
//! #         package example:echo@0.1.0;
//! #         interface echo { say: func(text: string) -> string; }
//! #         world echoing { import echo; export echo; }
//! #     ",
//! # });
//! # use example::echo::echo::{Echo, EchoClient};
//! # use lattice_provider_sdk::{Call, Context, Lattice, Stateless, serve};
//! # struct Parrot;
//! # impl Stateless for Parrot { type World = World; }
//! # impl Echo for Parrot {
//! #     async fn say(&self, _: &Call<Self>, text: String) -> String { text }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(says_it_back())
//! # }
//! // With `#[tokio::test]` above it:
//! async fn says_it_back() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("test").await?;
//!     let _serving = serve(&lattice, "parrot", Parrot).await?;
//!     let parrot = EchoClient::new(lattice.component("parrot"));
//!     assert_eq!(parrot.say(Context::default(), "Ada").await?, "Ada");
//!     Ok(())
//! }
//! ```
//!
//! # What a handler gets
//!
//! A [`Call`]: who calls, over which link, by when, and the link's binding. Handlers run many at once, each on its own
//! future, which is dropped when the caller's deadline passes. A panic in one ends that call only.
//!
//! For calls to other components a client takes the [`Call`] as its context: `greeter.greet(call, "Ada").await?` inherits
//! deadline and trace.

#![forbid(unsafe_code)]

mod bindings;
mod call;
mod client;
mod config;
mod dispatch;
mod provider;
mod serve;
mod service;
pub mod value;
pub mod world;

pub use bytes::Bytes;
pub use call::Call;
pub use client::{Invoke, Through};
pub use lattice_core::{
    Component, Lattice,
    call::{CallError, Context},
    link::Link,
    name::{ComponentId, LinkName},
    node::{Caller, ServeError, ServeLimits, Serving},
    wire::{Source, TraceContext},
};
pub use lattice_provider_macros::{client, provider};
pub use provider::{Provider, Refusal, Stateless};
pub use serve::{serve, serve_within};
pub use service::IntoService;

/// What generated code needs. No part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{encoded, invoke},
        dispatch::{answer, arguments, unknown},
        value::{Bits, Blob, known_bits},
    };
    pub use serde;
}
