//! Manifests of what is there: of an app, of what no app owns, or of one thing.

use super::{
    Actions, failed,
    parse::{self, default_name, named},
    within,
};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use lattice_core::{
    Lattice,
    app::{Export, ResourceRef},
    link::{LinkEntry, LinkKey},
    name::{AppName, ComponentId, ConfigName, WormholeId},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of an app that is exported and has none yet.
const NEW: &str = "exported";

/// What is to be exported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    unowned: bool,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default = "default_name")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Component,
    Link,
    Wormhole,
    Config,
}

pub(super) async fn export(
    State(actions): State<Actions>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let (mut export, note) = match which.undeclared(lattice)? {
        Some(id) => external(lattice, id).await?,
        None => (which.export(lattice)?, None),
    };
    let hidden = export.hide();
    let manifest = &export.manifest;
    // TOML has no null, which the config of a link may have.
    let (ending, text) = match manifest.to_toml() {
        Some(text) => ("toml", text),
        None => (
            "json",
            serde_json::to_string_pretty(manifest).unwrap_or_default(),
        ),
    };
    Ok(Json(json!({
        "file": format!("{}.{ending}", manifest.name),
        "text": text,
        "hidden": hidden,
        "note": note,
    })))
}

/// Returns the manifest for a component that a program serves. Nothing starts it, so it is named as
/// external, with its links.
async fn external(lattice: &Lattice, id: ComponentId) -> Result<(Export, Option<String>), Problem> {
    let links = lattice.links().list();
    let ends = |entry: &LinkEntry| entry.link.source == id || entry.link.target == id;
    let keys = links.iter().filter(|entry| ends(entry));
    let links = keys.map(|entry| ResourceRef::Link(LinkKey::clone(&entry.key)));
    let mut export = lattice.export(named(AppName::new(NEW))?, links);
    let names = &mut export.manifest.external;
    if !names.contains(&id) {
        let view = within(lattice.constellation().settled()).await?;
        let what = format!("nothing declares or serves `{id}`");
        found(view.components.contains_key(&id), "no-such-component", what).map_err(|problem| {
            problem.next("start the program that serves it, or declare it in a manifest to have it started by hosts")
        })?;
        names.push(id.clone());
    }
    let note = format!(
        "Nothing that is declared starts `{id}`: a program serves it, if it runs. The manifest names it as external and has its links. To have hosts start it, declare it with its image instead."
    );
    Ok((export, Some(note)))
}

impl Which {
    fn export(&self, lattice: &Lattice) -> Result<Export, Problem> {
        let new = named(AppName::new(NEW))?;
        match (&self.app, self.unowned, self.kind) {
            (Some(app), false, None) => {
                let app = named(AppName::new(app))?;
                let export = lattice.export_app(&app);
                export.ok_or_else(|| {
                    failed::missing("no-such-app", format!("there is no app `{app}`"))
                })
            }
            (None, true, None) => Ok(lattice.export(new, lattice.unowned())),
            (None, false, Some(kind)) => {
                let resource = self.resource(lattice, kind)?;
                Ok(lattice.export(new, [resource]))
            }
            _ => Err(failed::bad_field(
                "app",
                "exactly one of `app`, `unowned=true` and `kind` says what to export",
            )),
        }
    }

    /// Returns the component that is asked for, if nothing declares it.
    fn undeclared(&self, lattice: &Lattice) -> Result<Option<ComponentId>, Problem> {
        let (None, false, Some(Kind::Component), Some(id)) =
            (&self.app, self.unowned, self.kind, &self.id)
        else {
            return Ok(None);
        };
        let id = parse::component(id)?;
        let is_declared = lattice.desired().has_component(&id);
        Ok((!is_declared).then_some(id))
    }

    /// Returns the resource, which is declared.
    fn resource(&self, lattice: &Lattice, kind: Kind) -> Result<ResourceRef, Problem> {
        let desired = lattice.desired();
        if kind == Kind::Link {
            let (source, interface) = (self.source.as_deref(), self.interface.as_deref());
            let key = parse::key(
                source.ok_or_else(|| lacks("source"))?,
                interface.ok_or_else(|| lacks("interface"))?,
                &self.name,
            )?;
            if lattice.links().get(&key).is_none() {
                let what = format!("there is no link {key}");
                return Err(failed::missing("no-such-link", what));
            }
            return Ok(ResourceRef::Link(key));
        }
        let id = self.id.as_deref().ok_or_else(|| lacks("id"))?;
        match kind {
            Kind::Wormhole => {
                let id = named(WormholeId::new(id))?;
                let what = format!("there is no wormhole `{id}`");
                let is_there = desired.wormholes.contains_key(&id);
                found(is_there, "no-such-wormhole", what)?;
                Ok(ResourceRef::Wormhole(id))
            }
            Kind::Config => {
                let name = named(ConfigName::new(id))?;
                let what = format!("there is no configuration `{name}`");
                found(desired.configs.contains_key(&name), "no-such-config", what)?;
                Ok(ResourceRef::Config(name))
            }
            Kind::Component | Kind::Link => {
                let id = parse::component(id)?;
                if desired.actors.contains_key(&id) {
                    return Ok(ResourceRef::Actor(id));
                }
                let what = format!("nothing declares `{id}`");
                let is_there = desired.providers.contains_key(&id);
                found(is_there, "no-such-component", what)?;
                Ok(ResourceRef::Provider(id))
            }
        }
    }
}

fn lacks(field: &str) -> Problem {
    failed::bad_field(field, "it is missing")
}

fn found(is_there: bool, code: &'static str, what: String) -> Result<(), Problem> {
    if is_there {
        Ok(())
    } else {
        Err(failed::missing(code, what))
    }
}
