//! Wormholes: creating, opening, closing, renaming and deleting them.

use super::{
    Actions, failed,
    parse::{component, named},
    undo::{Change, NotUndone, Undoable},
};
use crate::{
    problem::Problem,
    request::{Body, Query},
};
use axum::{Json, extract::State};
use lattice_core::{
    Lattice,
    desired::WormholeSpec,
    name::{LinkName, WormholeId},
    wormhole::WormholeAuth,
    wormholes::{Ingresses, NewWormhole, WormholeError},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A wormhole that is to be created.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    actor: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    any_host: bool,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    verifier: Option<String>,
}

/// One wormhole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    id: String,
}

/// A wormhole, and the host name that it is to have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Renamed {
    id: String,
    host: String,
}

pub(super) async fn create(
    State(actions): State<Actions>,
    Body(new): Body<New>,
) -> Result<Json<Value>, Problem> {
    let new = new.wormhole()?;
    let lattice = actions.lattice();
    let mut changes = actions.turn().await?;
    let created = lattice.wormholes().create(new).await;
    let (id, spec) =
        created.map_err(|error| failed::wormhole("the wormhole was not created", &error))?;
    let undo = changes.made(Change::Wormhole {
        id: id.clone(),
        before: None,
        after: Some(Box::new(spec.clone())),
    });
    Ok(Json(
        json!({ "wormhole": shown(lattice, &id, &spec), "undo": undo }),
    ))
}

pub(super) async fn open(
    State(actions): State<Actions>,
    Body(Which { id }): Body<Which>,
) -> Result<Json<Value>, Problem> {
    let id = named(WormholeId::new(&id))?;
    let wormholes = actions.lattice().wormholes();
    let change = wormholes.open(id.clone());
    changed(&actions, &id, "the wormhole was not opened", change).await
}

pub(super) async fn close(
    State(actions): State<Actions>,
    Body(Which { id }): Body<Which>,
) -> Result<Json<Value>, Problem> {
    let id = named(WormholeId::new(&id))?;
    let wormholes = actions.lattice().wormholes();
    let change = wormholes.close(id.clone());
    changed(&actions, &id, "the wormhole was not closed", change).await
}

pub(super) async fn rename(
    State(actions): State<Actions>,
    Body(Renamed { id, host }): Body<Renamed>,
) -> Result<Json<Value>, Problem> {
    let id = named(WormholeId::new(&id))?;
    let wormholes = actions.lattice().wormholes();
    let change = wormholes.rename(id.clone(), &host);
    changed(&actions, &id, "the wormhole was not renamed", change).await
}

/// Makes a change when it is its turn, and keeps what was before.
async fn changed(
    actions: &Actions,
    id: &WormholeId,
    what: &str,
    change: impl Future<Output = Result<WormholeSpec, WormholeError>>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let mut changes = actions.turn().await?;
    let before = present(lattice, id, what).await?;
    let after = change.await;
    let after = after.map_err(|error| failed::wormhole(what, &error))?;
    let undo = (before != after).then(|| {
        changes.made(Change::Wormhole {
            id: id.clone(),
            before: Some(Box::new(before)),
            after: Some(Box::new(after.clone())),
        })
    });
    Ok(Json(
        json!({ "wormhole": shown(lattice, id, &after), "undo": undo }),
    ))
}

pub(super) async fn delete(
    State(actions): State<Actions>,
    Body(Which { id }): Body<Which>,
) -> Result<Json<Value>, Problem> {
    let id = named(WormholeId::new(&id))?;
    let what = "the wormhole was not deleted";
    let lattice = actions.lattice();
    let mut changes = actions.turn().await?;
    let before = present(lattice, &id, what).await?;
    let was = shown(lattice, &id, &before);
    let deleted = lattice.wormholes().delete(id.clone()).await;
    deleted.map_err(|error| failed::wormhole(what, &error))?;
    let undo = changes.made(Change::Wormhole {
        id,
        before: Some(Box::new(before)),
        after: None,
    });
    Ok(Json(json!({ "wormhole": was, "undo": undo })))
}

