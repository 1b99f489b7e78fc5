//! Threads, each with a connection.

use super::{
    Lent, SqliteConfig,
    values::{self, Prepared},
};
use crate::sql::{
    database::{Column, Error, Row, Value},
    rows::MAX_KEPT,
};
use lattice_core::sync::Mutex;
use rusqlite::{
    Connection, OpenFlags, Statement,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How many prepared statements a connection keeps.
const KEPT: usize = 64;
/// After how many steps of SQLite's machine it looks whether to stop: some tens of microseconds.
const STEPS: i32 = 2_000;

/// Begins a transaction that may write.
pub(super) const BEGIN_WRITING: &str = "BEGIN IMMEDIATE";
/// Begins a transaction that reads.
pub(super) const BEGIN_READING: &str = "BEGIN DEFERRED";

/// A row, or the end of them.
pub(super) type Next = Result<Option<Row>, Error>;

/// What a connection is to do.
pub(super) enum Job {
    /// A statement of a caller.
    Run(Run),
    /// A statement of the provider's own.
    Control(Control),
    /// Nothing uses it any longer.
    Release(Worker, Lent),
}

/// Set when a statement is to stop.
pub(super) type Stop = Arc<AtomicBool>;

/// What a statement may do, and where it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) is_read_only: bool,
    pub(super) is_in_transaction: bool,
}

/// A statement.
pub(super) struct Run {
    pub(super) text: String,
    pub(super) parameters: Vec<Value>,
    pub(super) scope: Scope,
    pub(super) busy_timeout: Duration,
    pub(super) stop: Stop,
    pub(super) kind: Kind,
}

/// A statement that begins or ends a transaction.
pub(super) struct Control {
    pub(super) text: &'static str,
    pub(super) busy_timeout: Duration,
    pub(super) stop: Stop,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}

/// What is wanted of a statement.
pub(super) enum Kind {
    /// How many rows it changed.
    Execute(oneshot::Sender<Result<u64, Error>>),
    /// Its rows.
    Query {
        columns: oneshot::Sender<Result<Vec<Column>, Error>>,
        rows: mpsc::Sender<Next>,
    },
}

/// A connection, as others use it. Its thread ends when this is dropped.
pub(super) struct Worker {
    /// At most two at a time: one of its user, and its release.
    jobs: Sender<Job>,
}

/// What the callbacks of a connection look at.
#[derive(Default)]
struct Flags {
    /// Whether the statement is to stop.
    stop: Mutex<Stop>,
    /// The statement is the provider's own.
    own: AtomicBool,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl Worker {
    /// Opens a connection, in a thread of its own.
    pub(super) async fn open(config: Arc<SqliteConfig>) -> Result<Self, Error> {
        let (jobs, incoming) = channel();
        let (reply, opened) = oneshot::channel();
        let work = move || {
            let flags = Arc::new(Flags::default());
            match connect(&config, &flags) {
                Ok(connection) => {
                    if reply.send(Ok(())).is_ok() {
                        work(&connection, &flags, &incoming);
                    }
                }
                // Nothing may wait for it any longer.
                Err(error) => drop(reply.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name("sqlite".to_owned());
        let spawned = thread.spawn(work);
        spawned.map_err(|error| {
            Error::Unavailable(format!("there is no thread for the connection: {error}"))
        })?;
        match opened.await {
            Ok(Ok(())) => Ok(Self { jobs }),
            Ok(Err(error)) => Err(Error::Unavailable(format!(
                "the database can't be opened: {error}"
            ))),
            Err(_) => Err(Error::Unavailable(
                "the thread of the connection ended".to_owned(),
            )),
        }
    }

    /// Returns whether the connection is still there to do it.
    pub(super) fn send(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }

    /// Gives the connection back, once nothing runs there and its transaction is rolled back.
    pub(super) fn release(self, lent: Lent) {
        let jobs = self.jobs.clone();
        // A thread that is gone has nothing to give back.
        drop(jobs.send(Job::Release(self, lent)));
    }
}

fn connect(config: &SqliteConfig, flags: &Arc<Flags>) -> rusqlite::Result<Connection> {
    // Without URIs, a path is a path.
    let open = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = match &config.path {
        Some(path) => Connection::open_with_flags(path, open)?,
        None => Connection::open_in_memory_with_flags(open)?,
    };
    connection.busy_timeout(config.busy_timeout())?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
    )?;
    if let Some(limit) = config.size_limit() {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page = u64::try_from(page).unwrap_or(1).max(1);
        let pages = (limit.as_u64() / page).max(1);
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    let most = i32::try_from(config.max_bytes).unwrap_or(i32::MAX);
    // Statements have up to 1 MiB, and this is a limit for them too.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, most.max(2 << 20))?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let stop = flags.clone();
    connection.progress_handler(STEPS, Some(move || stop.is_stopped()))?;
    let own = flags.clone();
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if own.own.load(Ordering::SeqCst) || is_allowed(&context) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))?;
    Ok(connection)
}

/// Returns whether a caller's statement may do this. Others change the connection for those that
/// use it later, or reach other files.
fn is_allowed(context: &AuthContext<'_>) -> bool {
    match &context.action {
        AuthAction::Unknown { .. }
        | AuthAction::Pragma { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => false,
        // Virtual tables without tables of their own are no temporary tables to SQLite.
        AuthAction::CreateVtable { .. } => context.database_name != Some("temp"),
        AuthAction::Function { function_name } => {
            !function_name.eq_ignore_ascii_case("load_extension")
        }
        _ => true,
    }
}

/// Does what comes, until its worker is dropped.
fn work(connection: &Connection, flags: &Flags, jobs: &Receiver<Job>) {
    let mut kept = Kept::default();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Run(run) => {
                flags.begin(&run.stop);
                run.run(connection, &mut kept);
            }
            Job::Control(control) => {
                let Control {
                    text,
                    busy_timeout,
                    stop,
                    reply,
                } = control;
                flags.begin(&stop);
                // One that isn't wanted any longer must not begin.
                if !stop.load(Ordering::SeqCst) {
                    let is_over = text != BEGIN_WRITING
                        && text != BEGIN_READING
                        && connection.is_autocommit();
                    let done = if is_over {
                        Err(over())
                    } else {
                        own(connection, flags, text, busy_timeout).map_err(values::error)
                    };
                    drop(reply.send(done));
                }
            }
            Job::Release(worker, lent) => {
                flags.begin(&Stop::default());
                let is_fit = connection.is_autocommit()
                    || own(connection, flags, "ROLLBACK", Duration::ZERO).is_ok();
                if is_fit {
                    lent.give_back(worker);
                }
            }
        }
    }
}

impl Flags {
    /// Begins a statement that can be stopped with this.
    fn begin(&self, stop: &Stop) {
        *self.stop.lock() = stop.clone();
    }

