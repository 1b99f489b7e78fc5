//! A connection that one statement or transaction uses.

use super::{
    Lent,
    worker::{BEGIN_READING, BEGIN_WRITING, Control, Job, Kind, Next, Run, Scope, Stop, Worker},
};
use crate::sql::{
    backend::{Cursor, Outcome, Session},
    database::{Access, Error, Isolation, Row, Value},
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// How many rows a worker is ahead of the reader: enough that it needn't wait for each, and few
/// enough that large ones don't take much memory.
const AHEAD: usize = 64;

/// A connection to SQLite that one user has.
#[derive(Debug)]
pub struct SqliteSession {
    /// Until it is dropped.
    lent: Option<(Worker, Lent)>,
    busy_timeout: Duration,
    scope: Scope,
    /// Stops the statement that runs.
    running: Option<Stop>,
}

impl SqliteSession {
    pub(super) fn new(
        worker: Worker,
        lent: Lent,
        busy_timeout: Duration,
        is_read_only: bool,
    ) -> Self {
        Self {
            lent: Some((worker, lent)),
            busy_timeout,
            scope: Scope {
                is_read_only,
                is_in_transaction: false,
            },
            running: None,
        }
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let (worker, _) = self.lent.as_ref().ok_or_else(lost)?;
        if worker.send(job) {
            Ok(())
        } else {
            Err(lost())
        }
    }

    fn busy_timeout(&self, until: Instant) -> Duration {
        let left = until.saturating_duration_since(Instant::now());
        self.busy_timeout.min(left)
    }

    /// Stops the statement that runs, if any.
    fn stop(&mut self) {
        if let Some(stop) = self.running.take() {
            stop.store(true, Ordering::SeqCst);
        }
    }

    /// Returns what stops the statement that begins now.
    fn begin_statement(&mut self) -> Stop {
        let stop = Stop::default();
        self.running = Some(stop.clone());
        stop
    }

    fn start(
        &mut self,
        text: String,
        parameters: Vec<Value>,
        until: Instant,
        kind: Kind,
    ) -> Result<(), Error> {
        let stop = self.begin_statement();
        self.send(Job::Run(Run {
            text,
            parameters,
            scope: self.scope,
            busy_timeout: self.busy_timeout(until),
            stop,
            kind,
        }))
    }

    async fn control(&mut self, text: &'static str, busy_timeout: Duration) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        let stop = self.begin_statement();
        self.send(Job::Control(Control {
            text,
            busy_timeout,
            stop,
            reply,
        }))?;
        let result = done.await.unwrap_or_else(|_| Err(lost()));
        self.running = None;
        result
    }
}

impl Session for SqliteSession {
    /// Every transaction is serializable. One that may write takes its turn at once: if it did so
    /// at its first write, others could have written since its first read.
    async fn begin(&mut self, _: Isolation, access: Access, until: Instant) -> Result<(), Error> {
        let text = match access {
            Access::ReadWrite => BEGIN_WRITING,
            Access::ReadOnly => BEGIN_READING,
        };
        self.scope.is_read_only |= access == Access::ReadOnly;
        self.control(text, self.busy_timeout(until)).await?;
        self.scope.is_in_transaction = true;
        Ok(())
    }

    async fn execute(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        until: Instant,
    ) -> Result<u64, Error> {
        let (reply, done) = oneshot::channel();
        self.start(statement, parameters, until, Kind::Execute(reply))?;
        let result = done.await.unwrap_or_else(|_| Err(lost()));
        self.running = None;
        result
    }

    async fn query(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
        until: Instant,
    ) -> Result<Cursor, Error> {
        let (columns, begun) = oneshot::channel();
        let (rows, incoming) = mpsc::channel(AHEAD);
        self.start(statement, parameters, until, Kind::Query { columns, rows })?;
        match begun.await.unwrap_or_else(|_| Err(lost())) {
            Ok(columns) => Ok(Cursor {
                columns,
                rows: rows_of(incoming),
            }),
            Err(error) => {
                self.running = None;
                Err(error)
            }
        }
    }

    fn finished(&mut self) {
        self.running = None;
    }

    /// The worker stops, and takes the next job only then.
    fn abandoned(&mut self) -> bool {
        self.stop();
        true
    }

    async fn end(&mut self, outcome: Outcome) -> Result<(), Error> {
        let text = match outcome {
            Outcome::Commit => "COMMIT",
            Outcome::Rollback => "ROLLBACK",
        };
        // It has its turn to write already.
        self.control(text, self.busy_timeout).await
    }
}

impl Drop for SqliteSession {
    fn drop(&mut self) {
        let Some((worker, lent)) = self.lent.take() else {
            return;
        };
        self.stop();
        worker.release(lent);
    }
}

/// Returns the rows that a worker sends, until their end. Without one, they are broken.
fn rows_of(incoming: mpsc::Receiver<Next>) -> BoxStream<'static, Result<Row, Error>> {
    let rows = stream::unfold(Some(incoming), |incoming| async {
        let mut incoming: mpsc::Receiver<Next> = incoming?;
        match incoming.recv().await.unwrap_or_else(|| Err(lost())) {
            Ok(Some(row)) => Some((Ok(row), Some(incoming))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    rows.boxed()
}

fn lost() -> Error {
    Error::Lost("the thread of the connection ended".to_owned())
}
