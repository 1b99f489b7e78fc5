//! Explanations of anything that is selected, each finding with what to do about it as a button.

use super::{Actions, hosts, next, parse, within};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use lattice_core::{
    constellation::{Explanation, Subject},
    name::{AppName, HostId, WormholeId},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is to be explained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    kind: Kind,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default = "parse::default_name")]
    name: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Component,
    Link,
    App,
    Wormhole,
    Host,
}

pub(super) async fn explain(
    State(actions): State<Actions>,
    Query(about): Query<About>,
) -> Result<Json<Value>, Problem> {
    let lattice = actions.lattice();
    let subject = match about.kind {
        Kind::Host => {
            let id = parse::named(HostId::new(about.id()?))?;
            let view = within(lattice.constellation().settled()).await?;
            return Ok(Json(hosts::explained(&view, &id)));
        }
        Kind::Component => Subject::Component(parse::component(about.id()?)?),
        Kind::App => Subject::App(parse::named(AppName::new(about.id()?))?),
        Kind::Wormhole => Subject::Wormhole(parse::named(WormholeId::new(about.id()?))?),
        Kind::Link => {
            let (source, interface) = (about.source.as_deref(), about.interface.as_deref());
            let source = source.ok_or_else(|| lacks("source"))?;
            let interface = interface.ok_or_else(|| lacks("interface"))?;
            Subject::Link(parse::key(source, interface, &about.name)?)
        }
    };
    let explanation = within(lattice.explain(&subject)).await?;
    Ok(Json(shown(&explanation, actions.0.state.is_read_only())))
}

impl About {
    fn id(&self) -> Result<&str, Problem> {
        self.id.as_deref().ok_or_else(|| lacks("id"))
    }
}

fn lacks(field: &str) -> Problem {
    super::failed::bad_field(field, "it is missing")
}

fn shown(explanation: &Explanation, is_read_only: bool) -> Value {
    let findings = explanation.findings.iter().map(|finding| {
        let step = next::step(finding);
        let step = step.filter(|step| !is_read_only || !step.changes());
        json!({
            "severity": finding.severity(),
            "message": finding.to_string(),
            "action": step.map(|step| step.shown()),
        })
    });
    json!({
        "subject": explanation.subject,
        "severity": explanation.severity,
        "findings": findings.collect::<Vec<_>>(),
    })
}
