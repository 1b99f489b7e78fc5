//! Hosts that run real components, on in-memory lattices and over a real nats-server.

mod access;
mod actors;
mod async_calls;
mod blobs;
mod budgets;
mod calls;
mod endings;
mod endless;
mod engines;
mod failures;
mod flow;
mod flow_remote;
mod life;
mod limits;
mod links;
mod metrics;
mod outliving;
pub(crate) mod output;
pub(crate) mod over_nats;
mod passed_on;
mod placed;
mod published;
mod refused;
mod room;
mod served;
mod shapes;
mod stores;
pub(crate) mod support;
mod valueless;
mod values;
mod versions;
mod warm;
mod wasi;

use crate::nats;
