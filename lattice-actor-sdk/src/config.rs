//! Settings that were given to the actor when it was started: its `config` in the manifest. A value
//! there can be in a variable or a file of the host, as `greeting = '{ "env": "SHOP_GREETING" }'`
//! or `'{ "file": "greeting.txt" }'` say, if the host allows it (`--provider-env SHOP_` and
//! `--provider-files FOLDER` of `lattice up`).
//!
//! ```no_run
//! use lattice_actor_sdk::config;
//!
//! fn greeting() -> Result<String, config::Error> {
//!     Ok(config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned()))
//! }
//! ```

pub use crate::bindings::wasi::config::store::{Error, get, get_all};
