//! What components export and import, and their WIT.

use super::{Actions, failed, parse, within};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use futures_util::{StreamExt as _, stream};
use lattice_core::{
    Lattice,
    name::{ComponentId, InterfaceName},
    store::StoreError,
    types::{ComponentTypes, InterfaceTypes},
};
use lattice_wit::binary::{self, Described};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How many components are read from the store at once.
const AT_ONCE: usize = 32;
/// Most components in one request by name.
const MOST: usize = 1_000;

/// The components that are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// Ids, separated by commas. All components, if it is left out.
    #[serde(default)]
    of: Option<String>,
}

/// One component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    pub(super) component: String,
}

pub(super) async fn all(
    State(actions): State<Actions>,
    Query(Of { of }): Query<Of>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let ids: Vec<ComponentId> = match of {
        None => {
            let view = within(lattice.constellation().settled()).await?;
            view.components.keys().cloned().collect()
        }
        Some(of) if of.split(',').count() > MOST => {
            let why = format!("it names more than {MOST} components");
            return Err(failed::bad_field("of", why));
        }
        Some(of) => of
            .split(',')
            .map(parse::component)
            .collect::<Result<_, _>>()?,
    };
    let components = within(described(lattice, ids)).await?;
    let unread = |error| failed::store("the types of components can't be read", &error);
    let components = components.map_err(unread)?;
    Ok(Json(json!({ "components": components })))
}

async fn described(lattice: &Lattice, ids: Vec<ComponentId>) -> Result<Vec<Value>, StoreError> {
    let components = stream::iter(ids).map(move |id| async move {
        let types = lattice.published_types(&id).await?;
        let names = |of: fn(&ComponentTypes) -> &BTreeMap<InterfaceName, InterfaceTypes>| {
            let names = types.iter().flat_map(|types| of(types).keys());
            names.map(InterfaceName::as_str).collect::<Vec<_>>()
        };
        Ok::<_, StoreError>(json!({
            "id": id,
            "known": types.is_some(),
            "exports": names(|types| &types.exports),
            "imports": names(|types| &types.imports),
        }))
    });
    let components: Vec<_> = components.buffered(AT_ONCE).collect().await;
    components.into_iter().collect()
}

pub(super) async fn wit(
    State(actions): State<Actions>,
    Query(One { component }): Query<One>,
) -> Result<Json<Value>, Problem> {
    let id = parse::component(&component)?;
    let types = published(&actions, &id).await?;
    let published = types.wit.clone();
    // Printing the WIT of a large component takes milliseconds.
    let texts = tokio::task::spawn_blocking(move || {
        let described = published.and_then(|wit| binary::decode(&wit).ok());
        described.map(|described| texts(&described))
    });
    let texts = texts.await.ok().flatten().unwrap_or_default();
    Ok(Json(json!({
        "component": id,
        "exports": listed(&types.exports, &texts),
        "imports": listed(&types.imports, &texts),
    })))
}

/// Returns what a component has published.
pub(super) async fn published(
    actions: &Actions,
    id: &ComponentId,
) -> Result<Arc<ComponentTypes>, Problem> {
    let types = within(actions.lattice().published_types(id)).await?;
    let types = types.map_err(|error| failed::store("its types can't be read", &error))?;
    types.ok_or_else(|| {
        let what = format!("no component `{id}` has published what it exports and imports");
        failed::missing("no-such-component", what).next("start it, or correct the name")
    })
}

/// The text of each interface, by its name.
fn texts(described: &Described) -> HashMap<String, String> {
    let keys = described.exports().chain(described.imports());
    let texts = keys.filter_map(|key| {
        let text = described.text(key).ok().flatten()?;
        Some((described.resolve.name_world_key(key), text))
    });
    texts.collect()
}

fn listed(
    interfaces: &BTreeMap<InterfaceName, InterfaceTypes>,
    texts: &HashMap<String, String>,
) -> Vec<Value> {
    let listed = interfaces.iter().map(|(name, types)| {
        let functions = types
            .functions
            .iter()
            .map(|(function, signature)| json!({ "name": function, "signature": signature }));
        json!({
            "interface": name,
            "wit": texts.get(name.as_str()),
            "functions": functions.collect::<Vec<_>>(),
        })
    });
    listed.collect()
}
