//! Undoing the last change.

use super::{Actions, apps, links, undo::Change, wormholes};
use crate::{problem::Problem, request::Body};
use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// The change that is to be undone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    id: u64,
}

pub(super) async fn last(State(actions): State<Actions>) -> Result<Json<Value>, Problem> {
    let changes = actions.turn().await?;
    Ok(Json(json!({ "undo": changes.last() })))
}

pub(super) async fn undo(
    State(actions): State<Actions>,
    Body(Which { id }): Body<Which>,
) -> Result<Json<Value>, Problem> {
    let mut changes = actions.turn().await?;
    let Some(change) = changes.change(id) else {
        let what = match changes.last() {
            Some(last) => format!("change {id} isn't the last one, which is {}", last.id),
            None => "no change was made on this page since it was started".to_owned(),
        };
        return Err(Problem::new(StatusCode::CONFLICT, "nothing-to-undo", what)
            .next("look at what can be undone now"));
    };
    let lattice = actions.lattice();
    let undone = match &*change {
        Change::Link { key, before, after } => {
            links::undo(lattice, key, before.as_ref(), after.as_ref()).await
        }
        Change::Wormhole { id, before, after } => {
            wormholes::undo(lattice, id, before.as_deref(), after.as_deref()).await
        }
        Change::App {
            name,
            before,
            after,
        } => apps::undo(lattice, name, before.as_deref(), after.as_deref()).await,
    };
    match undone {
        Ok(undone) => {
            changes.forget();
            Ok(Json(json!({ "undone": undone, "undo": changes.last() })))
        }
        Err(not) => {
            if not.is_final {
                changes.forget();
            }
            Err(not.problem)
        }
    }
}
