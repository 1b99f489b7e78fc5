//! Rows as the interface has them.

use super::{
    floats::{of_f32, of_f64},
    types::{Date, Offset, PgValue, ResultRow, ResultRowEntry, Time, Timestamp, TimestampTz},
};
use crate::sql::{
    calendar,
    database::{self, RowSet, Value},
};

/// Returns rows with the cases of their columns' types.
pub(super) fn rows(set: RowSet) -> Result<Vec<ResultRow>, String> {
    let RowSet { columns, rows } = set;
    let rows = rows.into_iter().map(|row| {
        let entries = row.into_iter().zip(&columns).map(|(value, column)| {
            let ty = column.type_name.as_deref().unwrap_or_default();
            let value = value_of(value, ty).ok_or_else(|| {
                format!(
                    "column `{}` has a value without a case; cast it to text",
                    column.name
                )
            })?;
            Ok(ResultRowEntry {
                column_name: column.name.clone(),
                value,
            })
        });
        entries.collect()
    });
    rows.collect()
}

/// Returns a value with the case of its type. `None` if there is none.
fn value_of(value: Value, ty: &str) -> Option<PgValue> {
    Some(match value {
        Value::Null => PgValue::Null,
        Value::Boolean(value) => PgValue::Bool(value),
        Value::Int8(value) => PgValue::Char((1, vec![value as u8].into())),
        Value::Int16(value) => PgValue::Int2(value),
        Value::Int32(value) => PgValue::Int4(value),
        Value::Int64(value) => PgValue::Int8(value),
        Value::Floating32(value) => PgValue::Float4(of_f32(value)),
        Value::Floating64(value) => PgValue::Float8(of_f64(value)),
        Value::Str(text) => match ty {
            "varchar" => PgValue::Varchar((None, text.into())),
            "bpchar" => PgValue::Char((u32::try_from(text.len()).ok()?, text.into())),
            "name" => PgValue::Name(text),
            "xml" => PgValue::Xml(text),
            _ => PgValue::Text(text),
        },
        Value::Binary(bytes) => PgValue::Bytea(bytes),
        Value::Date(date) => PgValue::Date(day(date)),
        Value::Time(time) => PgValue::Time(of_day(time)),
        Value::Datetime(datetime) => PgValue::Timestamp(timestamp(datetime)),
        Value::Timestamp(micros) => PgValue::TimestampTz(TimestampTz {
            timestamp: timestamp(calendar::datetime(micros)?),
            offset: Offset::WesternHemisphereSecs(0),
        }),
        Value::Uuid(text) => PgValue::Uuid(text),
        Value::Decimal(text) => PgValue::Numeric(text),
        Value::Json(text) if ty == "jsonb" => PgValue::Jsonb(text),
        Value::Json(text) => PgValue::Json(text),
        Value::Interval(_) => return None,
        Value::ArrayBoolean(list) => PgValue::BoolArray(whole(list)?),
        Value::ArrayInt32(list) if ty == "_int2" => {
            let list = whole(list)?.into_iter().map(i16::try_from);
            PgValue::Int2Array(list.collect::<Result<_, _>>().ok()?)
        }
        Value::ArrayInt32(list) => PgValue::Int4Array(whole(list)?),
        Value::ArrayInt64(list) => PgValue::Int8Array(whole(list)?),
        Value::ArrayFloating64(list) if ty == "_float4" => {
            let list = whole(list)?.into_iter().map(|number| of_f32(number as f32));
            PgValue::Float4Array(list.collect())
        }
        Value::ArrayFloating64(list) => {
            PgValue::Float8Array(whole(list)?.into_iter().map(of_f64).collect())
        }
        Value::ArrayDecimal(list) => PgValue::NumericArray(whole(list)?),
        Value::ArrayStr(list) => match ty {
            "_uuid" => PgValue::UuidArray(whole(list)?),
            "_name" => PgValue::NameArray(whole(list)?),
            "_varchar" => {
                let list = whole(list)?.into_iter().map(|text| (None, text.into()));
                PgValue::VarcharArray(list.collect())
            }
            _ => PgValue::TextArray(whole(list)?),
        },
    })
}

/// Returns the elements of an array, if none is null.
fn whole<T>(list: Vec<Option<T>>) -> Option<Vec<T>> {
    list.into_iter().collect()
}

fn day(date: database::Date) -> Date {
    Date::Ymd((date.year, date.month.into(), date.day.into()))
}

fn of_day(time: database::Time) -> Time {
    Time {
        hour: time.hour.into(),
        min: time.minute.into(),
        sec: time.second.into(),
        micro: time.microsecond,
    }
}

fn timestamp(datetime: database::Datetime) -> Timestamp {
    Timestamp {
        date: day(datetime.date),
        time: of_day(datetime.time),
    }
}
