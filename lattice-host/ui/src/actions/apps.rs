//! Apps: planning, applying and deleting them.

use super::{
    Actions, failed,
    parse::named,
    plan,
    undo::{Change, NotUndone, Undoable},
};
use crate::{problem::Problem, request::Body};
use axum::{Json, extract::State};
use http::StatusCode;
use lattice_core::{
    Lattice,
    app::{App, Applied, ApplyError, Export, LoadError, Plan},
    name::AppName,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::Path, sync::OnceLock, time::Duration};
use tokio::time::timeout;

/// How long the images of a manifest may take: registries are far away.
const IMAGES: Duration = Duration::from_secs(30);

/// A manifest that is to be planned or applied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    text: String,
    #[serde(default)]
    format: Option<Format>,
    /// The name of its file, for messages.
    #[serde(default)]
    file: Option<String>,
    /// What a plan was seen to do.
    #[serde(default)]
    seen: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Toml,
    Json,
}

/// An app that is to be deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    app: String,
}

pub(super) async fn plan(
    State(actions): State<Actions>,
    Body(manifest): Body<Manifest>,
) -> Result<Json<Value>, Problem> {
    let (app, notes) = manifest.app(&actions).await?;
    let planned = planned(actions.lattice(), &app).await?;
    Ok(Json(json!({
        "plan": plan::shown(&planned),
        "text": plan::text(&planned),
        "seen": digest(&planned),
        "notes": notes,
    })))
}

pub(super) async fn apply(
    State(actions): State<Actions>,
    Body(manifest): Body<Manifest>,
) -> Result<Json<Value>, Problem> {
    let (app, notes) = manifest.app(&actions).await?;
    let lattice = actions.lattice();
    let mut changes = actions.turn().await?;
    if manifest.seen.is_some() {
        hear_hosts(lattice).await;
    }
    let name = app.manifest().name.clone();
    let mut before = None;
    let agrees = |plan: &Plan| {
        before = lattice.export_app(&name);
        let seen = manifest.seen.as_ref();
        seen.is_none_or(|seen| *seen == digest(plan))
    };
    let applied = lattice.apply_if(&app, agrees).await;
    let applied = applied.map_err(|error| failed::apply("the app was not applied", &error))?;
    let undo = applied.revision.map(|_| {
        changes.made(Change::App {
            before: before.map(Box::new),
            after: lattice.export_app(&name).map(Box::new),
            name,
        })
    });
    Ok(Json(shown(
        &applied,
        json!({ "undo": undo, "notes": notes }),
    )))
}

pub(super) async fn delete(
    State(actions): State<Actions>,
    Body(Which { app }): Body<Which>,
) -> Result<Json<Value>, Problem> {
    let name = named(AppName::new(&app))?;
    let lattice = actions.lattice();
    let mut changes = actions.turn().await?;
    let mut before = None;
    let agrees = |_: &Plan| {
        before = lattice.export_app(&name);
        true
    };
    let deleted = lattice.delete_app_if(name.clone(), agrees).await;
    let deleted = deleted.map_err(|error| failed::apply("the app was not deleted", &error))?;
    let undo = before.map(|before| {
        changes.made(Change::App {
            before: Some(Box::new(before)),
            after: None,
            name,
        })
    });
    Ok(Json(shown(&deleted, json!({ "undo": undo, "notes": [] }))))
}

fn shown(applied: &Applied, mut more: Value) -> Value {
    more["plan"] = plan::shown(&applied.plan);
    more["text"] = plan::text(&applied.plan).into();
    more["revision"] = json!(applied.revision.map(|revision| revision.0));
    more
}

impl Manifest {
    /// Returns the app, with its tags resolved and its hidden values filled in, and what a person
    /// should know about its images.
    async fn app(&self, actions: &Actions) -> Result<(App, Vec<String>), Problem> {
        let app = self.load().map_err(|error| failed::load(&error))?;
        let app = app.with_hidden_values(actions.lattice());
        let Some(images) = actions.0.state.images() else {
            return Ok((app, Vec::new()));
        };
        let what = "the images of the manifest can't be used";
        match timeout(IMAGES, images.pin(app)).await {
            Ok(Ok(pinned)) => Ok((pinned.app, pinned.notes)),
            Ok(Err(why)) => {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-image", what);
                Err(problem
                    .why(why)
                    .next("correct the image, or push it, and try again"))
            }
            Err(_) => {
                let why = format!("they were not found within {} s", IMAGES.as_secs());
                let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", what);
                Err(problem
                    .why(why)
                    .next("check that their registry can be reached, and try again"))
            }
        }
    }

    fn load(&self) -> Result<App, LoadError> {
        let file = self.file.as_deref().unwrap_or("manifest");
        // Only its name: images are never relative to a folder that a browser names.
        let file = Path::new(file)
            .file_name()
            .unwrap_or_else(|| "manifest".as_ref());
        let file = Path::new(file);
        let is_json = match self.format {
            Some(format) => matches!(format, Format::Json),
            None => match file.extension() {
                Some(ending) if ending.eq_ignore_ascii_case("json") => true,
                Some(ending) if ending.eq_ignore_ascii_case("toml") => false,
                _ => self.text.trim_start().starts_with('{'),
            },
        };
        if is_json {
            App::from_json(file, &self.text)
        } else {
            App::from_toml(file, &self.text)
        }
    }
}

/// Waits until this process has heard of the hosts, on which the warnings of a plan depend.
async fn hear_hosts(lattice: &Lattice) {
    if !lattice.is_in_process() {
        lattice.constellation().settled().await;
    }
}

async fn planned(lattice: &Lattice, app: &App) -> Result<Plan, Problem> {
    hear_hosts(lattice).await;
    let planned = lattice.plan(app).await;
    planned.map_err(|error| failed::plan("the app can't be planned", &error))
}

/// Returns what tells a plan apart from others. It is made with a random key, because a plan has
/// values in it that may be secrets and can be guessed.
fn digest(plan: &Plan) -> String {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        // Without randomness, the service had no token and would not have started.
        let _ = getrandom::fill(&mut key);
        key
    });
    let text = serde_json::to_vec(plan).unwrap_or_default();
    blake3::keyed_hash(key, &text).to_string()
}

/// Undoes a change of an app.
pub(super) async fn undo(
    lattice: &Lattice,
    name: &AppName,
    before: Option<&Export>,
    after: Option<&Export>,
) -> Undoable {
    let what = "the change of the app can't be undone";
    let changed = || {
        let why = format!("somebody has changed app `{name}`, or something of it, since");
        NotUndone::changed_since(failed::changed_since(what, why))
    };
    // This comes first, because what was changed since may have problems of its own.
    if lattice.export_app(name).as_ref() != after {
        return Err(changed());
    }
    let is_as_left = |_: &Plan| lattice.export_app(name).as_ref() == after;
    let (done, says) = match before {
        None => {
            let deleted = lattice.delete_app_if(name.clone(), is_as_left).await;
            (deleted, format!("app `{name}` is deleted"))
        }
        Some(before) => {
            let app = before.clone().into_app();
            let applied = lattice.apply_if(&app, is_as_left).await;
            (applied, format!("app `{name}` is as it was"))
        }
    };
    match done {
        Ok(_) => Ok(says),
        Err(ApplyError::PlanChanged { .. }) => Err(changed()),
        Err(error) => Err(failed::apply(what, &error).into()),
    }
}
