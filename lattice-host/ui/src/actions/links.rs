//! Links: checking, putting, changing and deleting them.

use super::{
    Actions, failed,
    parse::{self, KeyText, default_name},
    undo::{Change, NotUndone, Undoable},
    within,
};
use crate::{
    problem::Problem,
    request::{Body, Query},
};
use axum::{Json, extract::State};
use lattice_core::{
    Lattice,
    link::{Link, LinkEntry, LinkKey, LinkMismatch, LinkStatus, Locality},
    name::FunctionName,
    store::Revision,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// A link that is to be put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkText {
    source: String,
    interface: String,
    #[serde(default = "default_name")]
    name: String,
    target: String,
    /// `None` if it was left out, so that it stays as it is.
    #[serde(default, deserialize_with = "given")]
    config: Option<Value>,
    #[serde(default)]
    locality: Option<LocalityText>,
    #[serde(default)]
    idempotent: Option<Vec<String>>,
    #[serde(default)]
    revision: Option<u64>,
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LocalityText {
    #[serde(alias = "PreferLocal")]
    PreferLocal,
    #[serde(alias = "LocalOnly")]
    LocalOnly,
    #[serde(alias = "Spread")]
    Spread,
}

/// A link that is to be deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deleted {
    source: String,
    interface: String,
    #[serde(default = "default_name")]
    name: String,
    #[serde(default)]
    revision: Option<u64>,
    #[serde(default)]
    force: bool,
}

/// A `null` that was given, and not left out.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

pub(super) async fn check(
    State(actions): State<Actions>,
    Body(text): Body<LinkText>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let key = parse::key(&text.source, &text.interface, &text.name)?;
    let link = text.link(lattice.links().get(&key).as_deref())?;
    let mismatch = within(mismatch(lattice, &link)).await??;
    match mismatch {
        None => Ok(Json(json!({ "fits": true }))),
        Some(error) => Err(failed::mismatch("the link would not work", &error)),
    }
}

pub(super) async fn put(
    State(actions): State<Actions>,
    Body(text): Body<LinkText>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let key = parse::key(&text.source, &text.interface, &text.name)?;
    let mut changes = actions.turn().await?;
    refuse_owned(lattice, &key, text.force)?;
    let before = lattice.links().get(&key);
    let put = match (text.revision, &before) {
        (None, _) => lattice.links().put(text.link(None)?).await,
        (Some(_), None) => return Err(no_such(&key)),
        (Some(revision), Some(_)) => {
            let link = text.link(before.as_deref())?;
            lattice.links().update(link, Revision(revision)).await
        }
    };
    let entry = put.map_err(|error| failed::link(&error))?;
    let is_same = before.as_ref().map(|before| before.revision) == Some(entry.revision);
    let undo = (!is_same).then(|| {
        changes.made(Change::Link {
            key: key.clone(),
            before: before.map(|before| before.link.clone()),
            after: Some(entry.link.clone()),
        })
    });
    Ok(Json(
        json!({ "link": shown(lattice, &entry), "undo": undo }),
    ))
}

pub(super) async fn delete(
    State(actions): State<Actions>,
    Body(text): Body<Deleted>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let key = parse::key(&text.source, &text.interface, &text.name)?;
    let mut changes = actions.turn().await?;
    let before = lattice.links().get(&key);
    refuse_owned(lattice, &key, text.force)?;
    let seen = before.as_ref().map(|before| before.revision);
    // Undoing it puts back what was deleted, so that has to be what is known here.
    let deleted = match text.revision.map(Revision).or(seen) {
        Some(expected) => lattice.links().delete_at(&key, expected).await,
        None => lattice.links().delete(&key).await,
    };
    deleted.map_err(|error| failed::delete(&error))?;
    let undo = before.map(|before| {
        changes.made(Change::Link {
            key,
            before: Some(before.link.clone()),
            after: None,
        })
    });
    Ok(Json(json!({ "deleted": true, "undo": undo })))
}

pub(super) async fn status(
    State(actions): State<Actions>,
    Query(which): Query<KeyText>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let key = which.key()?;
    let entry = lattice.links().get(&key).ok_or_else(|| no_such(&key))?;
    let mismatch = within(mismatch(lattice, &entry.link)).await??;
    let reports = entry.reports.iter().map(|report| {
        let (state, reason) = state(&report.status);
        json!({ "host": report.host, "state": state, "reason": reason })
    });
    Ok(Json(json!({
        "link": shown(lattice, &entry),
        "reports": reports.collect::<Vec<_>>(),
        "mismatch": mismatch.map(|error| error.to_string()),
    })))
}

