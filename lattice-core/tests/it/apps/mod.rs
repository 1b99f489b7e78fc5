//! Apps as a person applies them: manifests, plans, conflicts, faults.

mod conflicts;
mod exports;
mod faults;
mod foreign;
mod garbage;
mod hosts;
mod lagging;
mod limits;
mod manifests;
mod mixed;
mod over_nats;
mod plans;
mod removed;
mod round_trips;
mod whole;

use crate::nats;
use lattice_core::{
    Lattice,
    app::{App, ApplyError, LoadError, PlanError, ProblemKind, Problems},
    auth::{Auth, LatticeKey},
    bus::memory::MemoryNetwork,
    name::{AppName, ComponentId, LatticeName},
    store::{MemoryStore, Store},
};
use std::sync::Arc;

const IMAGE: &str = "registry.example/shop/greeter:1";

/// Opens a process of a lattice on this store.
async fn join(store: &MemoryStore) -> Lattice {
    over(Arc::new(store.clone())).await
}

/// Opens a process that reaches its store through `way`.
async fn over(store: Arc<dyn Store>) -> Lattice {
    let bus = Arc::new(MemoryNetwork::new().connect());
    Lattice::on(bus, store, "dev")
        .key(key())
        .await
        .expect("it joins")
}

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"01".repeat(32)).expect("a key")
}

fn auth() -> Auth {
    Auth::keyed(&LatticeName::new("dev").expect("valid"), &key())
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("valid")
}

fn name(text: &str) -> AppName {
    AppName::new(text).expect("valid")
}

/// Parses an app from TOML.
fn app(text: &str) -> App {
    App::from_toml("app.toml", text).expect("a manifest")
}

/// Creates an app with only these actors.
fn actors(name: &str, actors: &[&str]) -> App {
    let actor = |id: &&str| format!("[actors.{id}]\nimage = \"{IMAGE}\"\n");
    let actors: String = actors.iter().map(actor).collect();
    app(&format!("name = \"{name}\"\n{actors}"))
}

/// Returns the problems of this TOML.
fn refused(text: &str) -> Problems {
    match App::from_toml("app.toml", text) {
        Err(LoadError::Problems(problems)) => problems,
        other => panic!("not problems: {other:?}"),
    }
}

/// Returns the problems that a lattice finds in an app.
async fn objections(lattice: &Lattice, app: &App) -> Problems {
    match lattice.plan(app).await {
        Err(PlanError::Problems(problems)) => problems,
        other => panic!("not problems: {other:?}"),
    }
}

fn kinds(problems: &Problems) -> Vec<&ProblemKind> {
    problems.iter().map(|problem| &problem.kind).collect()
}

/// Applies the app, and retries when another process was faster.
async fn in_the_end(lattice: &Lattice, app: &App) {
    for _ in 0..20 {
        match lattice.apply(app).await {
            Ok(_) => return,
            Err(ApplyError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("other processes were faster 20 times");
}
