//! Apps as a person applies them: manifests, plans, conflicts, faults.

mod conflicts;
mod faults;
mod garbage;
mod hosts;
mod limits;
mod manifests;
mod mixed;
mod over_nats;
mod plans;
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

/// One process of a lattice on this store.
async fn join(store: &MemoryStore) -> Lattice {
    over(Arc::new(store.clone())).await
}

/// One that reaches its store in its own way.
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

/// The app that this TOML says.
fn app(text: &str) -> App {
    App::from_toml("app.toml", text).expect("a manifest")
}

/// An app with these actors and nothing else.
fn actors(name: &str, actors: &[&str]) -> App {
    let actor = |id: &&str| format!("[actors.{id}]\nimage = \"{IMAGE}\"\n");
    let actors: String = actors.iter().map(actor).collect();
    app(&format!("name = \"{name}\"\n{actors}"))
}

/// What is wrong with this TOML.
fn refused(text: &str) -> Problems {
    match App::from_toml("app.toml", text) {
        Err(LoadError::Problems(problems)) => problems,
        other => panic!("not problems: {other:?}"),
    }
}

/// What a lattice has against an app.
async fn objections(lattice: &Lattice, app: &App) -> Problems {
    match lattice.plan(app).await {
        Err(PlanError::Problems(problems)) => problems,
        other => panic!("not problems: {other:?}"),
    }
}

fn kinds(problems: &Problems) -> Vec<&ProblemKind> {
    problems.iter().map(|problem| &problem.kind).collect()
}

/// Applies, and again when someone was faster.
async fn in_the_end(lattice: &Lattice, app: &App) {
    for _ in 0..20 {
        match lattice.apply(app).await {
            Ok(_) => return,
            Err(ApplyError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("others were faster 20 times");
}
