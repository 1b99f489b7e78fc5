//! Bodies on their way through an ingress: bounded in size, in time, and never taken for whole
//! when they broke.

mod reaper;
mod request;
mod response;
mod watched;

pub(super) use reaper::Reaper;
pub(super) use request::{RequestBody, RequestFate, RequestFault};
pub use response::{BrokenBody, WormholeBody};
pub(super) use response::{InFlight, Origin, Running};
pub(super) use watched::{Pace, Times};
