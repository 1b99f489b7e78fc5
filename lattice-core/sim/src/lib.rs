//! Tests for whole lattices: a simulator, fault injection, and conformance suites.
//!
//! ```
//! use lattice_core::{link::Link, serve::Functions, server::ServeLimits};
//! use lattice_sim::Sim;
//! use std::time::Duration;
//! const GREETER: &str = "example:hello/greeter@0.1.0";
//! const GREET: &str = "func(name: string) -> string";
//! type Failure = Box<dyn std::error::Error + Send + Sync>;
//! fn main() -> Result<(), Failure> {
//!     let mut sim = Sim::new(42); // the seed
//!     let (red, blue) = (sim.add_without_apps(), sim.add_without_apps());
//!     sim.run_for(Duration::from_secs(5)); // both join
//!     let _serving = sim.on(red, async |up| {
//!         let greet = async |(name,): (String,)| format!("Hello, {name}!");
//!         let greeter = Functions::new().export(GREETER, "greet", GREET, greet)?;
//!         up.lattice.links().put(Link::new("web", GREETER, "greeter")?).await?; // the grant
//!         Ok::<_, Failure>(up.node.serve("greeter", greeter, ServeLimits::default()).await?)
//!     })??;
//!     sim.run_for(Duration::from_secs(1));
//!     let greeting = sim.on(blue, async |up| {
//!         let web = up.node.caller("web")?;
//!         Ok::<_, Failure>(web.call::<String>(GREETER, "greet", ("Ada",)).await?)
//!     })??;
//!     println!("{greeting}"); // Hello, Ada!
//! #   assert_eq!(greeting, "Hello, Ada!");
//!     Ok(())
//! }
//! ```
//!
//! The simulator runs many hosts in one thread, with one seed and a simulated clock, and injects
//! every fault that can happen between hosts. Each host is a real
//! [`Lattice`](lattice_core::Lattice) with its node, its agent, its links and leases, in a tokio
//! runtime whose clock the simulator advances. Only the bus and the store below it are simulated. A
//! crash drops the runtime with everything in it. A minute of five hosts takes some 200 ms.
//!
//! | to | use |
//! | --- | --- |
//! | test your own components on hosts that fail, step by step | [`Sim`] |
//! | inject random faults, the same for the same seed | [`Schedule::random`] and [`Sim::play`] |
//! | find the few events that a failure needs | [`shortest`] |
//! | test the lattice itself: random faults and calls, every invariant checked | [`Scenario`] |
//! | make a bus or a store fail in a test of your own | [`fault`] |
//! | test your own implementation of a bus or a store | [`conformance`] |
//!
//! # Test your own components
//!
//! ```
//! use futures_util::future::BoxFuture;
//! use lattice_core::{
//!     app::App,
//!     agent::{Prepared, Runtime, RuntimeError, WorkItem},
//!     server::ServeLimits,
//!     serve::{Answer, Request, Service},
//!     types::{ComponentTypes, InterfaceTypes},
//!     value::to_bytes,
//! };
//! use lattice_sim::{Event, HostIndex, Schedule, Sim, Trouble};
//! use std::{collections::BTreeMap, sync::Arc, time::Duration};
//!
//! // What hosts run: every component is native, and returns the name of its host.
//! struct Native(HostIndex);
//!
//! struct Where(HostIndex);
//!
//! impl Runtime for Native {
//!     fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
//!         let service = Arc::new(Where(self.0));
//!         Box::pin(async { Ok(Prepared { service, limits: ServeLimits::default() }) })
//!     }
//! }
//!
//! impl Service for Where {
//!     fn types(&self) -> Arc<ComponentTypes> {
//!         let r#where = ("where".parse().unwrap(), "func() -> string".to_owned());
//!         let functions = InterfaceTypes { functions: BTreeMap::from([r#where]) };
//!         let place = "example:sim/place@0.1.0".parse().unwrap();
//!         let exports = BTreeMap::from([(place, functions)]);
//!         Arc::new(ComponentTypes { exports, ..ComponentTypes::default() })
//!     }
//!
//!     fn call(&self, _: Request) -> Answer {
//!         Answer::Ready(Ok(to_bytes(&self.0.to_string()).unwrap()))
//!     }
//! }
//!
//! let mut sim = Sim::new(42);
//! let hosts: Vec<HostIndex> = (0..3).map(|_| sim.add(|host, _| Arc::new(Native(host)))).collect();
//! sim.run_for(Duration::from_secs(5));
//!
//! let manifest = r#"
//!     name = "shop"
//!     [actors.clerk]
//!     image = "reg.example/clerk:1"
//!     replicas = 2
//! "#;
//! let app = App::from_toml("app.toml", manifest)?;
//! sim.on(hosts[0], async move |up| up.lattice.apply(&app).await)?.expect("the store is there");
//! sim.run_for(Duration::from_secs(5));
//!
//! // A host is killed. The call is idempotent, so it may be sent to another host again.
//! sim.play(&Schedule(vec![Event {
//!     at: Duration::ZERO,
//!     lasts: Duration::from_secs(8),
//!     what: Trouble::Kill(hosts[1]),
//! }]));
//! let answer = sim.on(hosts[2], async |up| {
//!     let clerk = up.lattice.operator().component("clerk");
//!     clerk.call::<String>("example:sim/place@0.1.0", "where", ()).idempotent().await
//! })?;
//! assert!(["h0", "h2"].contains(&answer?.as_str()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Test the lattice
//!
//! ```
//! use lattice_sim::Scenario;
//!
//! // Five hosts, 25 s of the faults of seed 7, then recovery, with every invariant checked.
//! match Scenario::new(5).run(7) {
//!     Ok(summary) => println!("{summary}"),
//!     Err(failure) => panic!("{failure}"), // the seed, and the shortest schedule that still fails
//! }
//! ```
//!
//! With [`Scenario::passing`], resources and streams pass between hosts, too.
//!
//! `make test` in the repository runs 500 seeds; `LATTICE_SIM_SEED=500..9000` in front of it runs
//! others.
//!
//! # What a seed determines
//!
//! Schedules, the fates of messages, and the randomness, ids and clock of each host follow from the
//! seed alone. So does, as a rule, everything that happens: the tests of this crate run a hundred
//! seeds twice and compare. There is one exception: when several tasks of one host wait for the
//! same `tokio::sync::watch`, tokio wakes them in a random order.
//!
//! # What is simulated
//!
//! * Time advances in ticks of 10 ms, and a message takes at least one. Within a tick, the timers
//!   of each host run in order, to the millisecond. Computing takes no time.
//! * The code of a host runs on the thread of the simulator: work that blocks the thread blocks
//!   every host, and other threads (`spawn_blocking`) aren't simulated. Clocks are those of tokio
//!   (`tokio::time::Instant`).
//! * There is one store. Its leases end by the time of the simulation, and not by the clock of a
//!   host. The last snapshot on disk isn't simulated.

#![forbid(unsafe_code)]

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod bug;
mod check;
pub mod conformance;
mod edits;
mod errands;
pub mod fault;
mod history;
mod holdings;
mod host;
mod invariant;
mod network;
mod passing;
mod record;
mod scenario;
mod schedule;
mod settle;
mod shrink;
mod store;
mod work;
mod world;

pub use bug::InjectedBug;
pub use host::RunningHost;
pub use invariant::{Invariant, Violation};
pub use scenario::{Failure, Scenario, Summary};
pub use schedule::{Event, HostIndex, Schedule, Trouble};
pub use shrink::shortest;
pub use world::{Sim, SimError};
