//! HTTP: requests that enter, pass between components, and leave.

mod door;
mod end_to_end;
mod guests;
pub(crate) mod ingress;
mod languages;
mod outgoing;
mod sdk;
