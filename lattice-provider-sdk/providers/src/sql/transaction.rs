//! Transactions: sessions that others hold.
//!
//! ```text
//!   open ──statement──► in use ──its end──► open ──idle for too long──► over
//!    │                    │ deadline, caller gone, connection lost       ▲
//!    │                    └──────────────────────────────────────────────┤
//!    └──commit, rollback, handle dropped─────────────────────────────────┘
//! ```
//!
//! A transaction that is over has no session: that was dropped, and its effects undone with it,
//! unless it was committed.

use super::{
    backend::{Backend, Outcome, Session},
    config::Limits,
    database::{self, Error, RowSet, RowStream, Value},
    provider::{Sql, in_span, statement_of, until},
    rows::{self, Lease, Statement},
};
use lattice_core::sync::Mutex as SyncMutex;
use lattice_provider_sdk::Call;
use std::{fmt, mem, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A transaction. Dropped before it is committed, it is rolled back.
pub struct Transaction<B: Backend> {
    shared: Arc<Shared<B::Session>>,
    tasks: CancellationToken,
    _watch: AbortOnDropHandle<()>,
}

impl<B: Backend> fmt::Debug for Transaction<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transaction")
    }
}

struct Shared<S> {
    state: Arc<Mutex<State<S>>>,
    /// When its last statement ended.
    used: Arc<SyncMutex<Instant>>,
}

enum State<S> {
    Open(S),
    /// Why.
    Over(String),
}

/// The place from which the session of a transaction was taken. Dropped without the session, the
/// transaction is over.
pub(super) struct Place<S> {
    state: OwnedMutexGuard<State<S>>,
    used: Arc<SyncMutex<Instant>>,
}

impl<S> Place<S> {
    /// Says why the transaction is over.
    fn over(&mut self, reason: &str) {
        *self.state = State::Over(reason.to_owned());
    }

    /// Puts the session back.
    pub(super) fn put_back(mut self, session: S) {
        *self.used.lock() = Instant::now();
        *self.state = State::Open(session);
    }
}

impl<B: Backend> Transaction<B> {
    /// Makes one of a session that has begun it.
    pub(super) fn new(session: B::Session, limits: Limits, tasks: &CancellationToken) -> Self {
        let shared = Arc::new(Shared {
            state: Arc::new(Mutex::new(State::Open(session))),
            used: Arc::new(SyncMutex::new(Instant::now())),
        });
        let watch = watch(shared.clone(), limits.idle_timeout);
        Self {
            _watch: AbortOnDropHandle::new(tokio::spawn(watch)),
            shared,
            tasks: tasks.clone(),
        }
    }

    async fn lease(&self, until: Instant) -> Result<Lease<B::Session>, Error> {
        let (session, place) = self.shared.take(until, GIVEN_UP).await?;
        Ok(Lease::from_place(session, place))
    }

    async fn end(&self, call: &Call<Sql<B>>, outcome: Outcome) -> Result<(), Error> {
        let until = until(call);
        let (done, failed) = match outcome {
            Outcome::Commit => (
                "it was committed",
                "its commit failed, or isn't known to have ended",
            ),
            Outcome::Rollback => ("it was rolled back", "it was rolled back"),
        };
        let (mut session, mut place) = self.shared.take(until, failed).await?;
        let ended = timeout_at(until, session.end(outcome)).await;
        let ended = ended.unwrap_or_else(|_| Err(rows::out_of_time()));
        if ended.is_ok() {
            place.over(done);
        }
        ended
    }
}

/// Why a transaction is over whose session wasn't put back.
const GIVEN_UP: &str =
    "a statement of it didn't end, or its rows weren't read to the end; it was rolled back";

impl<S: Session> Shared<S> {
    /// Takes the session out. Unless it is put back, the transaction is over, for this reason.
    async fn take(&self, until: Instant, reason: &str) -> Result<(S, Place<S>), Error> {
        let state = timeout_at(until, self.state.clone().lock_owned()).await;
        let mut state = state.map_err(|_| {
            Error::Timeout(
                "another statement of the transaction still runs, or its rows aren't read yet"
                    .to_owned(),
            )
        })?;
        match mem::replace(&mut *state, State::Over(reason.to_owned())) {
            State::Open(session) => {
                let used = self.used.clone();
                Ok((session, Place { state, used }))
            }
            State::Over(reason) => {
                *state = State::Over(reason.clone());
                Err(Error::TransactionOver(reason))
            }
        }
    }
}

/// Ends a transaction that is idle for too long.
async fn watch<S: Session>(shared: Arc<Shared<S>>, idle: Duration) {
    loop {
        let end = *shared.used.lock() + idle;
        if Instant::now() < end {
            sleep_until(end).await;
            continue;
        }
        // While it is in use, its statement has limits of its own.
        let mut state = shared.state.lock().await;
        if *shared.used.lock() + idle > Instant::now() {
            continue;
        }
        if let State::Open(_) = &*state {
            let reason = format!("it was idle for {} ms, and rolled back", idle.as_millis());
            *state = State::Over(reason);
        }
        return;
    }
}

impl<B: Backend> database::Transaction<Sql<B>> for Transaction<B> {
    async fn query(
        &self,
        call: &Call<Sql<B>>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<RowSet, Error> {
        let statement: Statement = statement_of(call, statement, parameters)?;
        let operation = statement.operation();
        let done = async { rows::query(self.lease(statement.until).await?, statement).await };
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
        let begun = async {
            let lease = self.lease(statement.until).await?;
            rows::stream(lease, statement, &self.tasks).await
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
        let done = async { rows::execute(self.lease(statement.until).await?, statement).await };
        in_span(call, operation, done).await
    }

    async fn commit(&self, call: &Call<Sql<B>>) -> Result<(), Error> {
        let ended = self.end(call, Outcome::Commit);
        in_span(call, "COMMIT", ended).await
    }

    async fn rollback(&self, call: &Call<Sql<B>>) -> Result<(), Error> {
        let ended = self.end(call, Outcome::Rollback);
        in_span(call, "ROLLBACK", ended).await
    }
}
