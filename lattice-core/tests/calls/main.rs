//! Calls between native components: on one node, between nodes over the bus, and every way they can fail.

mod answers;
mod boot;
mod bounds;
mod chains;
mod deadlines;
mod failures;
mod grants;
mod hosts;
mod lagging;
mod local;
mod routes;
mod storm;

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/mod.rs"]
mod support;

use chance::{Dice, Seed};
use support::*;
