//! The log lines of components, as server-sent events.

use super::{Actions, parse};
use crate::{problem::Problem, request::Query, stalled};
use axum::{
    extract::State,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, future::ready, stream};
use http::StatusCode;
use lattice_core::{
    error::chain,
    logs::{LogEvent, LogLevel},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most streams of log lines at once.
const STREAMS: usize = 16;
/// Most earlier lines that each host sends: as many as it keeps.
const MOST_RECENT: u32 = 1_000;

/// How many more streams of log lines there may be.
#[derive(Debug)]
pub(super) struct LogStreams(Arc<Semaphore>);

impl Default for LogStreams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

/// The lines that are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    component: Option<String>,
    #[serde(default = "default_recent")]
    recent: u32,
    #[serde(default)]
    level: Level,
}

fn default_recent() -> u32 {
    100
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    #[default]
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

pub(super) async fn logs(
    State(actions): State<Actions>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let component = wanted
        .component
        .as_deref()
        .map(parse::component)
        .transpose()?;
    if wanted.recent > MOST_RECENT {
        let why = format!("hosts keep {MOST_RECENT} lines at most");
        return Err(super::failed::bad_field("recent", why));
    }
    let permit = actions.0.logs.0.clone().try_acquire_owned().map_err(|_| {
        let what = format!("{STREAMS} streams of log lines are open already");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", what).next("close another one")
    })?;
    let lines = actions.lattice().logs(component, wanted.recent).await;
    let lines = lines.map_err(|error| {
        let what = "the log lines can't be read";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", what)
            .why(chain(&error))
            .next("try again when the bus is back")
    })?;
    let end = actions.0.state.in_service();
    let events = events(lines.take_until(end.cancelled_owned()), wanted.level.into());
    let limits = actions.0.state.limits();
    let keep_alive = KeepAlive::new().interval(limits.keep_alive);
    let response = Sse::new(held(events, permit)).keep_alive(keep_alive);
    Ok(stalled::limited(response.into_response(), limits.stall))
}

/// Keeps the permit for as long as the stream is read.
fn held<S: Stream>(events: S, permit: OwnedSemaphorePermit) -> impl Stream<Item = S::Item> {
    events.map(move |event| {
        let _ = &permit;
        event
    })
}

fn events(
    lines: impl Stream<Item = LogEvent> + Send + 'static,
    least: LogLevel,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let lines = lines.filter_map(move |event| ready(event_of(&event, least)));
    let end = stream::once(ready(named("end", &json!({}))));
    lines.chain(end).map(Ok)
}

/// Returns an event as it is sent, or `None` for a line of a lower level.
fn event_of(event: &LogEvent, least: LogLevel) -> Option<Event> {
    Some(match event {
        LogEvent::Line { line, .. } if line.level < least => return None,
        LogEvent::Line { host, line } => named(
            "line",
            &json!({
                "host": host,
                "component": line.component,
                "level": line.level.to_string(),
                "said_ms": line.said_ms,
                "text": line.text,
            }),
        ),
        LogEvent::Dropped { host, lines } => {
            named("dropped", &json!({ "host": host, "lines": lines }))
        }
        LogEvent::Missed { messages } => named("missed", &json!({ "messages": messages })),
        _ => return None,
    })
}

fn named(name: &str, data: &Value) -> Event {
    // JSON has no line breaks outside of texts, where they are escaped.
    Event::default().event(name).data(data.to_string())
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}
