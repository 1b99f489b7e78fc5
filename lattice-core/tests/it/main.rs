//! The tests of the public API, in one program, so that shared code is compiled once.

mod agent;
mod apps;
mod bus;
mod bytes;
mod calls;
mod constellation;
mod crowded;
mod dropped;
mod failures;
mod hostile;
mod leaf;
mod links;
mod local;
mod logs;
mod metrics;
mod over_nats;
mod secrets;
mod series;
mod snapshot;
mod spans;
mod store;
mod wormholes;

#[path = "../support/tls.rs"]
mod certificates;
#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/exposition.rs"]
mod exposition;
#[path = "../support/jwt.rs"]
mod jwt;
#[path = "../support/lagging.rs"]
mod lagging;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/ruled_bus.rs"]
mod ruled_bus;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/who.rs"]
mod who;
