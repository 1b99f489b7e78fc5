//! Explanations of hosts: what is out of the ordinary, and what to do about it.

use lattice_core::{
    constellation::{Finding, HostView, Severity, View},
    name::HostId,
};
use serde_json::{Value, json};

/// One fact about a host.
type Fact = (Severity, String);

/// Explains a host as it is in this view.
pub(super) fn explained(view: &View, id: &HostId) -> Value {
    let mut facts = match (view.hosts.get(id), view.lost_hosts.get(id)) {
        (Some(host), _) => facts(view, host),
        (None, Some(lost)) => {
            let silence = lost.last_heard.elapsed().unwrap_or_default().as_secs();
            let text = format!(
                "host `{id}` is silent: its last heartbeat came {silence} s ago, and it said no goodbye; start it again, or look at its machine and its network"
            );
            vec![(Severity::Fault, text)]
        }
        (None, None) => vec![(
            Severity::Fault,
            format!("no live host has the id `{id}`; start it, or look at the log of its machine"),
        )],
    };
    facts.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    let severity = facts.iter().map(|(severity, _)| *severity).max();
    let findings = facts.iter().map(
        |(severity, message)| json!({ "severity": severity, "message": message, "action": null }),
    );
    json!({
        "subject": { "host": id },
        "severity": severity.unwrap_or(Severity::Fine),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn facts(view: &View, host: &HostView) -> Vec<Fact> {
    let id = &host.id;
    let mut facts = Vec::new();
    let mut found = |finding: Finding| facts.push((finding.severity(), finding.to_string()));
    if host.is_astray {
        found(Finding::Astray { host: id.clone() });
    }
    if host.rival.is_some() {
        found(Finding::Doubled { host: id.clone() });
    }
    if let Some(reason) = host.unsaid.clone() {
        let host = id.clone();
        found(Finding::Unannounced { host, reason });
    }
    let mut say = |severity: Severity, text: String| facts.push((severity, text));
    if host.is_leaving {
        let text = format!("host `{id}` is leaving: others take over what it runs");
        say(Severity::Waiting, text);
    }
    if host.is_apart && !host.is_astray {
        let text = format!(
            "host `{id}` takes no part in placement: it serves what its own program has, and starts nothing that apps declare"
        );
        say(Severity::Fine, text);
    }
    match &host.load {
        None => {
            let text = format!("host `{id}` has not reported yet; check again in some seconds");
            say(Severity::Waiting, text);
        }
        Some(load) if !load.follows_store => {
            let text = format!(
                "host `{id}` doesn't reach the store: it keeps what it runs, and sees no change; check its connection"
            );
            say(Severity::Fault, text);
        }
        Some(load) if load.left_out > 0 => {
            let text = format!(
                "host `{id}` runs {} components that don't fit its report; serve fewer on it",
                load.left_out
            );
            say(Severity::Fault, text);
        }
        Some(_) => {}
    }
    let here = view.replicas.keys().filter(|key| key.host == *id).count();
    let text = format!("host `{id}` has {here} components");
    say(Severity::Fine, text);
    facts
}
