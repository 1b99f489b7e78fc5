//! The form of the config of a link, as its target describes it.
//!
//! A component that takes links with a config may export `lattice:config/schema@0.1.0`, whose
//! function returns the JSON schema of that config. Nothing else in the lattice describes configs:
//! published types have none.

use super::{Actions, interfaces::published, parse};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use lattice_core::name::InterfaceName;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The interface through which a component describes the configs of its links.
const SCHEMA: &str = "lattice:config/schema@0.1.0";
/// Its function, of type `func(interface: string) -> option<string>`.
const FUNCTION: &str = "link-config";
/// How long the component may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest schema in bytes.
const MAX_SCHEMA: usize = 64 * 1024;

/// An inlet: an interface that a component serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inlet {
    target: String,
    interface: String,
}

pub(super) async fn schema(
    State(actions): State<Actions>,
    Query(inlet): Query<Inlet>,
) -> Result<Json<Value>, Problem> {
    let target = parse::component(&inlet.target)?;
    let interface = parse::interface(&inlet.interface)?;
    let answer = |schema: Option<Value>, missing: Option<String>| {
        Ok(Json(json!({ "schema": schema, "missing": missing })))
    };
    // A component that was never started has no schema to show either.
    let types = match published(&actions, &target).await {
        Ok(types) => types,
        Err(problem) if problem.status() == http::StatusCode::NOT_FOUND => {
            let why =
                format!("`{target}` was never started, so the form of its configs isn't known");
            return answer(None, Some(why));
        }
        Err(problem) => return Err(problem),
    };
    let describes = parse::interface(SCHEMA).is_ok_and(|name| types.export(&name).is_some());
    if !describes {
        let why = format!(
            "`{target}` doesn't describe the configs of its links: it exports no `{SCHEMA}`; write the config as JSON"
        );
        return answer(None, Some(why));
    }
    match ask(&actions, target.as_str(), &interface).await {
        Ok(Some(schema)) => answer(Some(schema), None),
        Ok(None) => {
            let why = format!("links to `{target}` through `{interface}` take no config");
            answer(None, Some(why))
        }
        Err(why) => {
            let why = format!("`{target}` should describe the config, and didn't: {why}");
            answer(None, Some(why))
        }
    }
}

async fn ask(
    actions: &Actions,
    target: &str,
    interface: &InterfaceName,
) -> Result<Option<Value>, String> {
    let component = actions.lattice().operator().component(target);
    let call = component.call::<Option<String>>(SCHEMA, FUNCTION, (interface.to_string(),));
    let text = call.timeout(PATIENCE).await;
    let Some(text) = text.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    if text.len() > MAX_SCHEMA {
        let bytes = text.len();
        return Err(format!(
            "its schema has {bytes} bytes, and the limit is {MAX_SCHEMA}"
        ));
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(schema @ Value::Object(_)) => Ok(Some(schema)),
        Ok(_) => Err("its schema isn't a JSON object".to_owned()),
        Err(error) => Err(format!("its schema isn't JSON: {error}")),
    }
}
