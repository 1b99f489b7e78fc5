//! Bytes and counters under keys, stored by the provider that the actor's link leads to.
//!
//! ```no_run
//! use lattice_actor_sdk::keyvalue::store;
//!
//! fn remember(guest: &str) -> Result<i64, store::Error> {
//!     store::set("last-guest", guest.as_bytes())?;
//!     store::increment("guests", 1)
//! }
//! ```

pub use crate::bindings::lattice::keyvalue::store;
