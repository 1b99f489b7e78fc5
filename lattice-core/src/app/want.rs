//! The records that a manifest declares.

use super::{
    ActorManifest, App, AppManifest, LimitsManifest, LinkManifest, ProviderManifest,
    SpreadManifest,
    check::Found,
    files::Files,
    load::kind_of,
    problem::ManifestPath,
    resource::{Record, ResourceRef},
};
use crate::{
    desired::{
        ActorSpec, Desired, Image, ImageDigest, LimitOverrides, NamedConfig, Placement,
        ProviderKind, ProviderSpec, Replicas, ReuseOverrides, SpreadRule,
    },
    link::Link,
    name::ComponentId,
};
use std::collections::BTreeMap;

/// A record and the part of the manifest that declares it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) record: Record,
    pub(super) path: ManifestPath,
}

/// Everything that a manifest declares.
pub(super) type Wants = BTreeMap<ResourceRef, Wanted>;

/// Returns what `app` declares and the problems that were found. Files have their present digests;
/// tags have the digests that they are pinned to, or had before.
pub(super) fn wants(app: &App, files: &Files, desired: &Desired) -> (Wants, Vec<Found>) {
    let manifest = app.manifest();
    let mut want = Want {
        app,
        files,
        desired,
        wants: Wants::new(),
        found: Vec::new(),
    };
    for (id, actor) in &manifest.actors {
        want.actor(id, actor);
    }
    for (id, provider) in &manifest.providers {
        want.provider(id, provider);
    }
    want.rest(manifest);
    (want.wants, want.found)
}

struct Want<'a> {
    app: &'a App,
    files: &'a Files,
    desired: &'a Desired,
    wants: Wants,
    found: Vec<Found>,
}

impl Want<'_> {
    fn add(&mut self, resource: ResourceRef, record: Record, path: ManifestPath) {
        let app = self.app.manifest().name.clone();
        let record = record.of_app(Some(app));
        self.wants.insert(resource, Wanted { record, path });
    }

    fn actor(&mut self, id: &ComponentId, actor: &ActorManifest) {
        let path = ManifestPath::of(["actors", id.as_str()]);
        let before = self.desired.actors.get(id);
        let before = before.map(|before| (&before.spec.image, before.spec.digest));
        let Some((image, digest)) = self.image(&path, &actor.image, before) else {
            return;
        };
        let mut spec = ActorSpec::new(image);
        spec.digest = digest;
        spec.placement = placement(
            actor.replicas,
            &actor.require,
            &actor.exclude,
            &actor.spread,
        );
        spec.limits = limits(&actor.limits);
        spec.instance = actor.instance;
        spec.config = actor.config.clone();
        spec.configs.clone_from(&actor.configs);
        self.add(ResourceRef::Actor(id.clone()), Record::Actor(spec), path);
    }

    fn provider(&mut self, id: &ComponentId, provider: &ProviderManifest) {
        let path = ManifestPath::of(["providers", id.as_str()]);
        let (kind, digest) = match kind_of(provider) {
            None => return,
            Some(ProviderKind::Image(image)) => {
                let before = self.desired.providers.get(id);
                let before = before.and_then(|before| match &before.spec.kind {
                    ProviderKind::Image(image) => Some((image, before.spec.digest)),
                    ProviderKind::Builtin(_) => None,
                });
                let Some((image, digest)) = self.image(&path, &image, before) else {
                    return;
                };
                (ProviderKind::Image(image), digest)
            }
            Some(kind) => (kind, None),
        };
        let mut spec = ProviderSpec::new(kind);
        spec.digest = digest;
        spec.placement = placement(
            provider.replicas,
            &provider.require,
            &provider.exclude,
            &provider.spread,
        );
        spec.run = provider.run;
        spec.config = provider.config.clone();
        spec.configs.clone_from(&provider.configs);
        self.add(
            ResourceRef::Provider(id.clone()),
            Record::Provider(spec),
            path,
        );
    }

    fn rest(&mut self, manifest: &AppManifest) {
        for (at, link) in manifest.links.iter().enumerate() {
            let link = link.to_link();
            let path = ManifestPath::of(["links"]).item(at);
            self.add(ResourceRef::Link(link.key()), Record::Link(link), path);
        }
        for (name, values) in &manifest.configs {
            let path = ManifestPath::of(["configs", name.as_str()]);
            let spec = NamedConfig {
                values: values.clone(),
                ..NamedConfig::default()
            };
            self.add(
                ResourceRef::Config(name.clone()),
                Record::Config(spec),
                path,
            );
        }
        for (id, wormhole) in &manifest.wormholes {
            let path = ManifestPath::of(["wormholes", id.as_str()]);
            // `check` reports what is wrong with it.
            let Ok(spec) = wormhole.to_spec() else {
                continue;
            };
            self.add(
                ResourceRef::Wormhole(id.clone()),
                Record::Wormhole(spec),
                path,
            );
        }
    }

    /// Returns the image for the store and its digest. If it can't be read, records a problem and
    /// returns `None`.
    fn image(
        &mut self,
        path: &ManifestPath,
        image: &Image,
        before: Option<(&Image, Option<ImageDigest>)>,
    ) -> Option<(Image, Option<ImageDigest>)> {
        match image {
            Image::File(file) => match self.files.get(file)? {
                Ok((file, digest)) => Some((Image::File(file.clone()), Some(*digest))),
                Err(problem) => {
                    self.found.push((path.field("image"), problem.clone()));
                    None
                }
            },
            Image::Oci(reference) => {
                let known = before.filter(|(known, _)| *known == image);
                let digest = self.app.pinned(reference);
                let digest = digest.or_else(|| known.and_then(|(_, digest)| digest));
                Some((image.clone(), digest))
            }
            image => Some((image.clone(), image.digest())),
        }
    }
}

impl LinkManifest {
    /// Returns the link for the store.
    pub(super) fn to_link(&self) -> Link {
        Link {
            source: self.from.clone(),
            interface: self.interface.clone(),
            name: self.name.clone(),
            target: self.to.clone(),
            config: self.config.to_string(),
            locality: self.locality,
            idempotent: self.idempotent.clone(),
        }
    }
}

fn placement(
    replicas: Option<Replicas>,
    require: &BTreeMap<String, String>,
    exclude: &BTreeMap<String, String>,
    spread: &[SpreadManifest],
) -> Placement {
    let rule = |rule: &SpreadManifest| SpreadRule {
        label: rule.label.clone(),
        weights: rule.weights.clone(),
    };
    Placement {
        replicas: replicas.unwrap_or_default(),
        require: require.clone(),
        exclude: exclude.clone(),
        spread: spread.iter().map(rule).collect(),
    }
}

fn limits(limits: &LimitsManifest) -> LimitOverrides {
    let LimitsManifest {
        memory,
        cpu,
        wall,
        concurrent,
        queued,
        result,
        table_elements,
        outgoing,
        outgoing_bytes,
        handles,
        kept,
        reuse,
    } = *limits;
    LimitOverrides {
        memory,
        cpu,
        wall,
        concurrent,
        queued,
        result,
        table_elements,
        outgoing,
        outgoing_bytes,
        handles,
        kept,
        reuse: ReuseOverrides {
            concurrent: reuse.concurrent,
            requests: reuse.requests,
            idle: reuse.idle,
        },
    }
}
