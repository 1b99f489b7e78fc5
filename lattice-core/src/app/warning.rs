//! Warnings: parts of a plan that work but may be mistakes.

use super::{AppManifest, ResourceRef, SpreadManifest};
use crate::{
    desired::{Desired, OciReference, Replicas, WormholeState},
    membership::Peers,
    name::{ComponentId, WormholeId},
    wire::Beat,
    wormhole::INGRESS_LABEL,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A part of a plan that works but may be a mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The lattice has no host.
    #[error("no host is in the lattice now; nothing runs until one joins")]
    NoHosts,
    /// No host carries a label that a rule names.
    #[error(
        "{resource}: no host carries the label `{label}`; it may be misspelt, or its hosts have not joined yet"
    )]
    UnknownLabel {
        /// The resource that has the rule.
        resource: ResourceRef,
        /// The label.
        label: String,
    },
    /// Hosts carry the label, but none with this value.
    #[error(
        "{resource}: no host carries `{label}` = `{value}`; it may be misspelt, or its hosts have not joined yet"
    )]
    UnknownLabelValue {
        /// The resource that has the rule.
        resource: ResourceRef,
        /// The label.
        label: String,
        /// The value.
        value: String,
    },
    /// An external component that links lead to is neither declared nor served.
    #[error(
        "the external component `{id}` is neither declared nor served in the lattice; calls over its links fail until it is"
    )]
    UnknownExternal {
        /// The component.
        id: ComponentId,
    },
    /// The artifact is named by a tag that was not pinned.
    #[error(
        "{resource}: the tag of `{reference}` may move, and it isn't pinned to an artifact; each host runs the artifact that it finds"
    )]
    Unpinned {
        /// The component that runs it.
        resource: ResourceRef,
        /// The artifact.
        reference: OciReference,
    },
    /// A value in the store can't be used, and is overwritten.
    #[error("{resource}: the value in the store can't be used and is overwritten ({reason})")]
    WrittenOver {
        /// The resource.
        resource: ResourceRef,
        /// The problem of the value.
        reason: String,
    },
    /// Hosts run a version of an actor that isn't the declared one.
    #[error("actor `{id}`: hosts run {runs}, in addition to or instead of the declared version")]
    OtherVersion {
        /// The actor.
        id: ComponentId,
        /// The version that they run.
        runs: String,
    },
    /// More components are declared than the live hosts can announce.
    #[error(
        "{replicas} components would run on {hosts} hosts, and a host announces at most {limit} of them; the others don't run until more hosts join"
    )]
    TooManyComponents {
        /// How many components would run, each counted once for each of its hosts.
        replicas: usize,
        /// How many hosts are live.
        hosts: usize,
        /// How many components a host announces at most.
        limit: usize,
    },
    /// A wormhole is open, and no live host has an ingress.
    #[error(
        "wormhole `{id}`: no host has an ingress, so no request gets to it; start one with `lattice up --http 127.0.0.1:8080`"
    )]
    NoIngress {
        /// The wormhole.
        id: WormholeId,
    },
}

/// Returns a warning for each of these actors that runs in a version other than the declared one.
pub(super) fn of_versions<'a>(
    unchanged: impl IntoIterator<Item = &'a ResourceRef>,
    desired: &Desired,
    peers: &Peers,
) -> Vec<Warning> {
    let actors = unchanged.into_iter().filter_map(|resource| match resource {
        ResourceRef::Actor(id) => Some(id),
        _ => None,
    });
    let other = |id: &ComponentId| {
        let runs = desired.other_versions(id, &peers.generations(id))?;
        let id = id.clone();
        Some(Warning::OtherVersion { id, runs })
    };
    actors.filter_map(other).collect()
}

