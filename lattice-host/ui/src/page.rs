//! The paths of the page.

use crate::{
    actions,
    events::Events,
    files::File,
    guard::{Guard, guarded},
    problem::Problem,
    stalled,
    state::State,
};
use axum::{
    Json, Router,
    body::Body,
    extract::State as Given,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use lattice_core::constellation::SCHEMA;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Semaphore;

/// What the handlers of this module share.
#[derive(Debug, Clone)]
struct Page {
    state: State,
    events: Events,
    /// The streams that may still be opened.
    streams: Arc<Semaphore>,
}

/// What the page reads when it starts.
#[derive(Debug, Serialize)]
struct Config<'a> {
    version: &'static str,
    lattice: &'a str,
    read_only: bool,
    in_process: bool,
    max_body: u32,
}

/// Returns everything that is served, behind its guard.
pub(crate) fn router(state: State, guard: Guard) -> Router {
    let limits = state.limits();
    let page = Page {
        events: Events::new(
            state.lattice().clone(),
            limits.keep_alive,
            state.in_service(),
        ),
        streams: Arc::new(Semaphore::new(limits.streams.max(1) as usize)),
        state: state.clone(),
    };
    Router::new()
        .route("/api/config", get(config))
        .route("/api/stream", get(stream_of_changes))
        .route("/api/view", get(view))
        .route("/api/schema.json", get(schema))
        .with_state(page)
        .merge(actions::routes(state))
        .fallback(file)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(guard, guarded))
}

async fn config(Given(page): Given<Page>) -> Response {
    let (state, lattice) = (&page.state, page.state.lattice());
    Json(Config {
        version: env!("CARGO_PKG_VERSION"),
        lattice: lattice.name().as_str(),
        read_only: state.is_read_only(),
        in_process: lattice.is_in_process(),
        max_body: state.limits().body,
    })
    .into_response()
}

async fn view(Given(page): Given<Page>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        page.events.snapshot().await,
    )
        .into_response()
}

async fn schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], SCHEMA).into_response()
}

async fn stream_of_changes(
    Given(page): Given<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = page.streams.clone().try_acquire_owned().map_err(|_| {
        let what = "too many pages are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", what)
            .why(format!(
                "at most {} may follow the constellation at once",
                page.state.limits().streams.max(1)
            ))
            .next("close a page that nobody looks at, and reload this one")
    })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let reader = page.events.read(last);
    let pieces = stream::unfold((reader, permit), async |(mut reader, permit)| {
        let piece = reader.next().await?;
        Some((Ok::<Bytes, Infallible>(piece), (reader, permit)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Proxies must not wait until they have more.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let response = (headers, Body::from_stream(pieces)).into_response();
    Ok(stalled::limited(response, page.state.limits().stall))
}

/// Everything that has no path of its own: the files of the page.
async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    match File::at(uri.path()) {
        Some(file) if matches!(method, Method::GET | Method::HEAD) => file.respond(&headers),
        Some(_) => wrong_method(method).await,
        None => {
            let what = format!("there is nothing at `{}`", uri.path());
            let problem = Problem::new(StatusCode::NOT_FOUND, "no-such-path", what);
            problem
                .next("reload the page: it may be one of another version")
                .into_response()
        }
    }
}

async fn wrong_method(method: Method) -> Response {
    let what = format!("{method} means nothing here");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", what);
    problem
        .next("read with GET, and change with POST")
        .into_response()
}
