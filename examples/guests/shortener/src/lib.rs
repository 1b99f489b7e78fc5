//! A URL shortener: a page, an API, redirects, statistics, and the removal of expired links. It
//! knows interfaces alone; `examples/shortener` has the manifests that say what is behind them.
//!
//! ```text
//!  wormhole ──► site ──► api, pages ──► links   ──► wasi:keyvalue
//!                 │          │
//!                 ├──────────┴────────► clicks  ──► wasmcloud:messaging, lattice:sql
//!  schedule ──► cleaning ───────────────┘
//! ```
//!
//! Clicks are published, and another actor counts them: `shortener-counter`.

lattice_actor_sdk::actor!({ path: "wit", export: Shortener });

mod answer;
mod api;
mod cleaning;
mod clicks;
mod clock;
mod form;
mod html;
mod links;
mod new_link;
mod pages;
mod problem;
mod random;
mod site;
mod target;
mod visit;

use exports::lattice::schedule::handler::{Guest, Tick};
use lattice_actor_sdk::http::{Body, Request, Response};

struct Shortener;

/// Serves a request.
#[lattice_actor_sdk::http]
async fn handle(request: Request<Body>) -> Response<Body> {
    site::answer(request).await
}

impl Guest for Shortener {
    /// Removes expired links.
    fn on_tick(_: Tick) -> Result<(), String> {
        cleaning::clean(clock::now())
    }
}
