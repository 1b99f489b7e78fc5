//! What is particular about calling a component that may be far away.
//!
//! A call between components can fail in ways that the callee knows nothing of: no link, no live host, a deadline. Give a function the
//! result type `result<_, error>`, with `error` from `lattice:rpc/types`, to be told of these as values, here [`Error`]:
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

/// Chooses among several links for one interface.
pub mod links {
    use crate::bindings::lattice::rpc::links;

    /// Sends further calls through `interface` over the link called `name`, until the call that is being served now ends.
    ///
    /// `interface` is written as it is imported, `acme:orders/store@1.2.0`. A link that nobody chose is the one called `default`.
    ///
    /// # Errors
    /// This actor has no such link, or its instance serves several calls at once: the choice would reach the other calls too.
    pub fn use_link(interface: &str, name: &str) -> Result<(), String> {
        links::use_(interface, name)
    }
}
