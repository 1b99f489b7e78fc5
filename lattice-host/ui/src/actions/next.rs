//! What to do next about a finding, as a button.

use lattice_core::{
    constellation::Finding,
    link::LinkKey,
    name::{ComponentId, WormholeId},
};
use serde_json::{Value, json};

/// One step that a person can take at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes a request, after the person has confirmed it.
    Open(WormholeId),
    /// Opens the dialog of a link that is there, or of a new one.
    EditLink(LinkKey),
    NewLink(LinkKey),
    NewWormhole,
    /// Opens the dialog for a manifest.
    Apply,
    /// Selects something else.
    SelectComponent(ComponentId),
    SelectLink(LinkKey),
    Select {
        kind: &'static str,
        id: String,
    },
    /// Shows the log of a component.
    Logs(ComponentId),
}

/// Returns the step to take about a finding, if there is one that can be taken here.
pub(super) fn step(finding: &Finding) -> Option<Step> {
    Some(match finding {
        Finding::Unknown { similar, .. } => match similar {
            Some(similar) => Step::SelectComponent(similar.clone()),
            None => Step::Apply,
        },
        Finding::NoneWanted { .. }
        | Finding::RolledBack { .. }
        | Finding::Missing { .. }
        | Finding::NoTarget { .. } => Step::Apply,
        Finding::Starting { component, .. }
        | Finding::NotBegun { component, .. }
        | Finding::Updating { component, .. }
        | Finding::CrashLooping { component, .. }
        | Finding::Rejected { component, .. }
        | Finding::ServesInPart { component, .. } => Step::Logs(component.clone()),
        Finding::NoLink { link, similar } => match similar.first() {
            Some(similar) => Step::SelectLink(similar.clone()),
            None => Step::NewLink(link.clone()),
        },
        Finding::LinkRejected { link, .. }
        | Finding::LinkMismatch { link, .. }
        | Finding::NothingLocal { link, .. } => Step::EditLink(link.clone()),
        Finding::LinkPending { target, .. } => Step::SelectComponent(target.clone()),
        Finding::NoApp { similar, .. } => match similar {
            Some(similar) => Step::Select {
                kind: "app",
                id: similar.to_string(),
            },
            None => Step::Apply,
        },
        Finding::NoWormhole { similar, .. } => match similar {
            Some(similar) => Step::Select {
                kind: "wormhole",
                id: similar.to_string(),
            },
            None => Step::NewWormhole,
        },
        Finding::Closed { wormhole } => Step::Open(wormhole.clone()),
        Finding::Doubled { host } | Finding::Astray { host } => Step::Select {
            kind: "host",
            id: host.to_string(),
        },
        _ => return None,
    })
}

impl Step {
    /// Returns whether it changes something, or begins to.
    pub(super) fn changes(&self) -> bool {
        match self {
            Self::Open(_)
            | Self::EditLink(_)
            | Self::NewLink(_)
            | Self::NewWormhole
            | Self::Apply => true,
            Self::SelectComponent(_)
            | Self::SelectLink(_)
            | Self::Select { .. }
            | Self::Logs(_) => false,
        }
    }

    /// Returns the step as it is sent.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Open(id) => json!({
                "label": "Open the wormhole",
                "do": "post",
                "path": "/api/wormholes/open",
                "body": { "id": id },
                "confirm": true,
            }),
            Self::EditLink(key) => {
                json!({ "label": "Edit the link", "do": "edit-link", "link": key })
            }
            Self::NewLink(key) => json!({ "label": "Put the link", "do": "new-link", "link": key }),
            Self::NewWormhole => json!({ "label": "New wormhole", "do": "new-wormhole" }),
            Self::Apply => json!({ "label": "Apply a manifest", "do": "apply" }),
            Self::SelectComponent(id) => json!({
                "label": format!("Select `{id}`"),
                "do": "select",
                "kind": "component",
                "id": id,
            }),
            Self::SelectLink(key) => json!({
                "label": format!("Select the link {key}"),
                "do": "select",
                "kind": "link",
                "link": key,
            }),
            Self::Select { kind, id } => json!({
                "label": format!("Select `{id}`"),
                "do": "select",
                "kind": kind,
                "id": id,
            }),
            Self::Logs(id) => json!({ "label": "Show the log", "do": "logs", "component": id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_fits_its_finding() {
        let key = LinkKey {
            source: "front".parse().expect("valid"),
            interface: "a:b/c@0.2".to_owned(),
            name: "default".parse().expect("valid"),
        };
        let rejected = Finding::LinkRejected {
            link: key.clone(),
            target: "back".parse().expect("valid"),
            reason: None,
        };
        let step = step(&rejected).expect("a step");
        assert!(step.changes());
        let shown = step.shown();
        assert_eq!(shown["do"], "edit-link");
        assert_eq!(shown["link"]["source"], "front");
        let closed = Finding::Closed {
            wormhole: "shop".parse().expect("valid"),
        };
        let shown = super::step(&closed).expect("a step").shown();
        assert_eq!(shown["path"], "/api/wormholes/open");
        assert_eq!(shown["body"]["id"], "shop");
        assert_eq!(super::step(&Finding::NoIngress), None);
    }
}
