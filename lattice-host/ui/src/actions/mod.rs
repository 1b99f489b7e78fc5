//! What a person does on the page: links, wormholes, apps, calls, and questions.
//!
//! Each module has the paths of one subject. Everything is done in the operator's name, with what
//! any holder of the lattice's key may do, and nothing that may be secret is sent: configs, hashes
//! of passwords and values of secrets stay here.

mod apps;
mod call;
mod config;
mod explain;
mod export;
mod failed;
mod failures;
mod fits;
mod form;
mod hosts;
mod interfaces;
mod links;
mod logs;
mod next;
mod parse;
mod plan;
mod undo;
mod undoing;
mod wormholes;

use crate::{problem::Problem, state::State};
use axum::{
    Router,
    routing::{get, post},
};
use failures::Failures;
use http::StatusCode;
use lattice_core::Lattice;
use logs::LogStreams;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};
use undo::Changes;

/// The paths of requests by POST that change nothing.
pub(crate) const READS: &[&str] = &["/api/links/check", "/api/apps/plan"];

/// How long an answer may take that only reads.
const READING: Duration = Duration::from_secs(10);
/// How long a change waits for the one before it: as long as writing to the store may take.
const TURN: Duration = Duration::from_secs(10);

/// What the actions share.
#[derive(Clone)]
pub(crate) struct Actions(Arc<Inner>);

struct Inner {
    state: State,
    /// One change at a time, so that the last one can be undone.
    changes: Mutex<Changes>,
    failures: Failures,
    logs: LogStreams,
}

impl Actions {
    fn lattice(&self) -> &Lattice {
        self.0.state.lattice()
    }

    /// Waits until no other change is made here, and returns the changes that were.
    async fn turn(&self) -> Result<MutexGuard<'_, Changes>, Problem> {
        let turn = timeout(TURN, self.0.changes.lock()).await;
        turn.map_err(|_| {
            let what = "another change made on this page isn't done yet";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", what)
                .next("try again in a moment")
                .details(serde_json::json!({ "retryable": true }))
        })
    }
}

/// Returns the handlers of all actions, with their full paths.
pub(crate) fn routes(state: State) -> Router {
    let actions = Actions(Arc::new(Inner {
        state,
        changes: Mutex::default(),
        failures: Failures::default(),
        logs: LogStreams::default(),
    }));
    Router::new()
        .route("/api/interfaces", get(interfaces::all))
        .route("/api/wit", get(interfaces::wit))
        .route("/api/links/fits", get(fits::fits))
        .route("/api/links/check", post(links::check))
        .route("/api/links/put", post(links::put))
        .route("/api/links/delete", post(links::delete))
        .route("/api/links/status", get(links::status))
        .route("/api/links/config", get(config::schema))
        .route("/api/wormholes/create", post(wormholes::create))
        .route("/api/wormholes/open", post(wormholes::open))
        .route("/api/wormholes/close", post(wormholes::close))
        .route("/api/wormholes/rename", post(wormholes::rename))
        .route("/api/wormholes/delete", post(wormholes::delete))
        .route("/api/wormholes/addresses", get(wormholes::addresses))
        .route("/api/apps/plan", post(apps::plan))
        .route("/api/apps/apply", post(apps::apply))
        .route("/api/apps/delete", post(apps::delete))
        .route("/api/export", get(export::export))
        .route("/api/undo", get(undoing::last).post(undoing::undo))
        .route("/api/explain", get(explain::explain))
        .route("/api/logs", get(logs::logs))
        .route("/api/failures", get(failures::failures))
        .route("/api/call/form", get(form::form))
        .route("/api/call", post(call::call))
        .with_state(actions)
}

/// Waits for an answer that only reads.
async fn within<T>(answer: impl Future<Output = T>) -> Result<T, Problem> {
    let answer = timeout(READING, answer).await;
    answer.map_err(|_| {
        let what = format!("there was no answer within {} s", READING.as_secs());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", what)
            .why("the store or the hosts are slow, or out of reach")
            .next("try again")
            .details(serde_json::json!({ "retryable": true }))
    })
}
