//! Values that flow, between components on one host and on two, over the memory bus and over a real
//! nats-server.

mod buckets;
mod handles;
mod native;
mod origin;
mod place;
mod provided;
mod relay;

use super::{over_nats::two_connections, support};
