//! What a database has to provide.

use super::{
    Sql,
    config::LinkConfig,
    database::{Access, Column, Error, Isolation, Row, Value},
};
use futures_util::stream::BoxStream;
use lattice_provider_sdk::{BackendServer, Dispatch, Refusal};
use std::{fmt, future::Future};
use tokio::time::Instant;

/// A database, as [`Sql`](super::Sql) uses it.
///
/// All waits are limited by the caller, who drops a future that takes too long.
pub trait Backend: Sized + Send + Sync + 'static {
    /// The interfaces that it serves: `lattice:sql`, and others on top of that.
    type World: Dispatch<Sql<Self>>;
    /// What the links to it have of their own.
    type Scope: Send + Sync + 'static;
    /// One of its connections.
    type Session: Session;

    /// What traces call the kind of database: a value of `db.system.name`.
    const SYSTEM: &'static str = "other_sql";

    /// Returns what traces call the database that links with this scope use. Empty if it has no
    /// name.
    fn namespace(&self, scope: &Self::Scope) -> String {
        let _ = scope;
        String::new()
    }

    /// Returns the server, as traces have it. None if there is none, or there are several.
    fn server(&self) -> Option<BackendServer> {
        None
    }

    /// Returns what a link with this config has of its own. Connects to nothing.
    ///
    /// # Errors
    /// Fails when the config asks for something that the database doesn't have.
    fn scope(&self, config: &LinkConfig) -> Result<Self::Scope, Refusal>;

    /// Checks what is needed to start. A database that can't be reached doesn't prevent it.
    ///
    /// # Errors
    /// Fails with what is wrong in the configuration.
    fn start(&self) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Takes a connection, and waits until one is free. It must be ready before `until`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none.
    fn session(
        &self,
        scope: &Self::Scope,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Session, Error>> + Send;
}

/// A connection that one user has.
///
/// Dropping it gives it back. If a statement runs, that is cancelled first; if a transaction is
/// open, it is rolled back.
pub trait Session: Send + 'static {
    /// Begins a transaction.
    ///
    /// # Errors
    /// Fails like a statement.
    fn begin(
        &mut self,
        isolation: Isolation,
        access: Access,
        until: Instant,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs a statement, and returns how many rows it changed.
    ///
    /// # Errors
    /// Fails with why it failed.
    fn execute(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        until: Instant,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Begins a statement that returns rows. The session is used until [`finished`](Self::finished)
    /// is called.
    ///
    /// # Errors
    /// Fails with why it failed.
    fn query(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        until: Instant,
    ) -> impl Future<Output = Result<Cursor, Error>> + Send;

    /// Reports that the rows of the last query were read to their end, or to their error.
    fn finished(&mut self);

    /// Reports that a reader has dropped the rows of the last query. Returns whether the
    /// transaction, if it is one, can go on.
    fn abandoned(&mut self) -> bool;

    /// Ends the transaction.
    ///
    /// # Errors
    /// Fails with why there is no telling, or that it was rolled back.
    fn end(&mut self, outcome: Outcome) -> impl Future<Output = Result<(), Error>> + Send;
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its effects last.
    Commit,
    /// It has no effects.
    Rollback,
}

/// A result that is being read.
pub struct Cursor {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows. An error is the last item. Dropping them stops the statement, sooner or later.
    pub rows: BoxStream<'static, Result<Row, Error>>,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
