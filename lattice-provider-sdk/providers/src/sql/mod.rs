//! SQL databases: `lattice:sql` on SQLite and on PostgreSQL, and `wasmcloud:postgres/query` on the
//! latter.
//!
//! ```text
//!   calls ──► Sql<B>: connections, transactions, rows         provider, transaction, rows
//!                │ a session for each statement or transaction
//!                ▼
//!             B: a backend, which has the connections         backend; sqlite, postgres
//! ```
//!
//! | | `sql-sqlite` | `sql-postgres` |
//! | --- | --- | --- |
//! | parameters | always bound | always bound |
//! | statements | one in a call | one in a call |
//! | isolation | serializable for every transaction. One writes at a time, others wait for it up to `busy-timeout-ms` | as asked for |
//! | `conflict` | when the wait for another writer is too long | serialization failures and deadlocks |
//! | error of a statement in a transaction | undoes the statement; the transaction goes on | later statements fail until `rollback` |
//! | reader of a transaction's stream that stops | the transaction goes on | rolls the transaction back |
//! | statement that doesn't end in time | interrupted; rolls its transaction back | cancelled; rolls its transaction back |
//! | transaction of a stopped provider or lost host | rolled back | rolled back by the server, when its connection closes |
//! | effects under a lost lease | not fenced: the file must be used by one host | not fenced: the server takes statements of any replica |
//! | types without a form of their own | dates and times, UUIDs, decimals and JSON are texts, truth values 0 and 1, intervals and arrays `unsupported-type` | ranges, composites and geometry are `unsupported-type`: cast them to text |
//! | settings of a session | `PRAGMA` and `ATTACH` are denied | `SET` and the like are denied. Temporary tables, and what `set_config`, advisory locks, `DO` and `CALL` leave, end with the statement or transaction; what a function of the database's own leaves may stay on its connection |
//!
//! The rows of a `query` are limited by `max-rows` and `max-bytes`.
//! A stream has no such limits, but each of its rows may have `max-bytes`, and a reader that takes
//! no row for `idle-timeout-ms` breaks it. At most some rows of a stream are in memory at a time.

mod backend;
mod calendar;
mod config;
#[cfg(feature = "sql-postgres")]
mod postgres;
mod provider;
mod rows;
#[cfg(feature = "sql-sqlite")]
mod sqlite;
mod transaction;

/// Generated from `lattice:sql`.
mod wit {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:sql-provider;
        world databases {
            import lattice:sql/database@0.1.0;
            export lattice:sql/database@0.1.0;
        }
    " });
}

pub use backend::{Backend, Cursor, Outcome, Session};
pub use config::{Limits, LinkConfig};
#[cfg(feature = "sql-postgres")]
pub use postgres::{Postgres, PostgresBackend, PostgresConfig, PostgresWorld, Tls, published};
pub use provider::{Connection, Scoped, Sql};
#[cfg(feature = "sql-sqlite")]
pub use sqlite::{Sqlite, SqliteBackend, SqliteConfig};
pub use transaction::Transaction;
pub use wit::{World, lattice::sql::database};

use crate::builtin::Builtin;

/// The builtins of this module.
pub(crate) fn builtins() -> Vec<Builtin> {
    Vec::from([
        #[cfg(feature = "sql-sqlite")]
        Builtin::new("sql-sqlite", Sqlite::new),
        #[cfg(feature = "sql-postgres")]
        Builtin::new("sql-postgres", Postgres::new),
    ])
}
