//! Which inlets an outlet fits, before a link is drawn.

use super::{Actions, failed, parse, within};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use futures_util::{StreamExt as _, stream};
use lattice_core::{
    Lattice,
    link::Link,
    name::{ComponentId, InterfaceName},
    store::StoreError,
    types::ComponentTypes,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How many components are compared at once. Each may be read from the store.
const AT_ONCE: usize = 32;

/// An outlet: an interface that a component calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outlet {
    source: String,
    interface: String,
}

pub(super) async fn fits(
    State(actions): State<Actions>,
    Query(outlet): Query<Outlet>,
) -> Result<Json<Value>, Problem> {
    let source = parse::component(&outlet.source)?;
    let interface = parse::interface(&outlet.interface)?;
    let lattice = actions.lattice();
    let view = within(lattice.constellation().settled()).await?;
    let targets = view.components.keys().cloned().collect();
    let inlets = within(inlets(lattice, &source, &interface, targets)).await?;
    let unread = |error| failed::store("the types of components can't be read", &error);
    Ok(Json(json!({
        "source": source,
        "interface": interface,
        "inlets": inlets.map_err(unread)?,
    })))
}

async fn inlets(
    lattice: &Lattice,
    source: &ComponentId,
    interface: &InterfaceName,
    targets: Vec<ComponentId>,
) -> Result<Vec<Value>, StoreError> {
    let calls = lattice.published_types(source).await?;
    let calls = calls.as_deref();
    let inlets = stream::iter(targets).map(move |target| async move {
        let serves = lattice.published_types(&target).await?;
        Ok::<_, StoreError>(inlet(source, interface, target, (calls, serves)))
    });
    let inlets: Vec<_> = inlets.buffered(AT_ONCE).collect().await;
    inlets.into_iter().collect()
}

/// Compares the two ends as the lattice does when the link is put.
fn inlet(
    source: &ComponentId,
    interface: &InterfaceName,
    target: ComponentId,
    (calls, serves): (Option<&ComponentTypes>, Option<Arc<ComponentTypes>>),
) -> Value {
    let Some(serves) = serves else {
        return json!({
            "target": target,
            "inlet": null,
            "fits": "unknown",
            "why": format!("`{target}` was never started, so what it serves isn't known"),
            "next": "put the link: it is checked when the component starts",
        });
    };
    let exported = serves.export(interface).map(|(name, _)| name);
    let link = Link::new(source.clone(), interface.clone(), target.clone());
    let mismatch = match link {
        Ok(link) => link.check(calls, Some(&*serves)).err(),
        // Names that are parsed already are valid.
        Err(_) => None,
    };
    let text = mismatch.map(|mismatch| mismatch.to_string());
    let (why, next) = match text.as_deref().map(|text| text.rsplit_once("; ")) {
        None => (None, None),
        Some(Some((why, next))) => (Some(why), Some(next)),
        Some(None) => (text.as_deref(), None),
    };
    json!({
        "target": target,
        "inlet": exported,
        "fits": if text.is_none() { "yes" } else { "no" },
        "why": why,
        "next": next,
    })
}
