//! Statements, and the rows that they return: as a whole, and as a stream.

use super::{
    backend::{Cursor, Session},
    config::Limits,
    database::{Error, Row, RowSet, RowStream, Value},
    transaction::Place,
};
use futures_util::{StreamExt, stream::BoxStream};
use lattice_provider_sdk::{FutureReader, StreamReader, StreamWriter};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// The longest statement, in bytes.
const MAX_STATEMENT: usize = 1 << 20;
/// The longest statement that a connection keeps prepared, in bytes. Longer ones have values in
/// them, and seldom come again.
pub(super) const MAX_KEPT: usize = 16 << 10;
/// The most parameters: what every backend takes.
const MAX_PARAMETERS: usize = 32_000;

/// A statement of a call.
#[derive(Debug)]
pub(super) struct Statement {
    text: String,
    parameters: Vec<Value>,
    limits: Limits,
    /// When its result must have begun.
    pub(super) until: Instant,
}

/// The first words of statements that traces name them by.
const OPERATIONS: [&str; 8] = [
    "ALTER", "CREATE", "DELETE", "DROP", "INSERT", "SELECT", "UPDATE", "WITH",
];

impl Statement {
    /// Returns what traces call the statement: its first word, if that is a usual one.
    pub(super) fn operation(&self) -> &'static str {
        let first = self.text.split_whitespace().next().unwrap_or_default();
        let mut known = OPERATIONS.into_iter();
        let known = known.find(|known| known.eq_ignore_ascii_case(first));
        known.unwrap_or("OTHER")
    }

    pub(super) fn new(
        text: String,
        parameters: Vec<Value>,
        limits: Limits,
        until: Instant,
    ) -> Result<Self, Error> {
        if text.len() > MAX_STATEMENT {
            return Err(Error::Syntax(format!(
                "the statement has {} bytes; {MAX_STATEMENT} are allowed: use parameters for values",
                text.len()
            )));
        }
        // One database would end the statement there, the other one would end the connection.
        if text.contains('\0') {
            return Err(Error::Syntax(
                "the statement has a character with the code 0; use parameters for values"
                    .to_owned(),
            ));
        }
        if parameters.len() > MAX_PARAMETERS {
            return Err(Error::Parameter(format!(
                "there are {} parameters; {MAX_PARAMETERS} are allowed",
                parameters.len()
            )));
        }
        Ok(Self {
            text,
            parameters,
            limits,
            until,
        })
    }
}

/// A session for one statement: of a transaction, or for that alone.
pub(super) struct Lease<S> {
    session: S,
    /// Where it is put back to.
    place: Option<Place<S>>,
}

impl<S: Session> Lease<S> {
    /// Returns one for a session that is used for nothing else.
    pub(super) fn of(session: S) -> Self {
        Self {
            session,
            place: None,
        }
    }

    /// Returns one for a session of a transaction.
    pub(super) fn from_place(session: S, place: Place<S>) -> Self {
        Self {
            session,
            place: Some(place),
        }
    }

    /// Ends the use. A transaction that can't go on is over.
    fn end(self, goes_on: bool) {
        if let Some(place) = self.place
            && goes_on
        {
            place.put_back(self.session);
        }
    }
}

/// Returns whether a transaction can go on after an error of one of its statements.
fn goes_on(error: &Error) -> bool {
    !matches!(
        error,
        Error::Timeout(_) | Error::Lost(_) | Error::Unavailable(_)
    )
}

/// Returns whether an error is about a value of one row, so that the database may have more rows.
fn is_of_one_row(error: &Error) -> bool {
    matches!(error, Error::UnsupportedType(_))
}

/// Returns the error of a statement that takes too long.
pub(super) fn out_of_time() -> Error {
    Error::Timeout(
        "the statement didn't end before the call's deadline or the provider's `timeout-ms`"
            .to_owned(),
    )
}

/// Runs a statement, and returns how many rows it changed.
pub(super) async fn execute<S: Session>(
    mut lease: Lease<S>,
    statement: Statement,
) -> Result<u64, Error> {
    let Statement {
        text,
        parameters,
        until,
        ..
    } = statement;
    let run = lease.session.execute(text, parameters, until);
    let result = timeout_at(until, run).await;
    let result = result.unwrap_or_else(|_| Err(out_of_time()));
    lease.end(result.as_ref().err().is_none_or(goes_on));
    result
}

/// Runs a statement, and returns all its rows.
pub(super) async fn query<S: Session>(
    mut lease: Lease<S>,
    statement: Statement,
) -> Result<RowSet, Error> {
    let until = statement.until;
    let result = timeout_at(until, collect(&mut lease.session, statement)).await;
    let result = result.unwrap_or_else(|_| Err(out_of_time()));
    let goes_on = match &result {
        // The rest of the rows wasn't read, unless it ended before there were any.
        Err(Error::TooLarge(_) | Error::UnsupportedType(_)) => lease.session.abandoned(),
        result => result.as_ref().err().is_none_or(goes_on),
    };
    lease.end(goes_on);
    result
}

async fn collect<S: Session>(session: &mut S, statement: Statement) -> Result<RowSet, Error> {
    let Statement {
        text,
        parameters,
        limits,
        until,
    } = statement;
    let Cursor {
        columns,
        rows: mut incoming,
    } = session.query(text, parameters, until).await?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = incoming.next().await {
        let row = row.inspect_err(|error| {
            if !is_of_one_row(error) {
                session.finished();
            }
        })?;
        bytes += size_of_row(&row);
        if rows.len() == limits.max_rows {
            return Err(Error::TooLarge(format!(
                "the result has more than {} rows; add a LIMIT, or read it as a stream",
                limits.max_rows
            )));
        }
        if bytes > limits.max_bytes {
            return Err(Error::TooLarge(format!(
                "the result has more than {} bytes; add a LIMIT, or read it as a stream",
                limits.max_bytes
            )));
        }
        rows.push(row);
    }
    session.finished();
    Ok(RowSet { columns, rows })
}

