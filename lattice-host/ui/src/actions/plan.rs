//! Plans as they are sent: without the values of configs and of `auth`, which may be secrets.

use lattice_core::app::{Difference, Plan, ResourceRef};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is shown in place of a value that may be a secret.
const HIDDEN: &str = "(hidden)";

/// Returns a plan as JSON.
pub(super) fn shown(plan: &Plan) -> Value {
    let change = plan.change.iter().map(|change| {
        let differences = change.differences.iter().map(difference);
        json!({
            "resource": resource(&change.resource),
            "differences": differences.collect::<Vec<_>>(),
        })
    });
    let warnings = plan.warnings.iter().map(ToString::to_string);
    json!({
        "app": plan.app,
        "create": resources(&plan.create),
        "change": change.collect::<Vec<_>>(),
        "delete": resources(&plan.delete),
        "unchanged": resources(&plan.unchanged),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

/// Returns a plan as text, as the command `lattice plan` prints it.
pub(super) fn text(plan: &Plan) -> String {
    let mut plan = plan.clone();
    for change in &mut plan.change {
        for difference in &mut change.differences {
            hide(difference);
        }
    }
    let mut text = String::new();
    // Writing to a string never fails.
    let _ = write!(text, "{plan}");
    text
}

fn resources(resources: &[ResourceRef]) -> Vec<Value> {
    resources.iter().map(resource).collect()
}

pub(super) fn resource(resource: &ResourceRef) -> Value {
    let (kind, name) = match resource {
        ResourceRef::App(name) => ("app", name.to_string()),
        ResourceRef::Config(name) => ("config", name.to_string()),
        ResourceRef::Actor(id) => ("actor", id.to_string()),
        ResourceRef::Provider(id) => ("provider", id.to_string()),
        ResourceRef::Link(key) => ("link", key.to_string()),
        ResourceRef::Wormhole(id) => ("wormhole", id.to_string()),
        other => ("resource", other.to_string()),
    };
    json!({ "kind": kind, "name": name, "text": resource.to_string() })
}

fn difference(difference: &Difference) -> Value {
    let mut difference = difference.clone();
    hide(&mut difference);
    json!({
        "field": difference.field,
        "before": difference.before,
        "after": difference.after,
    })
}

fn hide(difference: &mut Difference) {
    let first = difference.field.split('.').next();
    if matches!(first, Some("config" | "values" | "auth")) {
        for value in [&mut difference.before, &mut difference.after] {
            if value.is_some() {
                *value = Some(HIDDEN.to_owned());
            }
        }
    }
}
