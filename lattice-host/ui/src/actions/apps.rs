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
    if let Some(seen) = &manifest.seen
        && *seen != digest(&planned(lattice, &app).await?)
    {
        let what = "the app would not do any more what its plan said";
        return Err(Problem::new(StatusCode::CONFLICT, "plan-changed", what)
            .why("something was changed since it was planned")
            .next("plan it again, then apply it"));
    }
    let name = app.manifest().name.clone();
    let before = lattice.export_app(&name);
    let applied = lattice.apply(&app).await;
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
    let before = lattice.export_app(&name);
    let deleted = lattice.delete_app(name.clone()).await;
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

async fn planned(lattice: &Lattice, app: &App) -> Result<Plan, Problem> {
    if !lattice.is_in_process() {
        // Its warnings depend on the hosts that this process has heard of.
        lattice.constellation().settled().await;
    }
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
    if lattice.export_app(name).as_ref() != after {
        let why = format!("somebody has changed app `{name}`, or something of it, since");
        return Err(NotUndone::changed_since(failed::changed_since(what, why)));
    }
    let not_done = |error: ApplyError| failed::apply(what, &error);
    match before {
        None => {
            lattice.delete_app(name.clone()).await.map_err(not_done)?;
            Ok(format!("app `{name}` is deleted"))
        }
        Some(before) => {
            let app = before.clone().into_app();
            lattice.apply(&app).await.map_err(not_done)?;
            Ok(format!("app `{name}` is as it was"))
        }
    }
}
