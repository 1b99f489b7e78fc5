//! Parameters, most of them as texts: the server reads them as its own types.

use super::{
    floats::{to_f32, to_f64},
    types::{
        Date, Interval, Lexeme, LexemeWeight, Offset, PgValue, Point, Time, TimeTz, Timestamp,
        TimestampTz,
    },
};
use crate::sql::{
    calendar,
    database::{self, Error, Value},
    postgres::encode::{array, hex, quoted},
};
use lattice_provider_sdk::Bytes;

/// Returns a parameter, or why it can't be one.
pub(super) fn value(value: PgValue) -> Result<Value, String> {
    Ok(match value {
        PgValue::Null => Value::Null,
        PgValue::Bool(value) | PgValue::Boolean(value) => Value::Boolean(value),
        PgValue::SmallInt(number)
        | PgValue::Int2(number)
        | PgValue::SmallSerial(number)
        | PgValue::Serial2(number) => Value::Int16(number),
        PgValue::Integer(number) | PgValue::Int(number) | PgValue::Int4(number) => {
            Value::Int32(number)
        }
        PgValue::Serial(number) | PgValue::Serial4(number) => Value::Int64(number.into()),
        PgValue::BigInt(number)
        | PgValue::Int8(number)
        | PgValue::BigSerial(number)
        | PgValue::Serial8(number)
        | PgValue::TxidSnapshot(number) => Value::Int64(number),
        PgValue::Real(number) | PgValue::Float4(number) => Value::Floating32(to_f32(&number)),
        PgValue::Double(number) | PgValue::Float8(number) => Value::Floating64(to_f64(&number)),
        PgValue::Bytea(bytes) => Value::Binary(bytes),
        PgValue::Numeric(text)
        | PgValue::Decimal(text)
        | PgValue::Money(text)
        | PgValue::Cidr(text)
        | PgValue::Inet(text)
        | PgValue::Json(text)
        | PgValue::Jsonb(text)
        | PgValue::Name(text)
        | PgValue::Text(text)
        | PgValue::Xml(text)
        | PgValue::TsQuery(text)
        | PgValue::Uuid(text) => Value::Str(text),
        other => Value::Str(text_of(other)?),
    })
}

/// Returns the text of a value that isn't a plain one.
fn text_of(value: PgValue) -> Result<String, String> {
    Ok(match value {
        PgValue::Bit((bits, bytes)) => bits_text(&bytes, Some(bits))?,
        PgValue::BitVarying((bits, bytes)) | PgValue::Varbit((bits, bytes)) => {
            bits_text(&bytes, bits)?
        }
        PgValue::Char((_, bytes)) | PgValue::Varchar((_, bytes)) => characters(&bytes)?,
        PgValue::Macaddr(address) => hex(&<[u8; 6]>::from(address.bytes))[2..].to_owned(),
        PgValue::Macaddr8(address) => hex(&<[u8; 8]>::from(address.bytes))[2..].to_owned(),
        PgValue::Box((one, other)) => format!("{},{}", point(&one), point(&other)),
        PgValue::Circle((center, radius)) => {
            format!("<{},{:?}>", point(&center), to_f64(&radius))
        }
        PgValue::Line((start, end)) | PgValue::Lseg((start, end)) => {
            format!("[{},{}]", point(&start), point(&end))
        }
        PgValue::Path(points) => format!("[{}]", all(&points)),
        PgValue::Point(at) => point(&at),
        PgValue::Polygon(points) => format!("({})", all(&points)),
        PgValue::Date(date) => date_text(&date)?,
        PgValue::Interval(days) => range(&days)?,
        PgValue::Time(time) => time_text(&time)?,
        PgValue::TimeTz(TimeTz { timesonze, time }) => {
            format!("{} {timesonze}", time_text(&time)?)
        }
        PgValue::Timestamp(timestamp) => timestamp_text(&timestamp, "")?,
        PgValue::TimestampTz(moment) => moment_text(&moment)?,
        PgValue::PgLsn(position) => lsn(position),
        PgValue::PgSnapshot((xmin, xmax, list)) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            format!("{xmin}:{xmax}:{}", list.join(","))
        }
        PgValue::TsVector(lexemes) => {
            let lexemes: Vec<String> = lexemes.iter().map(lexeme).collect();
            lexemes.join(" ")
        }
        PgValue::Hstore(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| {
                let value = value.as_deref().map_or("NULL".to_owned(), quoted);
                format!("{}=>{value}", quoted(key))
            });
            pairs.collect::<Vec<_>>().join(",")
        }
        other => array_of(other)?,
    })
}

