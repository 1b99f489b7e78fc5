//! The provider: `lattice:sql` on a backend.

use super::{
    backend::{Backend, Session},
    config::{Limits, LinkConfig},
    database::{self, Access, Database, Error, Isolation, RowSet, RowStream, Value},
    rows::{self, Lease, Statement},
    transaction::Transaction,
};
use lattice_provider_sdk::{
    BackendRequest, BackendServer, Call, Instance, Link, Portable, PortableTypes, Provider, Refusal,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A provider of `lattice:sql` on a database, such as [`Sqlite`](super::Sqlite) or
/// [`Postgres`](super::Postgres).
pub struct Sql<B: Backend> {
    own: Arc<Own<B>>,
    /// Ends the tasks with the provider.
    _tasks: DropGuard,
}

struct Own<B> {
    backend: B,
    limits: Limits,
    tasks: CancellationToken,
}

impl<B: Backend> Sql<B> {
    /// Makes a provider of a backend. Connects to nothing.
    pub fn on(backend: B, limits: Limits) -> Self {
        let tasks = CancellationToken::new();
        Self {
            _tasks: tasks.clone().drop_guard(),
            own: Arc::new(Own {
                backend,
                limits,
                tasks,
            }),
        }
    }

    /// Runs a statement of a call, and returns all its rows.
    pub(super) async fn run(
        &self,
        call: &Call<Self>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<RowSet, Error> {
        let statement = statement_of(call, statement, parameters)?;
        let operation = statement.operation();
        let done = async { rows::query(self.own.lease(call, &statement).await?, statement).await };
        in_span(call, operation, done).await
    }

    /// Takes a session for a call, which has to end with it.
    pub(super) async fn session(&self, call: &Call<Self>) -> Result<(B::Session, Instant), Error> {
        let until = until(call);
        let session = self.own.session(call.binding(), until).await?;
        Ok((session, until))
    }

    fn scoped(&self, config: &LinkConfig) -> Result<Scoped<B>, Refusal> {
        let scope = self.own.backend.scope(config)?;
        Ok(Scoped {
            namespace: self.own.backend.namespace(&scope),
            server: self.own.backend.server(),
            scope,
            limits: self.own.limits.of_link(config),
            is_read_only: config.read_only,
        })
    }
}

impl<B: Backend> fmt::Debug for Sql<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql")
            .field("limits", &self.own.limits)
            .finish_non_exhaustive()
    }
}

/// What a link to a database may do there: its binding.
pub struct Scoped<B: Backend> {
    scope: B::Scope,
    limits: Limits,
    is_read_only: bool,
    /// What traces have of the database.
    namespace: String,
    server: Option<BackendServer>,
}

impl<B: Backend> Scoped<B> {
    /// Returns whether the link only reads.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }
}

impl<B: Backend> fmt::Debug for Scoped<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped")
            .field("limits", &self.limits)
            .field("is_read_only", &self.is_read_only)
            .finish_non_exhaustive()
    }
}

/// How long a check of health may wait for the database. The host waits 5 s.
const HEALTH: Duration = Duration::from_secs(4);

impl<B: Backend> Provider for Sql<B> {
    type World = B::World;
    type Config = LinkConfig;
    type Binding = Scoped<B>;

    async fn link(&self, _: &Link, config: LinkConfig) -> Result<Scoped<B>, Refusal> {
        self.scoped(&config)
    }

    async fn operator(&self) -> Option<Scoped<B>> {
        self.scoped(&LinkConfig::default()).ok()
    }

    fn portable() -> PortableTypes<Self> {
        PortableTypes::none().with::<Connection<B>>()
    }

    fn config_schema() -> Option<String> {
        serde_json::to_string(&schemars::schema_for!(LinkConfig)).ok()
    }

    async fn start(&self, _: &Instance) -> Result<(), Refusal> {
        self.own.backend.start().await
    }

    async fn health(&self) -> Result<(), Refusal> {
        let scoped = self.scoped(&LinkConfig::default())?;
        let until = Instant::now() + HEALTH;
        let session = self.own.session(&scoped, until).await?;
        let lease = Lease::of(session);
        let limits = scoped.limits;
        let statement = Statement::new("SELECT 1".to_owned(), Vec::new(), limits, until)?;
        rows::query(lease, statement).await?;
        Ok(())
    }
}

impl<B: Backend> Database for Sql<B> {
    type Connection = Connection<B>;
    type Transaction = Transaction<B>;

    async fn new_connection(&self, _: &Call<Self>) -> Connection<B> {
        Connection {
            own: self.own.clone(),
        }
    }
}

/// A way to the database. Holds no connection of it.
pub struct Connection<B: Backend> {
    own: Arc<Own<B>>,
}

impl<B: Backend> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl<B: Backend> Portable<Sql<B>> for Connection<B> {
    fn to_token(&self) -> Vec<u8> {
        Vec::new()
    }

    async fn from_token(provider: &Sql<B>, _: &Call<Sql<B>>, _: &[u8]) -> Result<Self, Refusal> {
        Ok(Self {
            own: provider.own.clone(),
        })
    }
}

