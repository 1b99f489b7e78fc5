//! Failures of calls, and the choice among several links.
//!
//! A call between components can fail for reasons that have nothing to do with the callee's code: a
//! missing link, no live host, a deadline. A function with the result type `result<_, error>`, with
//! `error` from `lattice:rpc/types`, returns such failures as values of type [`Error`]:
//!
//! ```no_run
//! lattice_actor_sdk::actor!({ inline: "
//!     package acme:shop@1.0.0;
//!     interface stock {
//!         use lattice:rpc/types@0.1.0.{error};
//!         count: func(item: string) -> result<u32, error>;
//!     }
//!     world shop { import stock; }
//! " });
//!
//! use lattice_actor_sdk::rpc::{Error, Kind};
//!
//! fn in_stock(item: &str) -> Result<bool, Error> {
//!     match acme::shop::stock::count(item) {
//!         Err(error) if error.kind == Kind::NotServed => Ok(false),
//!         answer => Ok(answer? > 0),
//!     }
//! }
//! # fn main() {}
//! ```

pub use crate::bindings::lattice::rpc::types::{Error, Kind, Ran};

use std::fmt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The choice among several links for one interface.
pub mod links {
    use crate::bindings::lattice::rpc::links;

    /// Sends the further calls of `interface` that are made for the call being served over the link
    /// named `name`. Other calls that this instance serves, now or later, keep their own choice.
    ///
    /// `interface` is written as it is imported, for instance `acme:orders/store@1.2.0`. Without a
    /// choice, calls go over the link named `default`.
    ///
    /// # Errors
    /// Fails when this actor doesn't import the interface, and when no call is being served, for
    /// instance in a destructor. Without a link of this name, the calls fail.
    pub fn use_link(interface: &str, name: &str) -> Result<(), String> {
        links::use_(interface, name)
    }
}
