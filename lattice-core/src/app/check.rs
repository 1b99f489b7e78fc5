//! Finds the problems of a manifest in itself. Pure.

use super::{
    AppManifest, SpreadManifest,
    problem::{ManifestPath, ProblemKind, nearest},
    shape::MAX_PROBLEMS,
};
use crate::{
    desired::{Replicas, Run, too_many},
    link::LinkKey,
    name::{ComponentId, ConfigName, WormholeId},
};
use std::collections::{BTreeMap, BTreeSet};

/// A problem and the part of the manifest that has it.
pub(super) type Found = (ManifestPath, ProblemKind);

/// Returns everything that is wrong with the manifest. `also` names components that were declared
/// with errors, so that references to them are not reported too.
pub(super) fn check(manifest: &AppManifest, also: &BTreeSet<ComponentId>) -> Vec<Found> {
    let declared = manifest.actors.keys().chain(manifest.providers.keys());
    let mut check = Check {
        manifest,
        known: declared.chain(&manifest.external).chain(also).collect(),
        found: Vec::new(),
    };
    check.components();
    check.placements();
    check.providers();
    check.links();
    check.wormholes();
    check.found
}

struct Check<'a> {
    manifest: &'a AppManifest,
    /// Every component that links and wormholes may refer to.
    known: BTreeSet<&'a ComponentId>,
    found: Vec<Found>,
}