impl<B: Backend> database::Connection<Sql<B>> for Connection<B> {
    async fn query(
        &self,
        call: &Call<Sql<B>>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<RowSet, Error> {
        let statement = statement_of(call, statement, parameters)?;
        let operation = statement.operation();
        let done = async { rows::query(self.own.lease(call, &statement).await?, statement).await };
        in_span(call, operation, done).await
    }

    async fn stream(
        &self,
        call: &Call<Sql<B>>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<RowStream, Error> {
        let statement = statement_of(call, statement, parameters)?;
        let operation = statement.operation();
        let tasks = &self.own.tasks;
        // It ends when the rows begin: what streams after that is the caller's.
        let begun = async {
            let lease = self.own.lease(call, &statement).await?;
            rows::stream(lease, statement, tasks).await
        };
        in_span(call, operation, begun).await
    }

    async fn execute(
        &self,
        call: &Call<Sql<B>>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<u64, Error> {
        let statement = statement_of(call, statement, parameters)?;
        let operation = statement.operation();
        let done =
            async { rows::execute(self.own.lease(call, &statement).await?, statement).await };
        in_span(call, operation, done).await
    }

    async fn begin(
        &self,
        call: &Call<Sql<B>>,
        isolation: Isolation,
        access: Access,
    ) -> Result<Transaction<B>, Error> {
        let scoped = call.binding();
        if scoped.is_read_only && access == Access::ReadWrite {
            return Err(Error::ReadOnly(
                "the link is read-only; begin a transaction that is `read-only`".to_owned(),
            ));
        }
        let until = until(call);
        let begun = self.own.begun(scoped, (isolation, access), until);
        let session = in_span(call, "BEGIN", begun).await?;
        Ok(Transaction::new(session, scoped.limits, &self.own.tasks))
    }
}

impl<B: Backend> Own<B> {
    async fn lease(
        &self,
        call: &Call<Sql<B>>,
        statement: &Statement,
    ) -> Result<Lease<B::Session>, Error> {
        let session = self.session(call.binding(), statement.until).await?;
        Ok(Lease::of(session))
    }

    /// Returns a session that has begun a transaction.
    async fn begun(
        &self,
        scoped: &Scoped<B>,
        (isolation, access): (Isolation, Access),
        until: Instant,
    ) -> Result<B::Session, Error> {
        let mut session = self.session(scoped, until).await?;
        let begun = timeout_at(until, session.begin(isolation, access, until)).await;
        begun.unwrap_or_else(|_| Err(rows::out_of_time()))?;
        Ok(session)
    }

    async fn session(&self, scoped: &Scoped<B>, until: Instant) -> Result<B::Session, Error> {
        let session = self.backend.session(&scoped.scope, until);
        timeout_at(until, session).await.unwrap_or_else(|_| {
            Err(Error::Unavailable(
                "no connection to the database was ready in time; nothing ran".to_owned(),
            ))
        })
    }
}

/// How much earlier than its caller a statement ends at most, so that the caller gets the error.
const MARGIN: Duration = Duration::from_millis(50);

/// Returns when a statement of a call has to end.
pub(super) fn until<B: Backend>(call: &Call<Sql<B>>) -> Instant {
    let left = call.time_left();
    let left = left.saturating_sub((left / 10).min(MARGIN));
    Instant::now() + left.min(call.binding().limits.timeout)
}

/// Runs the work of a request to the database, in a span of its own. Neither statement nor
/// parameters are in it.
pub(super) fn in_span<B: Backend, T, F: Future<Output = Result<T, Error>>>(
    call: &Call<Sql<B>>,
    operation: &'static str,
    work: F,
) -> impl Future<Output = Result<T, Error>> + use<B, T, F> {
    let scoped = call.binding();
    let request = BackendRequest {
        namespace: &scoped.namespace,
        server: scoped.server.as_ref(),
        ..BackendRequest::new(B::SYSTEM, operation)
    };
    call.backend_as(request, kind, work)
}

/// Returns the name of an error in traces: `error.type`.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Syntax(_) => "syntax",
        Error::Parameter(_) => "parameter",
        Error::UnsupportedType(_) => "unsupported-type",
        Error::Constraint(_) => "constraint",
        Error::Conflict(_) => "conflict",
        Error::TooLarge(_) => "too-large",
        Error::ReadOnly(_) => "read-only",
        Error::Denied(_) => "denied",
        Error::Unavailable(_) => "unavailable",
        Error::Lost(_) => "lost",
        Error::Timeout(_) => "timeout",
        Error::TransactionOver(_) => "transaction-over",
        Error::Failed(_) => "failed",
    }
}

/// Returns the statement of a call.
pub(super) fn statement_of<B: Backend>(
    call: &Call<Sql<B>>,
    statement: String,
    parameters: Vec<Value>,
) -> Result<Statement, Error> {
    Statement::new(statement, parameters, call.binding().limits, until(call))
}
