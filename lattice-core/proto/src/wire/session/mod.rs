//! Sessions on the wire: how a call or a reply opens one, and the items that its ends exchange.

mod item;
mod opening;
mod parcel;

pub use item::{CancelReason, Item, SessionItem, SessionName, WHOLE_SESSION};
pub use opening::Opening;
pub use parcel::{Fault, Parcel};