/// Returns why the two ends of a link don't fit together, by what they have published.
async fn mismatch(lattice: &Lattice, link: &Link) -> Result<Option<LinkMismatch>, Problem> {
    let unread = |error| failed::store("the types of the link's two ends can't be read", &error);
    let source = lattice
        .published_types(&link.source)
        .await
        .map_err(unread)?;
    let target = lattice
        .published_types(&link.target)
        .await
        .map_err(unread)?;
    Ok(link.check(source.as_deref(), target.as_deref()).err())
}

/// Refuses to change what an app declares: applying the app would undo it.
fn refuse_owned(lattice: &Lattice, key: &LinkKey, force: bool) -> Result<(), Problem> {
    match lattice.desired().link_owner(key) {
        Some(app) if !force => Err(Problem::new(
            http::StatusCode::CONFLICT,
            "owned-by-app",
            format!("app `{app}` declares the link {key}"),
        )
        .why("applying the app again would undo the change")
        .next("change its manifest and apply that, or change the link anyway")),
        _ => Ok(()),
    }
}

fn no_such(key: &LinkKey) -> Problem {
    failed::missing("no-such-link", format!("there is no link {key}"))
}

impl LinkText {
    /// Returns the link. What was left out is as in `before`, if there is one.
    fn link(&self, before: Option<&LinkEntry>) -> Result<Link, Problem> {
        let before = before.map(|entry| &*entry.link);
        let interface = match before {
            // The key of a link has only the compatible version.
            Some(before) if before.interface.compat() == self.interface => before.interface.clone(),
            _ => parse::interface(&self.interface)?,
        };
        let target = parse::component(&self.target)?;
        let source = parse::component(&self.source)?;
        let link = Link::new(source, interface, target).and_then(|link| link.named(&*self.name));
        let mut link = parse::named(link)?;
        if let Some(before) = before {
            link.config.clone_from(&before.config);
            link.locality = before.locality;
            link.idempotent.clone_from(&before.idempotent);
        }
        if let Some(config) = &self.config {
            link.config = config.to_string();
        }
        if let Some(locality) = self.locality {
            link.locality = locality.into();
        }
        if let Some(functions) = &self.idempotent {
            let functions = functions.iter().map(|function| FunctionName::new(function));
            let functions: Result<BTreeSet<_>, _> = functions.collect();
            link.idempotent = parse::named(functions)?;
        }
        Ok(link)
    }
}

impl From<LocalityText> for Locality {
    fn from(text: LocalityText) -> Self {
        match text {
            LocalityText::PreferLocal => Self::PreferLocal,
            LocalityText::LocalOnly => Self::LocalOnly,
            LocalityText::Spread => Self::Anywhere,
        }
    }
}

/// Returns a link as it is sent: without its config, which may have secrets in it.
pub(super) fn shown(lattice: &Lattice, entry: &Arc<LinkEntry>) -> Value {
    let link = &entry.link;
    let (state, reason) = state(&entry.status);
    json!({
        "source": link.source,
        "interface": entry.key.interface,
        "version": link.interface,
        "name": link.name,
        "target": link.target,
        "locality": link.locality,
        "idempotent": link.idempotent,
        "has_config": link.config.trim() != "null",
        "state": state,
        "reason": reason,
        "app": lattice.desired().link_owner(&entry.key),
        "revision": entry.revision.0,
    })
}

fn state(status: &LinkStatus) -> (&'static str, Option<&str>) {
    match status {
        LinkStatus::Active => ("active", None),
        LinkStatus::Rejected { reason } => ("rejected", Some(reason.as_str())),
        _ => ("pending", None),
    }
}

/// Undoes a change of a link.
pub(super) async fn undo(
    lattice: &Lattice,
    key: &LinkKey,
    before: Option<&Arc<Link>>,
    after: Option<&Arc<Link>>,
) -> Undoable {
    let now = lattice.links().get(key);
    if now.as_ref().map(|entry| &entry.link) != after {
        let what = "the change of the link can't be undone";
        let why = format!("somebody has changed the link {key} since");
        return Err(NotUndone::changed_since(failed::changed_since(what, why)));
    }
    let done = match (before, now) {
        (None, Some(now)) => {
            let deleted = lattice.links().delete_at(key, now.revision).await;
            deleted.map_err(|error| failed::delete(&error))?;
            return Ok(format!("the link {key} is deleted"));
        }
        (None, None) => return Ok(format!("the link {key} is deleted")),
        (Some(before), None) => lattice.links().put(Link::clone(before)).await,
        (Some(before), Some(now)) => {
            let links = lattice.links();
            links.update(Link::clone(before), now.revision).await
        }
    };
    done.map_err(|error| failed::link(&error))?;
    Ok(format!("the link {key} is as it was"))
}
