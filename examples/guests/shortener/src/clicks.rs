//! Clicks: those that are published, and what was counted of them.
//!
//! The counter creates the tables with the first click. Until then, nothing was counted.

use crate::{clock, links::Link, problem::Problem, random};
use lattice_actor_sdk::{
    messaging::{BrokerMessage, consumer},
    sql::database::{Connection, Error, Value},
};
use serde::Serialize;

/// The subject of clicks.
const SUBJECT: &str = "shortener.clicks";
/// How long it is remembered which clicks were counted, in days: longer than one that couldn't be
/// delivered is kept.
const REMEMBERED: u64 = 7;

/// A click, as it is published.
#[derive(Serialize)]
struct Click<'a> {
    /// By which the counter knows a click that it is given twice.
    id: &'a str,
    link: &'a str,
    /// The day in UTC.
    day: &'a str,
}

/// The clicks of one day.
#[derive(Debug, Serialize)]
pub(crate) struct Day {
    pub(crate) day: String,
    pub(crate) clicks: i64,
}

/// Publishes that a link was followed.
pub(crate) fn publish(link: &Link, now: u64) -> Result<(), String> {
    let click = Click {
        id: &random::name(26),
        link: &link.id,
        day: &clock::day(now),
    };
    let body = serde_json::to_vec(&click).map_err(|error| error.to_string())?;
    consumer::publish(&BrokerMessage {
        subject: SUBJECT.to_owned(),
        body,
        reply_to: None,
    })
}

/// Returns the days on which a link was followed, the latest one first.
pub(crate) fn by_day(link: &Link) -> Result<Vec<Day>, Problem> {
    let found = Connection::new().query(
        "SELECT day, clicks FROM clicks WHERE link = $1 ORDER BY day DESC",
        &[text(&link.id)],
    );
    let rows = match found {
        Ok(found) => found.rows,
        Err(Error::Syntax(_)) => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let days = rows.into_iter().map(|row| match row.as_slice() {
        [Value::Str(day), Value::Int64(clicks)] => Ok(Day {
            day: day.clone(),
            clicks: *clicks,
        }),
        _ => Err(unavailable("a row has other types than were stored")),
    });
    days.collect()
}

/// Deletes what was counted of a link.
pub(crate) fn forget(link: &Link) -> Result<(), Problem> {
    delete("DELETE FROM clicks WHERE link = $1", &link.id)
}

/// Deletes which clicks were counted a long time ago.
pub(crate) fn forget_counted(now: u64) -> Result<(), Problem> {
    let day = clock::day_before(now, REMEMBERED);
    delete("DELETE FROM counted WHERE day < $1", &day)
}

fn delete(statement: &str, parameter: &str) -> Result<(), Problem> {
    match Connection::new().execute(statement, &[text(parameter)]) {
        Ok(_) | Err(Error::Syntax(_)) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

/// No error repeats a parameter.
fn failed(error: &Error) -> Problem {
    unavailable(&format!("{error:?}"))
}

fn unavailable(reason: &str) -> Problem {
    Problem::Unavailable(format!("the statistics: {reason}"))
}
