//! Statements and transactions of the SQL database that the actor's link leads to.
//!
//! ```no_run
//! use lattice_actor_sdk::sql::database::{Connection, Error, Value};
//!
//! fn visits(guest: &str) -> Result<i64, Error> {
//!     let found = Connection::new().query(
//!         "SELECT visits FROM guests WHERE name = $1",
//!         &[Value::Str(guest.to_owned())],
//!     )?;
//!     match found.rows.first().map(Vec::as_slice) {
//!         Some([Value::Int64(visits)]) => Ok(*visits),
//!         _ => Ok(0),
//!     }
//! }
//! ```

pub use crate::bindings::lattice::sql::database;
