//! The form of the config of a link, as its target describes it, or its source.
//!
//! A component that uses the configs of links may export `lattice:config/schema@0.1.0`, whose
//! functions return the JSON schemas of these configs. Mostly, that is the target of the link. A
//! provider that calls others, such as a schedule, uses those of which it is the source. Nothing
//! else in the lattice describes configs: published types have none.

use super::{Actions, interfaces::published, parse};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use lattice_core::name::{ComponentId, InterfaceName};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The interface through which a component describes the configs of its links.
const SCHEMA: &str = "lattice:config/schema@0.1.0";
/// Its function for links that lead to the component, of type
/// `func(interface: string) -> option<string>`.
const LINK: &str = "link-config";
/// The same for links that lead from it.
const OUTGOING: &str = "outgoing-config";
/// How long the component may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest schema in bytes.
const MAX_SCHEMA: usize = 64 * 1024;

/// A link that there may be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ends {
    target: String,
    interface: String,
    /// It is asked if the target has no schema.
    source: Option<String>,
}

pub(super) async fn schema(
    State(actions): State<Actions>,
    Query(ends): Query<Ends>,
) -> Result<Json<Value>, Problem> {
    let target = parse::component(&ends.target)?;
    let interface = parse::interface(&ends.interface)?;
    let source = ends.source.as_deref().map(parse::component).transpose()?;
    let answer = |schema: Option<Value>, missing: Option<String>| {
        Ok(Json(json!({ "schema": schema, "missing": missing })))
    };
    let missing = match of_target(&actions, &target, &interface).await? {
        Ok(schema) => return answer(Some(schema), None),
        Err(missing) => missing,
    };
    match source {
        Some(source) if describes(&actions, &source).await.unwrap_or(false) => {
            let told = ask(&actions, (&source, OUTGOING), &interface).await;
            match told.unwrap_or(None) {
                Some(schema) => answer(Some(schema), None),
                None => answer(None, Some(missing)),
            }
        }
        _ => answer(None, Some(missing)),
    }
}

/// Returns the schema by which the target of a link describes its config, or why there is none.
async fn of_target(
    actions: &Actions,
    target: &ComponentId,
    interface: &InterfaceName,
) -> Result<Result<Value, String>, Problem> {
    match describes(actions, target).await {
        Ok(true) => {}
        Ok(false) => {
            return Ok(Err(format!(
                "`{target}` doesn't describe the configs of its links: it exports no `{SCHEMA}`; write the config as JSON"
            )));
        }
        // A component that was never started has no schema to show either.
        Err(problem) if problem.status() == http::StatusCode::NOT_FOUND => {
            return Ok(Err(format!(
                "`{target}` was never started, so the form of its configs isn't known"
            )));
        }
        Err(problem) => return Err(problem),
    }
    Ok(match ask(actions, (target, LINK), interface).await {
        Ok(Some(schema)) => Ok(schema),
        Ok(None) => Err(format!(
            "links to `{target}` through `{interface}` take no config"
        )),
        Err(why) => Err(format!(
            "`{target}` should describe the config, and didn't: {why}"
        )),
    })
}

/// Returns whether a component describes configs.
async fn describes(actions: &Actions, component: &ComponentId) -> Result<bool, Problem> {
    let types = published(actions, component).await?;
    Ok(parse::interface(SCHEMA).is_ok_and(|name| types.export(&name).is_some()))
}

async fn ask(
    actions: &Actions,
    (component, function): (&ComponentId, &'static str),
    interface: &InterfaceName,
) -> Result<Option<Value>, String> {
    let component = actions.lattice().operator().component(component.as_str());
    let call = component.call::<Option<String>>(SCHEMA, function, (interface.to_string(),));
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
