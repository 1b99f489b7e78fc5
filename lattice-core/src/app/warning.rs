//! What works and may not be what was meant.

use super::{AppManifest, ResourceRef, SpreadManifest};
use crate::{
    desired::{Desired, OciReference},
    membership::Peers,
    name::ComponentId,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Something in a plan that works and may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// Nobody would run it.
    #[error("no host is in the lattice now; nothing runs until one joins")]
    NoHosts,
    /// No host carries a label that a rule names.
    #[error(
        "{resource}: no host carries the label `{label}`; it may be misspelt, or its hosts are still to join"
    )]
    UnknownLabel {
        /// What the rule is of.
        #[serde(rename = "thing")]
        resource: ResourceRef,
        /// The label.
        label: String,
    },
    /// Hosts carry the label, none with that value.
    #[error(
        "{resource}: no host carries `{label}` = `{value}`; it may be misspelt, or its hosts are still to join"
    )]
    UnknownLabelValue {
        /// What the rule is of.
        #[serde(rename = "thing")]
        resource: ResourceRef,
        /// The label.
        label: String,
        /// The value.
        value: String,
    },
    /// An external component that nobody declared or serves.
    #[error(
        "nobody in the lattice has declared or serves the external component `{id}`; its links lead nowhere until someone does"
    )]
    UnknownExternal {
        /// The component.
        id: ComponentId,
    },
    /// A tag that was not pinned.
    #[error(
        "{resource}: the tag of `{reference}` may move, and nobody has said which artifact it means now; each host takes what it finds"
    )]
    Unpinned {
        /// What runs it.
        #[serde(rename = "thing")]
        resource: ResourceRef,
        /// The artifact.
        reference: OciReference,
    },
    /// A value that can't be used is written over.
    #[error("{resource}: what stands in the store can't be used and is written over ({reason})")]
    WrittenOver {
        /// What.
        #[serde(rename = "thing")]
        resource: ResourceRef,
        /// What is wrong with the value.
        reason: String,
    },
}

/// The labels that hosts carry, and their values.
type Labels<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// What the hosts that are there make of a manifest's rules and of its external components.
pub(super) fn of_hosts(manifest: &AppManifest, desired: &Desired, peers: &Peers) -> Vec<Warning> {
    let mut warnings = BTreeSet::new();
    for id in &manifest.external {
        if !desired.has_component(id) && peers.serving(id).is_empty() {
            warnings.insert(Warning::UnknownExternal { id: id.clone() });
        }
    }
    let mut labels = Labels::new();
    for peer in peers.iter() {
        for (label, value) in &peer.labels {
            labels.entry(label).or_default().insert(value);
        }
    }
    if peers.iter().next().is_none() {
        warnings.insert(Warning::NoHosts);
        return warnings.into_iter().collect();
    }
    for (id, actor) in &manifest.actors {
        let rules = [&actor.require, &actor.exclude];
        let found = unknown(
            &ResourceRef::Actor(id.clone()),
            rules,
            &actor.spread,
            &labels,
        );
        warnings.extend(found);
    }
    for (id, provider) in &manifest.providers {
        let rules = [&provider.require, &provider.exclude];
        let found = unknown(
            &ResourceRef::Provider(id.clone()),
            rules,
            &provider.spread,
            &labels,
        );
        warnings.extend(found);
    }
    warnings.into_iter().collect()
}

/// The labels of one placement that no host carries.
fn unknown(
    resource: &ResourceRef,
    rules: [&BTreeMap<String, String>; 2],
    spread: &[SpreadManifest],
    labels: &Labels<'_>,
) -> Vec<Warning> {
    let named = rules.into_iter().flatten();
    let named = named.map(|(label, value)| (label, Some(value)));
    let spread = spread.iter().flat_map(|rule| {
        let values = rule.weights.keys().map(|value| (&rule.label, Some(value)));
        std::iter::once((&rule.label, None)).chain(values)
    });
    named
        .chain(spread)
        .filter_map(|(label, value)| match (labels.get(label.as_str()), value) {
            (None, _) => Some(Warning::UnknownLabel {
                resource: resource.clone(),
                label: label.clone(),
            }),
            (Some(values), Some(value)) if !values.contains(value.as_str()) => {
                Some(Warning::UnknownLabelValue {
                    resource: resource.clone(),
                    label: label.clone(),
                    value: value.clone(),
                })
            }
            _ => None,
        })
        .collect()
}
