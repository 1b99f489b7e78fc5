//! The constellation as a program sees it: live views, explanations, drawings.

mod drawings;
mod explanations;
mod live;

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use lattice_core::{
    Lattice,
    app::App,
    constellation::{Explanation, Severity, Subject},
};
use support::*;

const IMAGE: &str = "registry.example/shop/greeter:1";

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
