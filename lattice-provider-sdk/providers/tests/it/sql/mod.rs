//! SQL databases: what both have to do, and what each does.

#[cfg(feature = "sql-postgres")]
mod postgres;
mod rows;
#[cfg(feature = "sql-sqlite")]
mod sqlite;
mod statements;
mod transactions;

use crate::wait::eventually;
use futures_util::StreamExt;
use lattice_provider_sdk::{Caller, IntoService, Lattice, Link, ServeHandle, serve};
use lattice_providers::sql::{
    LinkConfig,
    database::{
        Access, ConnectionClient, DatabaseClient, Error, INTERFACE, Isolation, Row, RowSet,
        RowStream, TransactionClient, Value,
    },
};
use std::time::Duration;

/// How long anything may take that should happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an instance under test sets.
#[derive(Clone, Copy)]
struct Settings {
    pool_size: usize,
    idle_timeout: Duration,
    max_rows: usize,
    max_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pool_size: 8,
            idle_timeout: PATIENCE,
            max_rows: 10_000,
            max_bytes: 4 << 20,
        }
    }
}

/// A database that providers can be started on.
trait Database {
    /// Returns the service of a provider of it.
    fn provider(&self, settings: Settings) -> impl IntoService;
}

/// A provider that is served, and a caller that is linked to it.
struct Served {
    lattice: Lattice,
    /// Dropped, the provider stops.
    serving: Option<ServeHandle>,
    connection: ConnectionClient,
}

async fn served(provider: impl IntoService) -> Served {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let serving = serve(&lattice, "sql", provider).await.expect("served");
    let link = Link::new("app", INTERFACE.name(), "sql").expect("a link");
    lattice.links().put(link).await.expect("put");
    let caller = lattice.caller("app").expect("an id");
    let connection = connected(caller).await;
    Served {
        lattice,
        serving: Some(serving),
        connection,
    }
}

async fn connected(caller: Caller) -> ConnectionClient {
    let made = DatabaseClient::new(caller)
        .new_connection()
        .timeout(PATIENCE)
        .await;
    made.expect("it opens nothing")
}

impl Served {
    /// Takes the provider out of service.
    async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            // What others still hold of it doesn't matter here.
            let _ = serving.shutdown(Duration::from_secs(1)).await;
        }
    }

    /// Returns a connection over another link, with this config.
    async fn linked(&self, name: &str, config: &LinkConfig) -> ConnectionClient {
        let link = Link::new("app", INTERFACE.name(), "sql").expect("a link");
        let link = link.named(name).expect("a name");
        let link = link.config(config).expect("JSON");
        self.lattice.links().put(link).await.expect("put");
        let caller = self.lattice.caller("app").expect("an id");
        connected(caller.via(name).expect("a name")).await
    }

    async fn query(&self, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        query(&self.connection, statement, parameters).await
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, Error> {
        execute(&self.connection, statement, parameters).await
    }

    async fn stream(&self, statement: &str, parameters: &[Value]) -> Result<RowStream, Error> {
        let call = self
            .connection
            .stream(statement, parameters)
            .timeout(PATIENCE);
        call.await.expect("the call")
    }

    async fn begin(&self) -> TransactionClient {
        begin(&self.connection, Isolation::Serializable)
            .await
            .expect("it begins")
    }

    /// Returns the only value of a result.
    async fn value(&self, statement: &str) -> Value {
        let set = self.query(statement, &[]).await.expect("a result");
        let [row] = <[Row; 1]>::try_from(set.rows).expect("a row");
        let [value] = <[Value; 1]>::try_from(row).expect("a value");
        value
    }
}

async fn query(
    connection: &ConnectionClient,
    statement: &str,
    parameters: &[Value],
) -> Result<RowSet, Error> {
    let call = connection.query(statement, parameters).timeout(PATIENCE);
    call.await.expect("the call")
}

async fn execute(
    connection: &ConnectionClient,
    statement: &str,
    parameters: &[Value],
) -> Result<u64, Error> {
    let call = connection.execute(statement, parameters).timeout(PATIENCE);
    call.await.expect("the call")
}

async fn begin(
    connection: &ConnectionClient,
    isolation: Isolation,
) -> Result<TransactionClient, Error> {
    let call = connection
        .begin(isolation, Access::ReadWrite)
        .timeout(PATIENCE);
    call.await.expect("the call")
}

/// Runs a statement in a transaction.
async fn within(
    transaction: &TransactionClient,
    statement: &str,
    parameters: &[Value],
) -> Result<RowSet, Error> {
    let call = transaction.query(statement, parameters).timeout(PATIENCE);
    call.await.expect("the call")
}

async fn commit(transaction: &TransactionClient) -> Result<(), Error> {
    transaction
        .commit()
        .timeout(PATIENCE)
        .await
        .expect("the call")
}

async fn rollback(transaction: &TransactionClient) -> Result<(), Error> {
    transaction
        .rollback()
        .timeout(PATIENCE)
        .await
        .expect("the call")
}

/// Returns the next row of a stream.
async fn next(stream: &mut RowStream) -> Row {
    let row = tokio::time::timeout(PATIENCE, stream.rows.next()).await;
    row.expect("soon").expect("a row").expect("whole")
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

/// Makes one test of each function of these modules, for a database. `$start` returns none if there
/// is no server.
macro_rules! suite {
    ($start:expr => $($group:ident: $($test:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(database) = $start.await {
                    $group::$test(&database).await;
                }
            }
        )+)+
    };
}

/// Makes the whole suite for a database.
macro_rules! conformance {
    ($start:expr) => {
        super::suite! { $start =>
            statements:
                values_come_back_as_they_were,
                parameters_never_become_statements,
                errors_say_what_is_wrong,
                only_single_statements_that_leave_transactions_alone_are_allowed,
                a_read_only_link_only_reads,
                a_result_has_columns_without_rows_too,
                a_statement_ends_with_its_call;
            transactions:
                a_transaction_takes_effect_when_it_is_committed,
                a_transaction_that_is_over_takes_no_statements,
                increments_in_transactions_are_not_lost,
                an_idle_transaction_is_rolled_back,
                a_transaction_ends_with_its_provider,
                what_was_committed_outlives_its_provider;
            rows:
                a_hundred_thousand_rows_are_streamed,
                a_reader_that_stops_stops_the_statement,
                a_reader_that_takes_nothing_loses_the_stream,
                a_result_over_the_limits_is_refused,
                a_row_over_the_limit_breaks_the_stream,
                a_stream_of_a_transaction_comes_before_its_next_statement;
        }
    };
}

pub(crate) use {conformance, suite};
