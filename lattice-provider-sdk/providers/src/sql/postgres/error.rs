//! Errors of PostgreSQL.

use crate::sql::database::{ConstraintKind, Error, Failure, Violation};
use lattice_core::error::chain;
use tokio_postgres::error::DbError;

/// Returns why there is no connection. Nothing ran.
pub(super) fn connecting(error: &tokio_postgres::Error) -> Error {
    // The server's message has the name of the user, and nothing that is secret.
    let reason = error.as_db_error().map(|error| error.message().to_owned());
    let reason = reason.unwrap_or_else(|| chain(error));
    Error::Unavailable(format!("the server can't be used: {reason}"))
}

/// Returns the error of a statement.
pub(super) fn of_statement(error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(error) => of_server(error),
        // The connection is closed, or what came isn't of the protocol.
        None => Error::Lost(format!("the connection broke: {}", chain(error))),
    }
}

/// Returns whether an error means that a statement has to be prepared again, because what it
/// refers to has changed.
pub(super) fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    let changed = "cached plan must not change result type";
    match error.code().code() {
        "0A000" => error.message() == changed,
        "26000" => true,
        _ => false,
    }
}

fn of_server(error: &DbError) -> Error {
    let (code, message) = (error.code().code(), error.message().to_owned());
    match code {
        "40001" | "40P01" | "55P03" => Error::Conflict(message),
        "57014" => Error::Timeout(message),
        "25006" => Error::ReadOnly(message),
        "25P02" => {
            Error::TransactionOver("an earlier statement of it failed; roll it back".to_owned())
        }
        "42501" => Error::Denied(message),
        "0A000" if message.contains("cached plan") => {
            Error::Conflict("the tables were changed meanwhile; try again".to_owned())
        }
        "26000" => Error::Conflict("the statement has to be prepared again; try again".to_owned()),
        // What a text can't be turned into, or a number is too large for.
        "22P02" | "22P03" | "22003" | "22007" | "22008" | "22021" | "22026" | "42P18" | "42804" => {
            Error::Parameter(message)
        }
        "53300" => Error::Unavailable(message),
        "54000" => Error::TooLarge(message),
        "57P01" | "57P02" | "57P03" | "57P05" | "40003" | "25P03" => Error::Lost(message),
        _ => match code.get(..2) {
            Some("08") => Error::Lost(message),
            Some("23") => Error::Constraint(violation(error)),
            Some("42") => Error::Syntax(message),
            _ => Error::Failed(Failure {
                code: Some(code.to_owned()),
                message,
            }),
        },
    }
}

fn violation(error: &DbError) -> Violation {
    let kind = match error.code().code() {
        "23502" => ConstraintKind::NotNull,
        "23503" => ConstraintKind::ForeignKey,
        "23505" => ConstraintKind::Unique,
        "23514" => ConstraintKind::Check,
        "23P01" => ConstraintKind::Exclusion,
        _ => ConstraintKind::Other,
    };
    // A column that can't be null has no constraint with a name.
    let name = error.constraint().or(error.column());
    Violation {
        kind,
        name: name.map(str::to_owned),
        message: error.message().to_owned(),
    }
}
