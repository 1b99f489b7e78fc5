//! Calls between native components: on one node, between nodes over the bus, and every way they can fail.

mod answers;
mod bounds;
mod deadlines;
mod failures;
mod grants;
mod hosts;
mod routes;

#[path = "../support/mod.rs"]
mod support;

use support::*;
