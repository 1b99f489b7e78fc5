//! The public API of the constellation: live views, explanations, drawings.

mod drawings;
mod explanations;
mod live;

use crate::support::*;
use futures_util::future::{BoxFuture, pending};
use lattice_core::{
    Lattice,
    agent::{Agent, AgentOptions, Prepared, Runtime, RuntimeError, WorkItem},
    app::App,
    constellation::{Explanation, Severity, Subject},
    node::Node,
};
use std::{sync::Arc, time::Duration};

const IMAGE: &str = "registry.example/shop/greeter:1";

/// A runtime whose operations never complete.
struct Idle;

impl Runtime for Idle {
    fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(pending())
    }
}

/// Has a node announce that it takes work while the returned agent is kept. The agent listens for
/// longer than a test takes, and starts nothing.
async fn takes_work(lattice: &Lattice, node: &Node) -> Agent {
    let mut options = AgentOptions::default();
    options.listen = Duration::from_hours(24);
    let agent = Agent::start(node, Arc::new(Idle), options);
    eventually("it is known to take work", async || {
        let view = lattice.constellation().snapshot();
        let host = view.hosts.get(node.host_id());
        host.is_some_and(|host| !host.is_apart)
    })
    .await;
    agent
}

/// Parses an app from TOML and applies it.
async fn apply(lattice: &Lattice, text: &str) {
    let app = App::from_toml("app.toml", text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
}

async fn why(lattice: &Lattice, component: &str) -> Explanation {
    lattice.explain(&Subject::Component(id(component))).await
}

/// Checks that the explanation contains the text and needs attention.
#[track_caller]
fn fault(explanation: &Explanation, says: &str) {
    assert_eq!(explanation.severity, Severity::Fault, "{explanation}");
    let text = explanation.to_string();
    assert!(text.contains(says), "{text}");
}