/// Returns the text of an array.
fn array_of(value: PgValue) -> Result<String, String> {
    Ok(match value {
        PgValue::Int8Array(list) => plain(list),
        PgValue::BoolArray(list) => plain(list),
        PgValue::Int4Array(list) => plain(list),
        PgValue::Int2Array(list) => plain(list),
        PgValue::Int2Vector(list) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            list.join(" ")
        }
        PgValue::Int2VectorArray(lists) => {
            let lists: Vec<String> = lists.into_iter().map(plain).collect();
            format!("{{{}}}", lists.join(","))
        }
        PgValue::Float8Array(list) => plain(list.iter().map(to_f64)),
        PgValue::Float4Array(list) => plain(list.iter().map(to_f32)),
        PgValue::NumericArray(list)
        | PgValue::MoneyArray(list)
        | PgValue::CidrArray(list)
        | PgValue::InetArray(list)
        | PgValue::JsonArray(list)
        | PgValue::JsonbArray(list)
        | PgValue::NameArray(list)
        | PgValue::TextArray(list)
        | PgValue::XmlArray(list)
        | PgValue::UuidArray(list) => texts(list.into_iter().map(Ok))?,
        PgValue::BitArray(list) => elements(list, PgValue::Bit)?,
        PgValue::VarbitArray(list) => elements(list, PgValue::Varbit)?,
        PgValue::ByteaArray(list) => texts(list.iter().map(|bytes| Ok(hex(bytes))))?,
        PgValue::CharArray(list) => elements(list, PgValue::Char)?,
        PgValue::VarcharArray(list) => elements(list, PgValue::Varchar)?,
        PgValue::MacaddrArray(list) => elements(list, PgValue::Macaddr)?,
        PgValue::Macaddr8Array(list) => elements(list, PgValue::Macaddr8)?,
        // Arrays of boxes alone are separated by semicolons.
        PgValue::BoxArray(list) => elements(list, PgValue::Box)?.replace("\",\"", "\";\""),
        PgValue::CircleArray(list) => elements(list, PgValue::Circle)?,
        PgValue::LineArray(list) => elements(list, PgValue::Line)?,
        PgValue::LsegArray(list) => elements(list, PgValue::Lseg)?,
        PgValue::PathArray(list) => elements(list, PgValue::Path)?,
        PgValue::PointArray(list) => elements(list, PgValue::Point)?,
        PgValue::PolygonArray(list) => elements(list, PgValue::Polygon)?,
        PgValue::DateArray(list) => elements(list, PgValue::Date)?,
        PgValue::IntervalArray(list) => elements(list, PgValue::Interval)?,
        PgValue::TimeArray(list) => elements(list, PgValue::Time)?,
        PgValue::TimeTzArray(list) => elements(list, PgValue::TimeTz)?,
        PgValue::TimestampArray(list) => elements(list, PgValue::Timestamp)?,
        PgValue::TimestampTzArray(list) => elements(list, PgValue::TimestampTz)?,
        PgValue::PgLsnArray(list) => texts(list.into_iter().map(|position| Ok(lsn(position))))?,
        _ => return Err("the parameter has no text".to_owned()),
    })
}

fn plain<T: std::fmt::Debug>(list: impl IntoIterator<Item = T>) -> String {
    let list: Vec<Option<T>> = list.into_iter().map(Some).collect();
    array(&list, |value| format!("{value:?}"))
}

fn elements<T>(list: Vec<T>, case: fn(T) -> PgValue) -> Result<String, String> {
    texts(list.into_iter().map(|element| text_of(case(element))))
}

fn texts(list: impl Iterator<Item = Result<String, String>>) -> Result<String, String> {
    let list = list.map(|text| text.map(Some));
    let list = list.collect::<Result<Vec<_>, _>>()?;
    Ok(array(&list, |text| quoted(text)))
}

