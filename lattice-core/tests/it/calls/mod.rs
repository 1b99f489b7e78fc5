//! Calls between native components, on one node and between nodes over the bus, and every way in
//! which they can fail.

mod answers;
mod blocking;
mod boot;
mod bounds;
mod cancelled;
mod chains;
mod circles;
mod deadlines;
mod door;
mod failures;
mod flow;
mod grants;
pub(crate) mod handles;
mod hosts;
mod lagging;
mod large;
mod lives;
mod local;
mod memory;
mod routes;
mod storm;

use crate::{
    chance::{Dice, Seed},
    support::*,
};
