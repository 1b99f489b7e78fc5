//! The constellation as a program sees it: live views, explanations, drawings.

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

/// A host's runtime that never gets anything done.
struct Idle;

impl Runtime for Idle {
    fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(pending())
    }
}

/// Has a node say that it takes work, for as long as the answer is kept: it listens for longer than a test takes, and does none.
async fn takes_work(lattice: &Lattice, node: &Node) -> Agent {
    let mut options = AgentOptions::default();
    options.listen = Duration::from_hours(24);
    let agent = Agent::start(node, Arc::new(Idle), options);
    eventually("it is heard to take work", async || {
        let view = lattice.constellation().snapshot();
        let host = view.hosts.get(node.host_id());
        host.is_some_and(|host| !host.is_apart)
    })
    .await;
    agent
}

/// Applies the app that this TOML says.
async fn apply(lattice: &Lattice, text: &str) {
    let app = App::from_toml("app.toml", text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
}

async fn why(lattice: &Lattice, component: &str) -> Explanation {
    lattice.explain(&Subject::Component(id(component))).await
}

/// What it says, and that it needs attention.
#[track_caller]
fn fault(explanation: &Explanation, says: &str) {
    assert_eq!(explanation.severity, Severity::Fault, "{explanation}");
    let text = explanation.to_string();
    assert!(text.contains(says), "{text}");
}