/// Returns bits as text. The first one is the highest of the first byte.
fn bits_text(bytes: &Bytes, count: Option<u32>) -> Result<String, String> {
    let all = bytes.len() * 8;
    let count = count.map_or(all, |count| count as usize);
    if count > all {
        return Err(format!("there are {all} bits, and {count} are meant"));
    }
    let bit = |at: usize| {
        if bytes[at / 8] >> (7 - at % 8) & 1 == 1 {
            '1'
        } else {
            '0'
        }
    };
    Ok((0..count).map(bit).collect())
}

fn characters(bytes: &Bytes) -> Result<String, String> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| "the characters aren't UTF-8".to_owned())
}

fn point((x, y): &Point) -> String {
    format!("({:?},{:?})", to_f64(x), to_f64(y))
}

fn all(points: &[Point]) -> String {
    points.iter().map(point).collect::<Vec<_>>().join(",")
}

fn date_text(date: &Date) -> Result<String, String> {
    match *date {
        Date::PositiveInfinity => Ok("infinity".to_owned()),
        Date::NegativeInfinity => Ok("-infinity".to_owned()),
        Date::Ymd(_) => calendar::date_text(&day(date)?).map_err(reason),
    }
}

fn day(date: &Date) -> Result<database::Date, String> {
    let Date::Ymd((year, month, day)) = *date else {
        return Err("a time of an infinite day isn't supported".to_owned());
    };
    let small = |number: u32| u8::try_from(number).map_err(|_| "there is no such day".to_owned());
    Ok(database::Date {
        year,
        month: small(month)?,
        day: small(day)?,
    })
}

fn of_day(time: &Time) -> Result<database::Time, String> {
    let small = |number: u32| u8::try_from(number).map_err(|_| "there is no such time".to_owned());
    Ok(database::Time {
        hour: small(time.hour)?,
        minute: small(time.min)?,
        second: small(time.sec)?,
        microsecond: time.micro,
    })
}

fn time_text(time: &Time) -> Result<String, String> {
    calendar::time_text(&of_day(time)?).map_err(reason)
}

fn timestamp_text(timestamp: &Timestamp, zone: &str) -> Result<String, String> {
    let datetime = database::Datetime {
        date: day(&timestamp.date)?,
        time: of_day(&timestamp.time)?,
    };
    let text = calendar::datetime_text(&datetime).map_err(reason)?;
    // The era comes last.
    Ok(match text.strip_suffix(" BC") {
        Some(text) => format!("{text}{zone} BC"),
        None => text + zone,
    })
}

fn moment_text(moment: &TimestampTz) -> Result<String, String> {
    let (east, seconds) = match moment.offset {
        Offset::EasternHemisphereSecs(seconds) => (seconds >= 0, seconds.unsigned_abs()),
        Offset::WesternHemisphereSecs(seconds) => (seconds < 0, seconds.unsigned_abs()),
    };
    let sign = if east { '+' } else { '-' };
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    timestamp_text(
        &moment.timestamp,
        &format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    )
}

fn range(days: &Interval) -> Result<String, String> {
    let start = if days.start_inclusive { '[' } else { '(' };
    let end = if days.end_inclusive { ']' } else { ')' };
    let (first, last) = (date_text(&days.start)?, date_text(&days.end)?);
    Ok(format!("{start}{first},{last}{end}"))
}

fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & u64::from(u32::MAX))
}

fn lexeme(lexeme: &Lexeme) -> String {
    let word = lexeme.data.replace('\\', "\\\\").replace('\'', "''");
    let Some(position) = lexeme.position else {
        return format!("'{word}'");
    };
    let weight = match lexeme.weight {
        Some(LexemeWeight::A) => "A",
        Some(LexemeWeight::B) => "B",
        Some(LexemeWeight::C) => "C",
        Some(LexemeWeight::D) | None => "",
    };
    format!("'{word}':{position}{weight}")
}

fn reason(error: Error) -> String {
    match error {
        Error::Parameter(reason) => reason,
        error => error.to_string(),
    }
}
