//! Parameters, as texts that the server reads as a value of the parameter's type. They are sent
//! beside the statement, and never become a part of it.

use crate::sql::{
    calendar,
    database::{Error, Interval, Value},
};
use bytes::BytesMut;
use std::{error, fmt, fmt::Write};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

/// A parameter; none is null.
pub(super) struct Parameter(Option<String>);

/// Without the value, which may be secret.
impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parameter")
    }
}

impl ToSql for Parameter {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn error::Error + Sync + Send>> {
        let Some(text) = &self.0 else {
            return Ok(IsNull::Yes);
        };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

impl Parameter {
    /// Returns the parameter of a value.
    pub(super) fn new(value: Value) -> Result<Self, Error> {
        let text = match value {
            Value::Null => return Ok(Self(None)),
            Value::Boolean(value) => value.to_string(),
            Value::Int8(value) => value.to_string(),
            Value::Int16(value) => value.to_string(),
            Value::Int32(value) => value.to_string(),
            Value::Int64(value) => value.to_string(),
            // These have an exponent rather than hundreds of digits.
            Value::Floating32(value) => format!("{value:?}"),
            Value::Floating64(value) => format!("{value:?}"),
            Value::Str(text) | Value::Uuid(text) | Value::Decimal(text) | Value::Json(text) => text,
            Value::Binary(bytes) => hex(&bytes),
            Value::Date(date) => calendar::date_text(&date)?,
            Value::Time(time) => calendar::time_text(&time)?,
            Value::Datetime(datetime) => calendar::datetime_text(&datetime)?,
            Value::Timestamp(micros) => calendar::timestamp_text(micros)?,
            Value::Interval(Interval {
                months,
                days,
                microseconds,
            }) => format!("{months} months {days} days {microseconds} microseconds"),
            Value::ArrayBoolean(list) => array(&list, ToString::to_string),
            Value::ArrayInt32(list) => array(&list, ToString::to_string),
            Value::ArrayInt64(list) => array(&list, ToString::to_string),
            Value::ArrayFloating64(list) => array(&list, |value| format!("{value:?}")),
            Value::ArrayDecimal(list) | Value::ArrayStr(list) => array(&list, |text| quoted(text)),
        };
        Ok(Self(Some(text)))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn array<T>(list: &[Option<T>], element: impl Fn(&T) -> String) -> String {
    let elements = list.iter().map(|value| match value {
        Some(value) => element(value),
        None => "NULL".to_owned(),
    });
    let elements: Vec<String> = elements.collect();
    format!("{{{}}}", elements.join(","))
}

pub(super) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> Option<String> {
        Parameter::new(value).expect("it has a form").0
    }

    #[test]
    fn arrays_keep_nulls_quotes_and_separators() {
        let list = [Some("a\"b\\c,{}"), None, Some("NULL"), Some("")];
        let list = list.map(|text| text.map(str::to_owned)).to_vec();
        assert_eq!(
            text(Value::ArrayStr(list)).as_deref(),
            Some(r#"{"a\"b\\c,{}",NULL,"NULL",""}"#)
        );
        assert_eq!(text(Value::ArrayInt32(Vec::new())).as_deref(), Some("{}"));
    }

    #[test]
    fn numbers_and_bytes_are_as_the_server_reads_them() {
        for (value, expected) in [
            (Value::Floating64(f64::NEG_INFINITY), "-inf"),
            (Value::Floating64(1e300), "1e300"),
            (Value::Floating32(f32::NAN), "NaN"),
            (Value::Binary(vec![0, 255].into()), "\\x00ff"),
            (Value::Int64(i64::MIN), "-9223372036854775808"),
        ] {
            assert_eq!(text(value).as_deref(), Some(expected));
        }
        assert_eq!(text(Value::Null), None);
    }
}
