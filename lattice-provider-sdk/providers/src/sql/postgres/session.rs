//! A connection that one statement or transaction uses.

use super::{PgPool, control, decode, encode::Parameter, error};
use crate::sql::{
    backend::{Cursor, Outcome, Session},
    database::{Access, Column, Error, Isolation, Value},
    rows::MAX_KEPT,
};
use deadpool_postgres::Object;
use futures_util::StreamExt;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};
use tokio_postgres::Statement;

/// How many prepared statements a connection keeps.
const KEPT: usize = 256;
/// How long a request to cancel may take. The connection is closed in any case.
const CANCEL: Duration = Duration::from_secs(5);

/// How long it may take to clean a connection, which is closed otherwise.
const CLEAN: Duration = Duration::from_secs(5);
/// Removes what a session has of its own but its prepared statements.
const CLEAN_SESSION: &str = "CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); \
                             DISCARD TEMP; DISCARD SEQUENCES; RESET ALL";

/// A connection to PostgreSQL that one user has.
pub struct PostgresSession {
    /// Until it is dropped.
    client: Option<Object>,
    pool: Arc<PgPool>,
    is_in_transaction: bool,
    /// A statement runs, or isn't known to have ended.
    is_running: bool,
    /// A statement may have left something behind, such as a temporary table.
    is_dirty: bool,
    /// A statement of the transaction failed, so that it can only be rolled back.
    has_failed: Arc<AtomicBool>,
}

impl fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSession")
            .field("is_in_transaction", &self.is_in_transaction)
            .field("is_running", &self.is_running)
            .finish_non_exhaustive()
    }
}

impl PostgresSession {
    pub(super) fn new(client: Object, pool: Arc<PgPool>) -> Self {
        Self {
            client: Some(client),
            pool,
            is_in_transaction: false,
            is_running: false,
            is_dirty: false,
            has_failed: Arc::default(),
        }
    }

    fn client(&self) -> Result<&Object, Error> {
        let client = self.client.as_ref();
        client.ok_or_else(|| Error::Lost("the connection was given back".to_owned()))
    }

    /// Prepares a statement, or takes one that was prepared before.
    async fn prepared(
        &self,
        text: &str,
        values: Vec<Value>,
    ) -> Result<(Statement, Vec<Parameter>), Error> {
        let client = self.client()?;
        if client.statement_cache.size() >= KEPT {
            client.statement_cache.clear();
        }
        let statement = if text.len() <= MAX_KEPT {
            client.prepare_cached(text).await
        } else {
            client.prepare(text).await
        };
        let statement = statement.map_err(|error| self.failed(text, &error))?;
        let wanted = statement.params().len();
        if wanted != values.len() {
            return Err(Error::Parameter(format!(
                "the statement takes {wanted} parameters; {} are given",
                values.len()
            )));
        }
        let parameters = values.into_iter().map(Parameter::new);
        Ok((statement, parameters.collect::<Result<_, _>>()?))
    }

    /// Returns the error of a statement, which ends the work of a transaction.
    fn failed(&self, text: &str, error: &tokio_postgres::Error) -> Error {
        self.has_failed.store(true, Ordering::SeqCst);
        if error::is_outdated(error)
            && let Some(client) = &self.client
        {
            client.statement_cache.remove(text, &[]);
        }
        error::of_statement(error)
    }

    async fn executed(&self, text: &str, values: Vec<Value>) -> Result<u64, Error> {
        let (statement, parameters) = self.prepared(text, values).await?;
        let executed = self.client()?.execute_raw(&statement, parameters).await;
        executed.map_err(|error| self.failed(text, &error))
    }

    async fn queried(&self, text: String, values: Vec<Value>) -> Result<Cursor, Error> {
        let (statement, parameters) = self.prepared(&text, values).await?;
        decode::check(statement.columns())?;
        let rows = self.client()?.query_raw(&statement, parameters).await;
        let rows = rows.map_err(|error| self.failed(&text, &error))?;
        let columns = statement.columns().iter().map(|column| Column {
            name: column.name().to_owned(),
            type_name: Some(column.type_().name().to_owned()),
        });
        let has_failed = self.has_failed.clone();
        let rows = rows.map(move |row| {
            let row = row.map_err(|error| {
                has_failed.store(true, Ordering::SeqCst);
                error::of_statement(&error)
            });
            row.and_then(|row| decode::row(&row))
        });
        Ok(Cursor {
            columns: columns.collect(),
            rows: rows.boxed(),
        })
    }

