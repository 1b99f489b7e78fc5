//! Values of rows, from the server's binary forms.

use crate::sql::{
    calendar::{self, DAY},
    database::{Error, Interval, Row, Value},
};
use bytes::Buf;
use std::error;
use tokio_postgres::types::{FromSql, Kind, Type};

/// Days from 1970-01-01 to 2000-01-01, from which the server counts.
const EPOCH_DAYS: i32 = 10_957;

/// The bytes of a value; none is null.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Refuses columns whose types have no form here, before a statement runs.
pub(super) fn check(columns: &[tokio_postgres::Column]) -> Result<(), Error> {
    let unsupported = columns.iter().find(|column| form(column.type_()).is_none());
    match unsupported {
        None => Ok(()),
        Some(column) => Err(Error::UnsupportedType(format!(
            "column `{}` has the type `{}`; cast it to text",
            column.name(),
            column.type_().name()
        ))),
    }
}

/// Returns the values of a row.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(index, column)| {
        let of_column =
            |reason: &str| Error::UnsupportedType(format!("column `{}` {reason}", column.name()));
        let raw: Raw<'_> = row
            .try_get(index)
            .map_err(|error| of_column(&error.to_string()))?;
        let Some(bytes) = raw.0 else {
            return Ok(Value::Null);
        };
        let form = form(column.type_()).ok_or_else(|| of_column("has an unknown type"))?;
        form(&mut &*bytes).ok_or_else(|| {
            of_column("has a value that this interface can't express; cast it to text")
        })
    });
    values.collect()
}

/// Reads a value of one type. `None` if it is none, or one without an equal.
type Form = fn(&mut &[u8]) -> Option<Value>;

/// Returns how to read the values of a type.
fn form(ty: &Type) -> Option<Form> {
    match ty.kind() {
        Kind::Domain(inner) => return form(inner),
        Kind::Enum(_) => return Some(string),
        _ => {}
    }
    let form: Form = match *ty {
        Type::VOID => |_| Some(Value::Null),
        Type::BOOL => |raw| boolean(raw).map(Value::Boolean),
        Type::CHAR => |raw| raw.try_get_i8().ok().map(Value::Int8),
        Type::INT2 => |raw| raw.try_get_i16().ok().map(Value::Int16),
        Type::INT4 => |raw| raw.try_get_i32().ok().map(Value::Int32),
        Type::INT8 => |raw| raw.try_get_i64().ok().map(Value::Int64),
        Type::OID => |raw| raw.try_get_u32().ok().map(|id| Value::Int64(id.into())),
        Type::FLOAT4 => |raw| raw.try_get_f32().ok().map(Value::Floating32),
        Type::FLOAT8 => |raw| raw.try_get_f64().ok().map(Value::Floating64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
            string
        }
        Type::BYTEA => |raw| Some(Value::Binary(raw.to_vec().into())),
        Type::DATE => date,
        Type::TIME => time,
        Type::TIMESTAMP => |raw| calendar::datetime(moment(raw)?).map(Value::Datetime),
        Type::TIMESTAMPTZ => |raw| moment(raw).map(Value::Timestamp),
        Type::INTERVAL => interval,
        Type::UUID => |raw| uuid(raw).map(Value::Uuid),
        Type::NUMERIC => |raw| decimal(raw).map(Value::Decimal),
        Type::JSON => |raw| text(raw).map(Value::Json),
        Type::JSONB => jsonb,
        Type::BOOL_ARRAY => |raw| array(raw, boolean).map(Value::ArrayBoolean),
        Type::INT2_ARRAY => {
            |raw| array(raw, |raw| raw.try_get_i16().ok().map(i32::from)).map(Value::ArrayInt32)
        }
        Type::INT4_ARRAY => |raw| array(raw, |raw| raw.try_get_i32().ok()).map(Value::ArrayInt32),
        Type::INT8_ARRAY => |raw| array(raw, |raw| raw.try_get_i64().ok()).map(Value::ArrayInt64),
        Type::FLOAT4_ARRAY => |raw| {
            array(raw, |raw| raw.try_get_f32().ok().map(f64::from)).map(Value::ArrayFloating64)
        },
        Type::FLOAT8_ARRAY => {
            |raw| array(raw, |raw| raw.try_get_f64().ok()).map(Value::ArrayFloating64)
        }
        Type::NUMERIC_ARRAY => |raw| array(raw, decimal).map(Value::ArrayDecimal),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY | Type::NAME_ARRAY => {
            |raw| array(raw, text).map(Value::ArrayStr)
        }
        Type::UUID_ARRAY => |raw| array(raw, uuid).map(Value::ArrayStr),
        _ => return None,
    };
    Some(form)
}

fn string(raw: &mut &[u8]) -> Option<Value> {
    text(raw).map(Value::Str)
}

fn text(raw: &mut &[u8]) -> Option<String> {
    str::from_utf8(raw).ok().map(str::to_owned)
}

fn boolean(raw: &mut &[u8]) -> Option<bool> {
    raw.try_get_u8().ok().map(|value| value != 0)
}

/// `infinity` and `-infinity` are the largest and the smallest number.
fn date(raw: &mut &[u8]) -> Option<Value> {
    let days = raw.try_get_i32().ok()?;
    let is_finite = days != i32::MAX && days != i32::MIN;
    let days = days.checked_add(EPOCH_DAYS).filter(|_| is_finite)?;
    Some(Value::Date(calendar::date(days)))
}

