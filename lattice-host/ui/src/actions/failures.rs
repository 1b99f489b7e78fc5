//! Recent failed calls, as far as the lattice knows them.
//!
//! The host of a callee keeps the latest that have failed, and is asked when somebody looks. Calls
//! that were tried on this page are kept here, because some of them never reach a host. Neither has
//! anything of the arguments, apart from what the text of an error says.

use super::{Actions, parse, undo::now_ms, within};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use http::StatusCode;
use lattice_core::{
    error::chain,
    failures::{FailedCall, FailuresError, HostFailures},
    name::{ComponentId, FunctionName, HostId, InterfaceName},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Most failures that are kept, and sent at once.
const KEPT: usize = 256;
/// Longest message in bytes.
const MAX_MESSAGE: usize = 1024;

/// The calls that were tried on this page and failed, the latest last.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<VecDeque<Failure>>);

#[derive(Debug, Clone, Serialize)]
struct Failure {
    at_ms: u64,
    component: ComponentId,
    code: String,
    message: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum What {
    /// A host has refused or ended it, and others that were alike.
    Served {
        host: HostId,
        function: String,
        caller: String,
        took_ms: u64,
        times: u64,
    },
    /// It was tried on this page.
    Tried {
        interface: InterfaceName,
        function: FunctionName,
        ran: &'static str,
    },
}

/// A call that was tried on this page and failed.
pub(super) struct Tried {
    pub(super) component: ComponentId,
    pub(super) interface: InterfaceName,
    pub(super) function: FunctionName,
    pub(super) code: &'static str,
    pub(super) ran: &'static str,
    pub(super) message: String,
}

/// Whose failures are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    #[serde(default)]
    component: Option<String>,
}

pub(super) async fn failures(
    State(actions): State<Actions>,
    Query(Whose { component }): Query<Whose>,
) -> Result<Json<Value>, Problem> {
    let component = component.as_deref().map(parse::component).transpose()?;
    let answers = within(actions.lattice().failed_calls(component.clone())).await?;
    let answers = answers.map_err(|error| {
        let what = "hosts can't be asked for failed calls";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", what)
            .why(chain(&error))
            .next("try again when the bus is back")
    })?;
    let mut failures = actions.0.failures.tried_on(component.as_ref());
    let mut unknown = Vec::new();
    for HostFailures { host, calls, .. } in answers {
        match calls {
            Ok(calls) => failures.extend(calls.into_iter().map(|call| served(&host, call))),
            Err(error) => unknown.push(json!({
                "host": host,
                "code": code(&error),
                "message": error.to_string(),
            })),
        }
    }
    failures.sort_by_key(|failure| Reverse(failure.at_ms));
    failures.truncate(KEPT);
    Ok(Json(json!({ "failures": failures, "unknown": unknown })))
}

fn served(host: &HostId, call: FailedCall) -> Failure {
    Failure {
        at_ms: call.failed_ms,
        component: call.component,
        code: call.error,
        message: call.message,
        what: What::Served {
            host: host.clone(),
            function: call.function,
            caller: call.caller,
            took_ms: call.took_us / 1_000,
            times: call.times,
        },
    }
}

/// Returns the code of an error, which never changes.
fn code(error: &FailuresError) -> &'static str {
    match error {
        FailuresError::TooOld { .. } => "too-old",
        _ => "no-answer",
    }
}

impl Failures {
    /// Keeps a failed call.
    pub(super) fn tried(&self, tried: Tried) {
        let mut message = tried.message;
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.push('…');
        }
        let failure = Failure {
            at_ms: now_ms(),
            component: tried.component,
            code: tried.code.to_owned(),
            message,
            what: What::Tried {
                interface: tried.interface,
                function: tried.function,
                ran: tried.ran,
            },
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(failure);
    }

    fn tried_on(&self, component: Option<&ComponentId>) -> Vec<Failure> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = kept
            .iter()
            .filter(|failure| component.is_none_or(|id| *id == failure.component));
        wanted.cloned().collect()
    }
}