/// The labels that hosts carry, with their values.
type Labels<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Checks a manifest's rules and its external components against the hosts that are live, and its
/// wormholes.
pub(super) fn of_hosts(manifest: &AppManifest, desired: &Desired, peers: &Peers) -> Vec<Warning> {
    let mut warnings = BTreeSet::new();
    for id in &manifest.external {
        // A component that only makes calls doesn't have to be served.
        if manifest.links.iter().all(|link| link.to != *id) {
            continue;
        }
        if !desired.has_component(id) && peers.serving(id).is_empty() {
            warnings.insert(Warning::UnknownExternal { id: id.clone() });
        }
    }
    let has_ingress = peers
        .iter()
        .any(|peer| peer.labels.contains_key(INGRESS_LABEL));
    for (id, wormhole) in &manifest.wormholes {
        if wormhole.state == WormholeState::Open && !has_ingress {
            warnings.insert(Warning::NoIngress { id: id.clone() });
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
    warnings.extend(crowding(manifest, desired, peers.iter().count()));
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

/// Compares what will be declared with what so many hosts can announce. Labels are left out of
/// account, so hosts may be full earlier, which an explanation says.
fn crowding(manifest: &AppManifest, desired: &Desired, hosts: usize) -> Option<Warning> {
    let actors = desired.actors.values().map(|actor| &actor.spec);
    let actors = actors.map(|spec| (&spec.app, spec.placement.replicas));
    let providers = desired.providers.values().map(|provider| &provider.spec);
    let providers = providers.map(|spec| (&spec.app, spec.placement.replicas));
    let others = actors
        .chain(providers)
        .filter(|(app, _)| app.as_ref() != Some(&manifest.name))
        .map(|(_, replicas)| replicas);
    let actors = manifest.actors.values().map(|actor| actor.replicas);
    let providers = manifest.providers.values().map(|one| one.replicas);
    let own = actors.chain(providers).map(Option::unwrap_or_default);
    let on_hosts = |replicas: Replicas| match replicas {
        Replicas::Exactly(count) => hosts.min(count as usize),
        Replicas::PerHost => hosts,
    };
    let replicas: usize = others.chain(own).map(on_hosts).sum();
    let limit = Beat::MAX_SERVED;
    (replicas > hosts.saturating_mul(limit)).then_some(Warning::TooManyComponents {
        replicas,
        hosts,
        limit,
    })
}

/// Returns the labels of one placement that no host carries.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lattice, app::App, node::NodeOptions};
    use std::{sync::Arc, time::Duration};

    fn app(name: &str, actor: &str) -> App {
        let text = format!("name = \"{name}\"\n[actors.{actor}]\nimage = \"reg.example/a:1\"\n");
        App::from_toml("app.toml", &text).expect("a manifest")
    }

    #[tokio::test(start_paused = true)]
    async fn more_components_than_the_hosts_can_announce_are_a_warning() {
        let lattice = Lattice::in_memory("dev").await.expect("it opens");
        let node = lattice.node(NodeOptions::default()).await;
        let _node = node.expect("it joins");
        while lattice.peers().iter().next().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lattice.apply(&app("first", "a0")).await.expect("applied");
        let mut desired = Desired::clone(&lattice.desired());
        let one = desired.actors.values().next().expect("one").clone();
        let found = |desired: &Desired| {
            let (shop, peers) = (app("shop", "new"), lattice.peers());
            let warnings = of_hosts(shop.manifest(), desired, &peers);
            let of_crowds =
                |warning: &Warning| matches!(warning, Warning::TooManyComponents { .. });
            warnings.into_iter().find(of_crowds)
        };
        for number in 1..Beat::MAX_SERVED - 1 {
            let id = format!("a{number}").parse().expect("an id");
            desired.actors.insert(id, Arc::clone(&one));
        }
        assert_eq!(found(&desired), None, "with the new one, as many as fit");
        let id = "one-more".parse().expect("an id");
        desired.actors.insert(id, one);
        let limit = Beat::MAX_SERVED;
        let expected = Warning::TooManyComponents {
            replicas: limit + 1,
            hosts: 1,
            limit,
        };
        assert_eq!(found(&desired), Some(expected));
        // What this app has declared before isn't counted twice.
        let (first, peers) = (app("first", "a0"), lattice.peers());
        let warnings = of_hosts(first.manifest(), &desired, &peers);
        assert!(!warnings.contains(&Warning::NoHosts), "{warnings:?}");
        let is_crowded = |warning: &Warning| matches!(warning, Warning::TooManyComponents { .. });
        assert!(!warnings.iter().any(is_crowded), "{warnings:?}");
    }
}