/// `24:00` has no equal.
fn time(raw: &mut &[u8]) -> Option<Value> {
    let micros = raw.try_get_i64().ok()?;
    let is_in_day = (0..DAY).contains(&micros);
    is_in_day.then(|| Value::Time(calendar::time(micros)))
}

/// Returns microseconds since 1970. `infinity` and `-infinity` have no equal.
fn moment(raw: &mut &[u8]) -> Option<i64> {
    let micros = raw.try_get_i64().ok()?;
    let is_finite = micros != i64::MAX && micros != i64::MIN;
    let epoch = i64::from(EPOCH_DAYS) * DAY;
    micros.checked_add(epoch).filter(|_| is_finite)
}

fn interval(raw: &mut &[u8]) -> Option<Value> {
    let microseconds = raw.try_get_i64().ok()?;
    let days = raw.try_get_i32().ok()?;
    let months = raw.try_get_i32().ok()?;
    Some(Value::Interval(Interval {
        months,
        days,
        microseconds,
    }))
}

fn uuid(raw: &mut &[u8]) -> Option<String> {
    let number = raw.try_get_u128().ok()?;
    let hex = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
    Some(parts.join("-"))
}

/// A version, 1, comes before the text.
fn jsonb(raw: &mut &[u8]) -> Option<Value> {
    let version = raw.try_get_u8().ok()?;
    let text = text(raw)?;
    (version == 1).then_some(Value::Json(text))
}

/// Returns a number that comes as digits to base 10,000, with the weight of the first one.
fn decimal(raw: &mut &[u8]) -> Option<String> {
    let count = raw.try_get_u16().ok()?;
    let weight = i32::from(raw.try_get_i16().ok()?);
    let sign = raw.try_get_u16().ok()?;
    let scale = usize::from(raw.try_get_u16().ok()?);
    let mut number = match sign {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let digits: Option<Vec<u16>> = (0..count).map(|_| raw.try_get_u16().ok()).collect();
    let digits = digits?;
    let digit = |at: i32| {
        let digit = usize::try_from(at).ok().and_then(|at| digits.get(at));
        digit.copied().unwrap_or(0)
    };
    let text = |digits: &mut dyn Iterator<Item = i32>| {
        let digits: Vec<String> = digits.map(|at| format!("{:04}", digit(at))).collect();
        digits.concat()
    };
    let whole = text(&mut (0..=weight));
    let whole = whole.trim_start_matches('0');
    number += if whole.is_empty() { "0" } else { whole };
    if scale > 0 {
        // The first digit after the point is the one of weight -1.
        let after = text(&mut (weight + 1..).take(scale.div_ceil(4)));
        number.push('.');
        number += after.get(..scale)?;
    }
    Some(number)
}

/// Reads an array of one dimension, or none. One of several has no equal.
fn array<T>(raw: &mut &[u8], element: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<Option<T>>> {
    let dimensions = raw.try_get_i32().ok()?;
    let _has_nulls = raw.try_get_i32().ok()?;
    let _type = raw.try_get_u32().ok()?;
    if dimensions == 0 {
        return Some(Vec::new());
    }
    if dimensions != 1 {
        return None;
    }
    let count = raw.try_get_i32().ok()?;
    let _first_index = raw.try_get_i32().ok()?;
    // Each has a length of 4 bytes, so a wrong count takes no more memory than what came.
    let mut elements = Vec::with_capacity(usize::try_from(count).ok()?.min(raw.len() / 4));
    for _ in 0..count {
        let length = raw.try_get_i32().ok()?;
        if length == -1 {
            elements.push(None);
            continue;
        }
        let (mut own, rest) = raw.split_at_checked(usize::try_from(length).ok()?)?;
        elements.push(Some(element(&mut own)?));
        *raw = rest;
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's form of a number: the weight, sign, scale and digits.
    fn number(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Option<String> {
        let count = digits.len() as u16;
        let head = [count, weight as u16, sign, scale];
        let words = head.iter().chain(digits);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_be_bytes()).collect();
        decimal(&mut &*bytes)
    }

    #[test]
    fn decimals_have_all_their_digits() {
        for (weight, sign, scale, digits, expected) in [
            (0, 0, 0, vec![], "0"),
            (0, 0, 2, vec![], "0.00"),
            (1, 0, 0, vec![1, 2], "10002"),
            (2, 0, 0, vec![5], "500000000"),
            (0, 0x4000, 2, vec![12, 5_000], "-12.50"),
            (-1, 0, 4, vec![1], "0.0001"),
            (-2, 0, 9, vec![1, 2_000], "0.000000012"),
            (0, 0xC000, 0, vec![], "NaN"),
        ] {
            let number = number(weight, sign, scale, &digits);
            assert_eq!(number.as_deref(), Some(expected));
        }
    }

    #[test]
    fn malformed_values_have_no_form() {
        assert_eq!(decimal(&mut &[0, 9, 0, 0, 0, 0, 0, 0][..]), None);
        assert_eq!(number(0, 7, 0, &[]), None);
        // An array of a length that isn't there, and of one that isn't one.
        for count in [i32::MAX, -1] {
            let words = [1, 0, 23, count, 1];
            let bytes: Vec<u8> = words
                .iter()
                .flat_map(|word: &i32| word.to_be_bytes())
                .collect();
            let read = array(&mut &*bytes, |raw| raw.try_get_i32().ok());
            assert_eq!(read, None, "{count}");
        }
        assert!(date(&mut &i32::MAX.to_be_bytes()[..]).is_none());
        assert!(moment(&mut &i64::MIN.to_be_bytes()[..]).is_none());
        assert!(time(&mut &DAY.to_be_bytes()[..]).is_none());
    }
}