pub(super) async fn addresses(
    State(actions): State<Actions>,
    Query(Which { id }): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let id = named(WormholeId::new(&id))?;
    let lattice = actions.lattice();
    let spec = present(lattice, &id, "its addresses can't be found").await?;
    let ingresses = Ingresses::of(lattice);
    let (addresses, count) = (ingresses.urls(&spec), ingresses.len());
    Ok(Json(
        json!({ "id": id, "addresses": addresses, "ingresses": count }),
    ))
}

async fn present(lattice: &Lattice, id: &WormholeId, what: &str) -> Result<WormholeSpec, Problem> {
    let found = lattice.wormholes().get(id.clone()).await;
    let found = found.map_err(|error| failed::wormhole(what, &error))?;
    found.ok_or_else(|| failed::missing("no-such-wormhole", format!("there is no wormhole `{id}`")))
}

impl New {
    fn wormhole(self) -> Result<NewWormhole, Problem> {
        let mut new = named(NewWormhole::new(component(&self.actor)?))?;
        if let Some(id) = &self.id {
            new = named(new.id(id.as_str()))?;
        }
        if let Some(host) = self.host {
            new = new.host(host);
        } else if self.any_host {
            new = new.any_host();
        }
        for domain in self.domains {
            new = new.domain(domain);
        }
        if let Some(path) = self.path {
            new = new.path(path);
        }
        if let Some(link) = &self.link {
            new = named(new.link(link.as_str()))?;
        }
        if let Some(verifier) = &self.verifier {
            new = new.auth(WormholeAuth::Verifier {
                actor: component(verifier)?,
                link: LinkName::default(),
            });
        }
        Ok(if self.closed { new.closed() } else { new })
    }
}

/// Returns a wormhole as it is sent: without the hashes of those whom it lets through.
fn shown(lattice: &Lattice, id: &WormholeId, spec: &WormholeSpec) -> Value {
    let ingresses = Ingresses::of(lattice);
    let auth = spec.auth.as_ref();
    let desired = lattice.desired();
    let revision = desired.wormholes.get(id).map(|found| found.revision.0);
    json!({
        "id": id,
        "actor": spec.actor,
        "host": spec.host,
        "domains": spec.domains,
        "path": spec.path,
        "state": spec.state,
        "auth": auth.map(WormholeAuth::kind),
        "verifier": auth.and_then(WormholeAuth::verifier),
        "app": spec.app,
        "revision": revision,
        "addresses": ingresses.urls(spec),
        "ingresses": ingresses.len(),
    })
}

/// Undoes a change of a wormhole.
pub(super) async fn undo(
    lattice: &Lattice,
    id: &WormholeId,
    before: Option<&WormholeSpec>,
    after: Option<&WormholeSpec>,
) -> Undoable {
    let what = "the change of the wormhole can't be undone";
    let wormholes = lattice.wormholes();
    let failed_at = |error| failed::wormhole(what, &error);
    let now = wormholes.get(id.clone()).await.map_err(failed_at)?;
    let changed = || {
        let why = format!("somebody has changed `{id}` since");
        NotUndone::changed_since(failed::changed_since(what, why))
    };
    if now.as_ref() != after {
        return Err(changed());
    }
    match (before, after) {
        (None, _) => {
            wormholes.delete(id.clone()).await.map_err(failed_at)?;
            return Ok(format!("wormhole `{id}` is deleted"));
        }
        (Some(before), None) => {
            let mut new = named(NewWormhole::with(before.clone()).id(id.clone()))?;
            if before.host.is_none() {
                new = new.any_host();
            }
            wormholes.create(new).await.map_err(failed_at)?;
        }
        (Some(before), Some(after)) => {
            let mut is_same = true;
            let update = wormholes.update(id.clone(), |spec| {
                is_same = *spec == *after;
                if is_same {
                    *spec = before.clone();
                }
            });
            update.await.map_err(failed_at)?;
            if !is_same {
                return Err(changed());
            }
        }
    }
    Ok(format!("wormhole `{id}` is as it was"))
}
