//! A simulator: many hosts in one thread, one seed, a clock that stands still unless it is told to go on, and everything that can
//! go wrong between hosts.
//!
//! Each host is a real [`Lattice`](lattice_core::Lattice) with its node, its keeper, its links and leases, in a tokio runtime of its own
//! whose clock the simulator moves; only the bus and the store below it are simulated. A crash drops the runtime with everything
//! in it. A minute of simulated time of five hosts takes some 200 ms.
//!
//! | to | use |
//! | --- | --- |
//! | test your own components on hosts that fail, step by step | [`Sim`] |
//! | have things go wrong at random, the same way each time | [`Schedule::random`] and [`Sim::play`] |
//! | find the few events that a failure needs | [`shortest`] |
//! | try the lattice itself: random trouble, random calls, and every invariant checked | [`Scenario`] |
//!
//! ```
//! use lattice_core::{
//!     app::App,
//!     keeper::{Job, Prepared, Runtime, RuntimeError},
//!     node::ServeLimits,
//!     serve::{Answer, Request, Service},
//! //!     types::{ComponentTypes, InterfaceTypes},
//!     value::to_bytes,
//! };
//! use lattice_sim::{Event, HostIndex, Schedule, Sim, Trouble};
//! use std::{collections::BTreeMap, sync::Arc, time::Duration};
//!
//! // What hosts run: here natively, and every component the same. It says on which host it is.
//! struct Native(HostIndex);
//!
//! struct Where(HostIndex);
//!
//! impl Runtime for Native {
//!     fn prepare(&self, _: Arc<Job>) -> futures_util::future::BoxFuture<'_, Result<Prepared, RuntimeError>> {
//!         let service = Arc::new(Where(self.0));
//!         Box::pin(async { Ok(Prepared { service, limits: ServeLimits::default() }) })
//!     }
//! }
//!
//! impl Service for Where {
//!     fn types(&self) -> Arc<ComponentTypes> {
//!         let r#where = ("where".parse().unwrap(), "func() -> string".to_owned());
//!         let functions = InterfaceTypes { functions: BTreeMap::from([r#where]) };
//!         let exports = BTreeMap::from([("example:sim/place@0.1.0".parse().unwrap(), functions)]);
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
//! let app = App::from_toml("app.toml", "name = \"shop\"\n[actors.clerk]\nimage = \"reg.example/clerk:1\"\nreplicas = 2\n")?;
//! sim.on(hosts[0], async move |up| up.lattice.apply(&app).await)?.expect("the store is there");
//! sim.run_for(Duration::from_secs(5));
//!
//! // A host is killed, and calls go on: each of them may run twice, so it is tried again elsewhere.
//! sim.play(&Schedule(vec![Event {
//!     at: Duration::ZERO,
//!     lasts: Duration::from_secs(8),
//!     what: Trouble::Kill(hosts[1]),
//! }]));
//! let answer = sim.on(hosts[2], async |up| {
//!     let call = up.lattice.component("clerk").call::<String>("example:sim/place@0.1.0", "where", ());
//!     call.idempotent().await
//! })?;
//! assert!(["h0", "h2"].contains(&answer?.as_str()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is the same for a seed
//!
//! Schedules, the fates of messages, each host's randomness, ids and clock follow from the seed alone, and so does, as a rule, all
//! that happens: of the 500 seeds of this crate's own tests each is run twice now and then, and compared. One thing is out of
//! reach: when several tasks of one host wait for one `tokio::sync::watch`, tokio wakes them in a random order.
//!
//! # What is simulated
//!
//! * Time goes in ticks of 10 ms: a message takes one at least. Within a tick each host's own timers run in order, to the
//!   millisecond. Whatever computes takes no time.
//! * Code of a host runs on the simulator's thread: work that blocks the thread blocks all, and threads of its own
//!   (`spawn_blocking`) are not simulated. Clocks are tokio's (`tokio::time::Instant`).
//! * The store is one; its leases end by the simulation's time, not by any host's. The last snapshot on disk is not simulated.

#![forbid(unsafe_code)]

mod check;
pub mod conformance;
mod edits;
pub mod fault;
mod host;
mod network;
mod record;
mod scenario;
mod schedule;
mod settle;
mod shrink;
mod store;
mod work;
mod world;

pub use check::{Invariant, Violation};
pub use host::RunningHost;
pub use scenario::{Failure, InjectedBug, Scenario, Summary};
pub use schedule::{Event, HostIndex, Schedule, Trouble};
pub use shrink::shortest;
pub use world::{Sim, SimError};