    /// Runs statements without parameters, whatever they are. What they leave behind goes with the
    /// connection, which is closed.
    pub(super) async fn batch(mut self, statements: &str) -> Result<(), Error> {
        self.is_in_transaction = true;
        self.control(statements).await
    }

    /// Runs a statement of the provider's own.
    async fn control(&mut self, text: &str) -> Result<(), Error> {
        self.is_running = true;
        let done = self.client()?.batch_execute(text).await;
        let done = done.map_err(|error| error::of_statement(&error));
        self.is_running = matches!(done, Err(Error::Lost(_)));
        done
    }
}

impl Session for PostgresSession {
    async fn begin(
        &mut self,
        isolation: Isolation,
        access: Access,
        _: Instant,
    ) -> Result<(), Error> {
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        let mode = match access {
            Access::ReadWrite => "READ WRITE",
            Access::ReadOnly => "READ ONLY",
        };
        // Also if the answer never comes.
        self.is_in_transaction = true;
        self.control(&format!("BEGIN ISOLATION LEVEL {level} {mode}"))
            .await
    }

    async fn execute(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        _: Instant,
    ) -> Result<u64, Error> {
        control::check(&statement, self.pool.is_read_only)?;
        self.is_dirty |= control::may_leave_something(&statement);
        self.is_running = true;
        let result = self.executed(&statement, parameters).await;
        self.is_running = matches!(result, Err(Error::Lost(_)));
        result
    }

    async fn query(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        _: Instant,
    ) -> Result<Cursor, Error> {
        control::check(&statement, self.pool.is_read_only)?;
        self.is_dirty |= control::may_leave_something(&statement);
        self.is_running = true;
        let result = self.queried(statement, parameters).await;
        // With rows, it runs until they are read.
        self.is_running = matches!(result, Ok(_) | Err(Error::Lost(_)));
        result
    }

    fn finished(&mut self) {
        self.is_running = false;
    }

    fn abandoned(&mut self) -> bool {
        !self.is_running
    }

    /// The server takes `COMMIT` of a transaction with a failed statement for `ROLLBACK`, and
    /// succeeds.
    async fn end(&mut self, outcome: Outcome) -> Result<(), Error> {
        let has_failed = self.has_failed.load(Ordering::SeqCst);
        let text = match outcome {
            Outcome::Commit if !has_failed => "COMMIT",
            _ => "ROLLBACK",
        };
        let ended = self.control(text).await;
        // A commit that fails rolls back.
        self.is_in_transaction = self.is_running;
        ended?;
        if outcome == Outcome::Commit && has_failed {
            return Err(Error::TransactionOver(
                "a statement of it failed, so it was rolled back".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        if !self.is_running && !self.is_in_transaction {
            if self.is_dirty {
                clean(client);
            }
            // Back to its pool.
            return;
        }
        // The server rolls back when the connection closes.
        let client = Object::take(client);
        if self.is_running
            && let Ok(runtime) = Handle::try_current()
        {
            let (token, tls) = (client.cancel_token(), self.pool.tls.clone());
            // It outlives the session, but not by long.
            runtime.spawn(async move {
                if timeout(CANCEL, token.cancel_query(tls)).await.is_err() {
                    tracing::warn!("a statement of PostgreSQL wasn't cancelled in time");
                }
                drop(client);
            });
        }
    }
}

/// Gives a connection back to its pool once it has nothing left of its session. Otherwise it is
/// closed.
fn clean(client: Object) {
    let Ok(runtime) = Handle::try_current() else {
        drop(Object::take(client));
        return;
    };
    // It outlives the session, but not by long.
    runtime.spawn(async move {
        let cleaned = timeout(CLEAN, client.batch_execute(CLEAN_SESSION)).await;
        if !matches!(cleaned, Ok(Ok(()))) {
            drop(Object::take(client));
        }
    });
}
