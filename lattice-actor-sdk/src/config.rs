//! Settings that were given to the actor when it was started.
//!
//! ```no_run
//! use lattice_actor_sdk::config;
//!
//! fn greeting() -> Result<String, config::Error> {
//!     Ok(config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned()))
//! }
//! ```

pub use crate::bindings::wasi::config::store::{Error, get, get_all};