impl Check<'_> {
    fn add(&mut self, path: ManifestPath, kind: ProblemKind) {
        if !self.is_full() {
            self.found.push((path, kind));
        }
    }

    /// Returns whether the limit of reported problems is reached.
    fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    fn bad(&mut self, path: ManifestPath, reason: &str) {
        let reason = reason.to_owned();
        self.add(path, ProblemKind::BadValue { reason });
    }

    fn components(&mut self) {
        for id in self.manifest.providers.keys() {
            if self.manifest.actors.contains_key(id) {
                self.twice(ManifestPath::of(["providers", id.as_str()]), id, "an actor");
            }
        }
        for (at, id) in self.manifest.external.iter().enumerate() {
            let first = if self.manifest.actors.contains_key(id) {
                "an actor"
            } else if self.manifest.providers.contains_key(id) {
                "a provider"
            } else {
                continue;
            };
            self.twice(ManifestPath::of(["external"]).item(at), id, first);
        }
    }

    fn twice(&mut self, path: ManifestPath, id: &ComponentId, first: &'static str) {
        let id = id.clone();
        self.add(path, ProblemKind::DuplicateComponent { id, first });
    }

    fn placements(&mut self) {
        let manifest = self.manifest;
        for (id, actor) in &manifest.actors {
            let path = ManifestPath::of(["actors", id.as_str()]);
            self.replicas(&path, actor.replicas);
            self.placement(&path, &actor.require, &actor.exclude, &actor.spread);
        }
        for (id, provider) in &manifest.providers {
            let path = ManifestPath::of(["providers", id.as_str()]);
            self.replicas(&path, provider.replicas);
            self.placement(
                &path,
                &provider.require,
                &provider.exclude,
                &provider.spread,
            );
        }
    }

    /// Only a manifest made in Rust can have too many: in a text, they were refused when it was
    /// read.
    fn replicas(&mut self, path: &ManifestPath, replicas: Option<Replicas>) {
        if let Some(Replicas::Exactly(count)) = replicas
            && count > Replicas::MAX
        {
            self.bad(path.field("replicas"), &too_many(count.into()));
        }
    }

    fn placement(
        &mut self,
        path: &ManifestPath,
        require: &BTreeMap<String, String>,
        exclude: &BTreeMap<String, String>,
        spread: &[SpreadManifest],
    ) {
        for (label, value) in exclude {
            if require.get(label) == Some(value) {
                let path = path.field("exclude").field(label);
                self.bad(
                    path,
                    "this is both required and excluded, so no host is allowed; remove one of them",
                );
            }
        }
        let mut seen = BTreeSet::new();
        for (at, rule) in spread.iter().enumerate() {
            let path = path.field("spread").item(at);
            if rule.label.is_empty() {
                self.bad(path.field("label"), "a label must not be empty");
            }
            if !rule.weights.is_empty() && rule.weights.values().all(|weight| *weight == 0) {
                let path = path.field("weights");
                self.bad(
                    path,
                    "every weight is 0, so nothing would run; give one of them a share",
                );
            }
            if !seen.insert(&rule.label) {
                self.bad(
                    path.field("label"),
                    "there is already a rule for this label; remove one of them",
                );
            }
        }
    }

    fn providers(&mut self) {
        let manifest = self.manifest;
        for (id, provider) in &manifest.providers {
            let path = ManifestPath::of(["providers", id.as_str()]);
            match (&provider.builtin, &provider.image) {
                (Some(name), None) if name.is_empty() => {
                    self.bad(path.field("builtin"), "a name must not be empty");
                }
                (Some(_), Some(_)) => {
                    self.bad(
                        path.field("image"),
                        "a provider is either `builtin` or an `image`; remove one of them",
                    );
                }
                (None, None) => {
                    self.bad(
                        path.clone(),
                        "a provider needs `builtin` or `image`; add one of them",
                    );
                }
                _ => {}
            }
            if provider.run == Run::Once && provider.replicas.is_some() {
                self.bad(
                    path.field("replicas"),
                    "a provider with `run = \"once\"` has no `replicas`; remove one of them",
                );
            }
        }
    }

    fn links(&mut self) {
        let manifest = self.manifest;
        let mut seen: BTreeMap<LinkKey, usize> = BTreeMap::new();
        for (at, link) in manifest.links.iter().enumerate() {
            let path = ManifestPath::of(["links"]).item(at);
            self.component(path.field("from"), &link.from);
            self.component(path.field("to"), &link.to);
            let link = link.to_link();
            if let Err(mismatch) = link.check(None, None) {
                self.add(path.clone(), mismatch.into());
            }
            if let Some(first) = seen.get(&link.key()) {
                let first = ManifestPath::of(["links"]).item(*first);
                self.add(path, ProblemKind::DuplicateLink { first });
            } else {
                seen.insert(link.key(), at);
            }
        }
    }

    fn wormholes(&mut self) {
        let manifest = self.manifest;
        for (id, wormhole) in &manifest.wormholes {
            let path = ManifestPath::of(["wormholes", id.as_str()]);
            self.component(path.field("actor"), &wormhole.actor);
            if manifest.providers.contains_key(&wormhole.actor) {
                self.bad(
                    path.field("actor"),
                    "a wormhole must lead to an actor, and this is a provider",
                );
            }
            if let Some(verifier) = wormhole
                .auth
                .as_ref()
                .and_then(|auth| auth.verifier.as_ref())
            {
                self.component(path.field("auth").field("verifier"), verifier);
            }
            for (path, kind) in wormhole.check(&path) {
                self.add(path, kind);
            }
        }
        self.same_names();
    }

    /// Reports wormholes that have a host name and path that an earlier one has.
    fn same_names(&mut self) {
        let mut names: BTreeMap<(String, String), &WormholeId> = BTreeMap::new();
        for (id, wormhole) in &self.manifest.wormholes {
            let Ok(spec) = wormhole.to_spec() else {
                continue;
            };
            for host in spec.hosts() {
                let name = (host.to_string(), spec.path.clone());
                let Some(by) = names.get(&name).map(|by| WormholeId::clone(by)) else {
                    names.insert(name, id);
                    continue;
                };
                let (host, path) = name;
                let at = ManifestPath::of(["wormholes", id.as_str()]);
                self.add(at, ProblemKind::HostTaken { host, path, by });
            }
        }
    }

    fn component(&mut self, path: ManifestPath, id: &ComponentId) {
        if self.known.contains(id) || self.is_full() {
            return;
        }
        let known = self.known.iter().map(|id| id.as_str());
        let suggestion = nearest(id.as_str(), known).and_then(|name| ComponentId::new(name).ok());
        let id = id.clone();
        self.add(path, ProblemKind::UnknownComponent { id, suggestion });
    }
}

/// Returns the configurations that components name and that neither the manifest nor the lattice
/// (`there`) has.
pub(super) fn check_configs<'a>(
    manifest: &'a AppManifest,
    there: impl Iterator<Item = &'a ConfigName>,
) -> Vec<Found> {
    let known: BTreeSet<&ConfigName> = manifest.configs.keys().chain(there).collect();
    let actors = manifest
        .actors
        .iter()
        .map(|(id, a)| ("actors", id, &a.configs));
    let providers = manifest
        .providers
        .iter()
        .map(|(id, p)| ("providers", id, &p.configs));
    let mut found = Vec::new();
    for (kind, id, configs) in actors.chain(providers) {
        for (at, name) in configs.iter().enumerate() {
            if known.contains(name) || found.len() >= MAX_PROBLEMS {
                continue;
            }
            let path = ManifestPath::of([kind, id.as_str(), "configs"]).item(at);
            let suggestion = nearest(name.as_str(), known.iter().map(|name| name.as_str()))
                .and_then(|name| ConfigName::new(name).ok());
            let name = name.clone();
            found.push((path, ProblemKind::UnknownConfig { name, suggestion }));
        }
    }
    found
}
