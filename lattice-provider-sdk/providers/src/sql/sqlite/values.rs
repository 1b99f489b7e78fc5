//! Values and errors of SQLite.

use crate::sql::{
    calendar,
    database::{Column, ConstraintKind, Error, Failure, Row, Value, Violation},
};
use rusqlite::{
    ErrorCode, Statement, ffi,
    types::{ToSqlOutput, ValueRef},
};

/// A prepared statement whose parameters are to be bound.
pub(super) struct Prepared<'s, 'c>(pub(super) &'s mut Statement<'c>);

impl Prepared<'_, '_> {
    /// Binds all parameters.
    pub(super) fn bind(self, parameters: &[Value]) -> Result<(), Error> {
        let statement = self.0;
        let count = statement.parameter_count();
        let numbers: Vec<usize> = (1..=count)
            .map(|index| number(statement.parameter_name(index), index))
            .collect();
        let wanted = numbers.iter().copied().max().unwrap_or(0);
        if wanted != parameters.len() {
            return Err(Error::Parameter(format!(
                "the statement takes {wanted} parameters; {} are given",
                parameters.len()
            )));
        }
        for (index, number) in (1_usize..).zip(numbers) {
            let value = number.checked_sub(1).and_then(|at| parameters.get(at));
            let value = value.ok_or_else(|| {
                Error::Parameter("parameters are numbered from `$1` on".to_owned())
            })?;
            let bound = statement.raw_bind_parameter(index, bindable(value, number)?);
            bound.map_err(error)?;
        }
        Ok(())
    }
}

/// Returns which parameter is at an index: the one that its name says, such as `$2` or `?2`.
fn number(name: Option<&str>, index: usize) -> usize {
    let number = name.and_then(|name| name.get(1..));
    number
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(index)
}

/// Returns the form that a value has in SQLite.
fn bindable(value: &Value, number: usize) -> Result<ToSqlOutput<'_>, Error> {
    let owned = |text: String| ToSqlOutput::Owned(rusqlite::types::Value::Text(text));
    Ok(match value {
        Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Boolean(value) => integer(*value),
        Value::Int8(value) => integer(*value),
        Value::Int16(value) => integer(*value),
        Value::Int32(value) => integer(*value),
        Value::Int64(value) => integer(*value),
        Value::Floating32(value) => real(f64::from(*value), number)?,
        Value::Floating64(value) => real(*value, number)?,
        Value::Str(text) | Value::Uuid(text) | Value::Decimal(text) | Value::Json(text) => {
            ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
        }
        Value::Binary(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        Value::Date(date) => owned(calendar::date_text(date)?),
        Value::Time(time) => owned(calendar::time_text(time)?),
        Value::Datetime(datetime) => owned(calendar::datetime_text(datetime)?),
        Value::Timestamp(micros) => owned(calendar::timestamp_text(*micros)?),
        Value::Interval(_)
        | Value::ArrayBoolean(_)
        | Value::ArrayInt32(_)
        | Value::ArrayInt64(_)
        | Value::ArrayFloating64(_)
        | Value::ArrayDecimal(_)
        | Value::ArrayStr(_) => {
            return Err(Error::UnsupportedType(format!(
                "parameter ${number} is an interval or an array, which SQLite doesn't have; pass it \
                 as text or JSON"
            )));
        }
    })
}

fn integer(value: impl Into<i64>) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(rusqlite::types::Value::Integer(value.into()))
}

/// SQLite takes NaN for NULL, so it would come back as another value.
fn real(value: f64, number: usize) -> Result<ToSqlOutput<'static>, Error> {
    if value.is_nan() {
        return Err(Error::UnsupportedType(format!(
            "parameter ${number} is NaN, which SQLite doesn't have"
        )));
    }
    Ok(ToSqlOutput::Owned(rusqlite::types::Value::Real(value)))
}

/// Returns the columns of a statement. Their types are those of each value.
pub(super) fn columns(statement: &Statement<'_>) -> Vec<Column> {
    let columns = statement.column_names().map(|name| Column {
        name: name.to_owned(),
        type_name: None,
    });
    columns.collect()
}

/// Returns the values of a row.
pub(super) fn row(row: &rusqlite::Row<'_>, width: usize) -> Result<Row, Error> {
    let values = (0..width).map(|index| {
        Ok(match row.get_ref(index).map_err(error)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int64(value),
            ValueRef::Real(value) => Value::Floating64(value),
            ValueRef::Text(text) => match str::from_utf8(text) {
                Ok(text) => Value::Str(text.to_owned()),
                Err(_) => {
                    return Err(Error::UnsupportedType(format!(
                        "the text in column {} isn't UTF-8; cast it to a blob",
                        index + 1
                    )));
                }
            },
            ValueRef::Blob(bytes) => Value::Binary(bytes.to_vec().into()),
        })
    });
    values.collect()
}

/// SQLite's code of errors that have none of their own, such as those in a statement's text.
const GENERIC: &str = "1";

/// Returns the error of a statement that can't be prepared.
pub(super) fn prepare_error(failed: rusqlite::Error) -> Error {
    match error(failed) {
        Error::Failed(Failure {
            code: Some(code),
            message,
        }) if code == GENERIC => Error::Syntax(message),
        error => error,
    }
}

/// Returns an error of SQLite as one of the interface.
pub(super) fn error(error: rusqlite::Error) -> Error {
    let (failure, message) = match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let message = message.unwrap_or_else(|| failure.to_string());
            (failure, message)
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, msg),
        rusqlite::Error::Empty => {
            return Error::Syntax("the statement is empty".to_owned());
        }
        rusqlite::Error::MultipleStatement => {
            return Error::Syntax("there are several statements; pass one at a time".to_owned());
        }
        other => {
            return Error::Failed(Failure {
                code: None,
                message: other.to_string(),
            });
        }
    };
    match failure.code {
        ErrorCode::ConstraintViolation => violation(failure.extended_code, message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Conflict(message),
        ErrorCode::ReadOnly => Error::ReadOnly(message),
        ErrorCode::AuthorizationForStatementDenied => Error::Denied(format!(
            "{message}: statements may not control transactions, change the connection, or reach \
             other files"
        )),
        ErrorCode::TooBig => Error::TooLarge(message),
        ErrorCode::OperationInterrupted => Error::Timeout(message),
        ErrorCode::CannotOpen | ErrorCode::NotADatabase => Error::Unavailable(message),
        _ => Error::Failed(Failure {
            code: Some(failure.extended_code.to_string()),
            message,
        }),
    }
}

fn violation(extended_code: i32, message: String) -> Error {
    let kind = match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => ConstraintKind::Unique,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        _ => ConstraintKind::Other,
    };
    // SQLite names columns, such as `UNIQUE constraint failed: links.code`.
    let name = message.split_once(": ").map(|(_, name)| name.to_owned());
    Error::Constraint(Violation {
        kind,
        name,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_numbers_that_they_are_named_after() {
        for (name, index, expected) in [
            (Some("$2"), 1, 2),
            (Some("?3"), 3, 3),
            (None, 4, 4),
            (Some(":name"), 2, 2),
        ] {
            assert_eq!(number(name, index), expected, "{name:?}");
        }
    }

    #[test]
    fn a_number_that_is_not_one_has_no_form() {
        let refused = bindable(&Value::Floating32(f32::NAN), 1);
        assert!(matches!(refused, Err(Error::UnsupportedType(_))));
    }
}
