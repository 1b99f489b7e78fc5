//! Trying a call, in the operator's name: without a link. Hosts log such calls, and may refuse
//! them.

use super::{Actions, failures::Tried, form, interfaces, parse};
use crate::{problem::Problem, request::Body};
use axum::{Json, extract::State};
use bytes::Bytes;
use http::StatusCode;
use lattice_core::{
    call::{CallError, Ran},
    client::Encoded,
    dynamic::{self, Signature, Type},
    name::{ComponentId, FunctionName, InterfaceName},
    signature::Type as WitType,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The deadline of a call, unless it is given.
const TIMEOUT_MS: u64 = 2_000;
/// The longest deadline. The page itself answers within a minute.
const MAX_TIMEOUT_MS: u64 = 50_000;
/// Largest result that is sent, in bytes as it is encoded.
const MAX_RESULT: usize = 1024 * 1024;

/// A call that is to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallText {
    component: String,
    interface: String,
    function: String,
    #[serde(default)]
    arguments: Value,
    #[serde(default = "default_timeout")]
    timeout_ms: u64,
    #[serde(default)]
    idempotent: bool,
}

fn default_timeout() -> u64 {
    TIMEOUT_MS
}

/// The function to call.
struct Target {
    component: ComponentId,
    interface: InterfaceName,
    function: FunctionName,
}

pub(super) async fn call(
    State(actions): State<Actions>,
    Body(text): Body<CallText>,
) -> Result<Json<Value>, Problem> {
    let target = text.target()?;
    let signature = target.signature(&actions).await?;
    let arguments = arguments(&signature, &text.arguments)?;
    let component = actions
        .lattice()
        .operator()
        .component(target.component.clone());
    let call = component.call_encoded(target.interface.clone(), target.function.clone(), arguments);
    let call = call.timeout(Duration::from_millis(text.timeout_ms));
    let call = if text.idempotent {
        call.idempotent()
    } else {
        call
    };
    let began = Instant::now();
    let answer = call.await;
    let took_ms = began.elapsed().as_millis() as u64;
    let mut answer =
        match answer.and_then(|Encoded(bytes)| result(signature.result.as_ref(), &bytes)) {
            Ok(answer) => answer,
            Err(error) => {
                let (code, ran) = (code(&error), ran(error.ran()));
                actions.0.failures.tried(Tried {
                    component: target.component,
                    interface: target.interface,
                    function: target.function,
                    code,
                    ran,
                    message: error.to_string(),
                });
                json!({
                    "outcome": "failed",
                    "error": {
                        "code": code,
                        "message": error.to_string(),
                        "ran": ran,
                        "retryable": error.is_retryable(),
                    },
                })
            }
        };
    answer["took_ms"] = took_ms.into();
    Ok(Json(answer))
}

fn arguments(signature: &Signature, given: &Value) -> Result<Bytes, Problem> {
    let none = json!([]);
    let given = if given.is_null() { &none } else { given };
    let bad = |why: String| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-arguments",
            "the arguments don't fit the function",
        )
        .why(why)
        .next("correct them, and call again")
    };
    let values = dynamic::arguments(&signature.params, given)
        .map_err(|error| bad(error.to_string()).details(json!({ "at": error.at })))?;
    dynamic::encode(&signature.params, &values).map_err(|error| bad(error.to_string()))
}

/// Returns the answer for a result.
fn result(ty: Option<&Type>, bytes: &[u8]) -> Result<Value, CallError> {
    let Some(ty) = ty else {
        return Ok(json!({ "outcome": "ok", "result": null, "text": null }));
    };
    if bytes.len() > MAX_RESULT {
        let why = format!(
            "the result has {} bytes, and at most {MAX_RESULT} are shown; `lattice call` prints all",
            bytes.len()
        );
        return Ok(json!({ "outcome": "ok", "result": null, "text": null, "left_out": why }));
    }
    let value = dynamic::decode(ty, bytes).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })?;
    let result = dynamic::json(&ty.wit, &value);
    let is_err = matches!(ty.wit, WitType::Result { .. }) && result.get("err").is_some();
    Ok(json!({
        "outcome": if is_err { "err" } else { "ok" },
        "result": result,
        "text": dynamic::text(&value),
    }))
}

impl CallText {
    fn target(&self) -> Result<Target, Problem> {
        if !(1..=MAX_TIMEOUT_MS).contains(&self.timeout_ms) {
            let why = format!("it is 1 to {MAX_TIMEOUT_MS}, in milliseconds");
            return Err(super::failed::bad_field("timeout_ms", why));
        }
        Ok(Target {
            component: parse::component(&self.component)?,
            interface: parse::interface(&self.interface)?,
            function: parse::named(FunctionName::new(&self.function))?,
        })
    }
}

impl Target {
    /// Returns the type of the function, as its component has published it.
    async fn signature(&self, actions: &Actions) -> Result<Signature, Problem> {
        let types = interfaces::published(actions, &self.component).await?;
        let exported = types.export(&self.interface);
        let text = exported.and_then(|(_, types)| types.signatures(&self.function).next());
        let text = text.ok_or_else(|| {
            let Self {
                component,
                interface,
                function,
            } = self;
            let what = format!("component `{component}` exports no `{interface}#{function}`");
            super::failed::missing("no-such-function", what)
                .next("choose one of its functions; it may have been started in another version")
        })?;
        form::callable(text).map_err(|why| {
            let what = format!(
                "`{}#{}` can't be called from here",
                self.interface, self.function
            );
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-callable", what)
                .why(why)
                .next("call it from a program")
        })
    }
}

fn ran(ran: Ran) -> &'static str {
    match ran {
        Ran::No => "no",
        Ran::Maybe => "maybe",
        Ran::Yes => "yes",
    }
}

/// Returns the code of an error, which never changes.
fn code(error: &CallError) -> &'static str {
    match error {
        CallError::NotLinked { .. } => "not-linked",
        CallError::LinkRejected { .. } => "link-rejected",
        CallError::NotServed { .. } => "not-served",
        CallError::NotExported { .. } => "not-exported",
        CallError::SchemaMismatch { .. } => "schema-mismatch",
        CallError::Overloaded { .. } => "overloaded",
        CallError::TooLarge { .. } => "too-large",
        CallError::LinkTableBehind => "link-table-behind",
        CallError::DeadlineExceeded { .. } => "deadline-exceeded",
        CallError::TooManyHops { .. } => "too-many-hops",
        CallError::BadArguments { .. } => "bad-arguments",
        CallError::BadResult { .. } => "bad-result",
        CallError::CalleeFailed { .. } => "callee-failed",
        CallError::InstanceLost { .. } => "instance-lost",
        CallError::HostLost { .. } => "host-lost",
        CallError::HostGone { .. } => "host-gone",
        CallError::Stopping { .. } => "stopping",
        CallError::Disconnected { .. } => "disconnected",
        CallError::OperatorDenied => "operator-denied",
        CallError::StoreUnavailable { .. } => "store-unavailable",
        CallError::InvalidName(_) => "invalid-name",
        CallError::LimitExceeded { .. } => "limit-exceeded",
        CallError::StaleHandle { .. } => "stale-handle",
        CallError::TooManySessions { .. } => "too-many-sessions",
        CallError::WormholeClosed { .. } => "wormhole-closed",
        _ => "unrecognised",
    }
}