/// Runs a statement, and returns its rows as a stream, which a task sends.
pub(super) async fn stream<S: Session>(
    mut lease: Lease<S>,
    statement: Statement,
    tasks: &CancellationToken,
) -> Result<RowStream, Error> {
    let Statement {
        text,
        parameters,
        limits,
        until,
    } = statement;
    let begun = timeout_at(until, lease.session.query(text, parameters, until)).await;
    let Cursor {
        columns,
        rows: incoming,
    } = match begun.unwrap_or_else(|_| Err(out_of_time())) {
        Ok(cursor) => cursor,
        Err(error) => {
            lease.end(goes_on(&error));
            return Err(error);
        }
    };
    let (writer, rows) = StreamReader::channel();
    let (told, outcome) = FutureReader::channel();
    let sending = async move {
        let mut sender = Sender {
            writer,
            limits,
            sent: 0,
        };
        let end = sender.send_all(incoming).await;
        let goes_on = match &end {
            End::Stopped
            | End::Failed(Error::TooLarge(_) | Error::Timeout(_) | Error::UnsupportedType(_)) => {
                lease.session.abandoned()
            }
            End::Whole => {
                lease.session.finished();
                true
            }
            End::Failed(error) => {
                lease.session.finished();
                goes_on(error)
            }
        };
        // Before the reader knows, so that it can go on with the transaction.
        lease.end(goes_on);
        match end {
            End::Whole => {
                told.send(Ok(sender.sent));
                sender.writer.end();
            }
            End::Failed(error) => {
                sender.writer.fail(error.to_string());
                told.send(Err(error));
            }
            End::Stopped => told.fail("the reader of the rows stopped"),
        }
    };
    tokio::spawn(tasks.clone().run_until_cancelled_owned(sending));
    Ok(RowStream {
        columns,
        rows,
        outcome,
    })
}

/// How the sending of rows ends.
enum End {
    Whole,
    Failed(Error),
    /// Nothing reads them any longer.
    Stopped,
}

struct Sender {
    writer: StreamWriter<Row>,
    limits: Limits,
    sent: u64,
}

impl Sender {
    async fn send_all(&mut self, mut rows: BoxStream<'static, Result<Row, Error>>) -> End {
        loop {
            let next = tokio::select! {
                next = timeout(self.limits.timeout, rows.next()) => next,
                () = self.writer.unread() => return End::Stopped,
            };
            let row = match next {
                Ok(Some(Ok(row))) => row,
                Ok(Some(Err(error))) => return End::Failed(error),
                Ok(None) => return End::Whole,
                Err(_) => return End::Failed(late(self.limits.timeout, "the database sent")),
            };
            let most = self.limits.max_bytes;
            if size_of_row(&row) > most {
                let reason = format!("a row has more than {most} bytes");
                return End::Failed(Error::TooLarge(reason));
            }
            let idle = self.limits.idle_timeout;
            match timeout(idle, self.writer.send(row)).await {
                Ok(Ok(())) => self.sent += 1,
                Ok(Err(_)) => return End::Stopped,
                Err(_) => return End::Failed(late(idle, "the reader took")),
            }
        }
    }
}

fn late(limit: Duration, who: &str) -> Error {
    Error::Timeout(format!("{who} no row for {} ms", limit.as_millis()))
}

/// Returns about how many bytes a row takes in a message.
fn size_of_row(row: &Row) -> usize {
    row.iter().map(size_of_value).sum()
}

fn size_of_value(value: &Value) -> usize {
    /// The case, and a number or a length.
    const SMALL: usize = 9;
    let texts = |list: &[Option<String>]| -> usize {
        let sizes = list
            .iter()
            .map(|text| text.as_ref().map_or(1, |text| text.len() + 2));
        sizes.sum()
    };
    SMALL
        + match value {
            Value::Str(text) | Value::Uuid(text) | Value::Decimal(text) | Value::Json(text) => {
                text.len()
            }
            Value::Binary(bytes) => bytes.len(),
            Value::ArrayBoolean(list) => list.len() * 2,
            Value::ArrayInt32(list) => list.len() * 6,
            Value::ArrayInt64(list) => list.len() * 11,
            Value::ArrayFloating64(list) => list.len() * 9,
            Value::ArrayDecimal(list) | Value::ArrayStr(list) => texts(list),
            _ => 8,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_as_much_text_and_as_many_parameters_as_allowed() {
        let new = |text: usize, parameters: usize| {
            let parameters = vec![Value::Null; parameters];
            Statement::new(
                "x".repeat(text),
                parameters,
                Limits::default(),
                Instant::now(),
            )
        };
        assert!(new(MAX_STATEMENT, MAX_PARAMETERS).is_ok());
        assert!(matches!(new(MAX_STATEMENT + 1, 0), Err(Error::Syntax(_))));
        let limits = Limits::default();
        let nul = Statement::new("SELECT 1\0".to_owned(), Vec::new(), limits, Instant::now());
        assert!(matches!(nul, Err(Error::Syntax(_))), "{nul:?}");
        assert!(matches!(
            new(1, MAX_PARAMETERS + 1),
            Err(Error::Parameter(_))
        ));
    }
}