    fn is_stopped(&self) -> bool {
        self.stop.lock().load(Ordering::SeqCst)
    }
}

/// Runs a statement of the provider's own.
fn own(
    connection: &Connection,
    flags: &Flags,
    text: &str,
    busy_timeout: Duration,
) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    flags.own.store(true, Ordering::SeqCst);
    let done = connection.execute_batch(text);
    flags.own.store(false, Ordering::SeqCst);
    done
}

/// The prepared statements of a connection, the one that was used last at the end.
#[derive(Default)]
struct Kept<'c>(VecDeque<(String, Statement<'c>)>);

impl<'c> Kept<'c> {
    fn take(&mut self, text: &str) -> Option<Statement<'c>> {
        let at = self.0.iter().position(|(known, _)| known == text)?;
        self.0.remove(at).map(|(_, statement)| statement)
    }

    fn put(&mut self, text: String, statement: Statement<'c>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((text, statement));
    }
}

impl Run {
    fn run<'c>(self, connection: &'c Connection, kept: &mut Kept<'c>) {
        let Self {
            text,
            parameters,
            scope,
            busy_timeout,
            stop,
            kind,
        } = self;
        // One that isn't wanted any longer must not begin.
        if stop.load(Ordering::SeqCst) {
            return;
        }
        if scope.is_in_transaction && connection.is_autocommit() {
            return kind.fail(over());
        }
        let prepared = connection
            .busy_timeout(busy_timeout)
            .map_err(values::error)
            .and_then(|()| prepared(connection, kept, &text, scope));
        let mut statement = match prepared {
            Ok(statement) => statement,
            Err(error) => return kind.fail(error),
        };
        match Prepared(&mut statement).bind(&parameters) {
            Ok(()) => kind.run(connection, &mut statement),
            Err(error) => kind.fail(error),
        }
        statement.clear_bindings();
        if text.len() <= MAX_KEPT {
            kept.put(text, statement);
        }
    }
}

fn over() -> Error {
    Error::TransactionOver("the database rolled it back after an error".to_owned())
}

/// Prepares a statement, or takes one that was prepared before.
fn prepared<'c>(
    connection: &'c Connection,
    kept: &mut Kept<'c>,
    text: &str,
    scope: Scope,
) -> Result<Statement<'c>, Error> {
    let statement = match kept.take(text) {
        Some(statement) => statement,
        None => connection.prepare(text).map_err(values::prepare_error)?,
    };
    if scope.is_read_only && !statement.readonly() {
        return Err(Error::ReadOnly(
            "the link or the transaction is read-only, and the statement writes".to_owned(),
        ));
    }
    Ok(statement)
}

impl Kind {
    /// Tells the error. Nothing may wait for it any longer.
    fn fail(self, error: Error) {
        match self {
            Self::Execute(reply) => drop(reply.send(Err(error))),
            Self::Query { columns, .. } => drop(columns.send(Err(error))),
        }
    }

    fn run(self, connection: &Connection, statement: &mut Statement<'_>) {
        match self {
            Self::Execute(reply) => {
                let changed = changed(connection, statement).map_err(values::error);
                drop(reply.send(changed));
            }
            Self::Query { columns, rows } => {
                if columns.send(Ok(values::columns(statement))).is_ok() {
                    let end = send_rows(statement, &rows);
                    // A reader that is gone has no use for it.
                    drop(rows.blocking_send(end));
                }
            }
        }
    }
}

/// Runs a statement to its end, and returns how many rows it changed.
fn changed(connection: &Connection, statement: &mut Statement<'_>) -> rusqlite::Result<u64> {
    let before = connection.total_changes();
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    drop(rows);
    // A statement that changes no rows leaves the number of the one before.
    let is_changed = connection.total_changes() != before;
    Ok(if is_changed { connection.changes() } else { 0 })
}

/// Sends the rows of a statement as long as they are read, and returns their end.
fn send_rows(statement: &mut Statement<'_>, reader: &mpsc::Sender<Next>) -> Next {
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(values::error)? {
        let row = values::row(row, width)?;
        if reader.blocking_send(Ok(Some(row))).is_err() {
            break;
        }
    }
    Ok(None)
}
