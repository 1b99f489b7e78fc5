//! Manifests of what a lattice declares.

use super::{
    ActorManifest, App, AppManifest, LimitsManifest, LinkManifest, ProviderManifest, ResourceRef,
    SpreadManifest, WormholeManifest, hidden,
};
use crate::{
    Lattice,
    desired::{
        ActorSpec, Desired, Image, ImageDigest, LimitOverrides, OciReference, Placement,
        ProviderKind, ProviderSpec, Replicas,
    },
    link::{Link, LinkTable},
    name::{AppName, ComponentId},
    store::StoreKey,
};
use std::collections::{BTreeMap, BTreeSet};

/// The manifest of what is declared, from [`Lattice::export_app`] and [`Lattice::export`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lattice_core::{Lattice, app::App};
///
/// let lattice = Lattice::in_memory("dev").await?;
/// let app = App::from_toml("shop.toml", r#"
///     name = "shop"
///     [providers.kv]
///     builtin = "keyvalue-redis"
///     config = { url = "redis://:enigma@db" }
/// "#)?;
/// lattice.apply(&app).await?;
///
/// let mut export = lattice.export_app(&"shop".parse()?).ok_or("it exists")?;
/// assert_eq!(export.hide(), ["providers.kv.config.url"]);
/// let text = export.manifest.to_toml().ok_or("it can be written as TOML")?;
/// assert!(text.contains(r#"url = "(hidden)""#), "{text}");
///
/// // Where it was exported, hidden values stay what they are.
/// let again = App::from_toml("shop.toml", &text)?.with_hidden_values(&lattice);
/// assert!(lattice.plan(&again).await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Export {
    /// The manifest. It names the components that it refers to and doesn't declare as external.
    pub manifest: AppManifest,
    /// The artifacts that its tags meant when they were declared.
    pub pins: BTreeMap<OciReference, ImageDigest>,
}

impl Lattice {
    /// Returns the manifest of an app as the store has it, or `None` if there is no such app.
    ///
    /// It has the values of configs, which may be secrets; see [`Export::hide`].
    pub fn export_app(&self, name: &AppName) -> Option<Export> {
        let desired = self.desired();
        let app = desired.apps.get(name)?;
        let owns = app.spec.owns.iter().filter_map(ResourceRef::owned_at);
        let mut export = self.export(name.clone(), owns);
        export.manifest.version.clone_from(&app.spec.version);
        Some(export)
    }

    /// Returns the manifest that declares these resources as an app of this name. Resources that
    /// don't exist are left out.
    ///
    /// It has the values of configs, which may be secrets; see [`Export::hide`].
    pub fn export(
        &self,
        name: AppName,
        resources: impl IntoIterator<Item = ResourceRef>,
    ) -> Export {
        let (desired, links) = (self.desired(), self.replica().snapshot());
        let mut exporting = Exporting {
            desired: &desired,
            links: &links,
            export: Export {
                manifest: AppManifest::empty(name),
                pins: BTreeMap::new(),
            },
        };
        for resource in resources {
            exporting.add(&resource);
        }
        exporting.name_external();
        exporting.export
    }

    /// Returns everything that is declared and that no app owns: what people have put by hand.
    pub fn unowned(&self) -> Vec<ResourceRef> {
        let (desired, links) = (self.desired(), self.replica().snapshot());
        let owned: BTreeSet<&StoreKey> = desired
            .apps
            .values()
            .flat_map(|app| &app.spec.owns)
            .collect();
        let actors = desired.actors.keys().cloned().map(ResourceRef::Actor);
        let providers = desired.providers.keys().cloned().map(ResourceRef::Provider);
        let configs = desired.configs.keys().cloned().map(ResourceRef::Config);
        let wormholes = desired.wormholes.keys().cloned().map(ResourceRef::Wormhole);
        let links = links.entries().map(|entry| (*entry.key).clone());
        let mut links: Vec<_> = links.collect();
        links.sort_unstable();
        let links = links.into_iter().map(ResourceRef::Link);
        let all = actors.chain(providers).chain(configs).chain(wormholes);
        all.chain(links)
            .filter(|resource| !owned.contains(&resource.key()))
            .collect()
    }
}

impl Export {
    /// Replaces every value that may be a secret: the values of configs, and the hashes of those
    /// that wormholes let through. Returns the paths of these values in the manifest.
    ///
    /// [`App::with_hidden_values`] puts them in again. No manifest with such a value is applied as
    /// it is, and nobody is let through by a hidden hash.
    pub fn hide(&mut self) -> Vec<String> {
        hidden::hide(&mut self.manifest)
    }

    /// Returns the app, with its tags pinned to what they meant.
    pub fn into_app(self) -> App {
        let mut app = App::new(self.manifest);
        for (reference, digest) in self.pins {
            app = app.pin(reference, digest);
        }
        app
    }
}

impl AppManifest {
    /// Returns the manifest as TOML, or `None` if it has a value that TOML hasn't, such as a `null`
    /// in the config of a link. JSON has all of them.
    pub fn to_toml(&self) -> Option<String> {
        toml::to_string_pretty(self).ok()
    }
}

struct Exporting<'a> {
    desired: &'a Desired,
    links: &'a LinkTable,
    export: Export,
}

impl Exporting<'_> {
    fn add(&mut self, resource: &ResourceRef) {
        match resource {
            ResourceRef::App(_) => {}
            ResourceRef::Actor(id) => {
                if let Some(found) = self.desired.actors.get(id) {
                    self.pin(&found.spec.image, found.spec.digest);
                    let actor = actor(&found.spec);
                    self.export.manifest.actors.insert(id.clone(), actor);
                }
            }
            ResourceRef::Provider(id) => {
                if let Some(found) = self.desired.providers.get(id) {
                    if let ProviderKind::Image(image) = &found.spec.kind {
                        self.pin(image, found.spec.digest);
                    }
                    let provider = provider(&found.spec);
                    self.export.manifest.providers.insert(id.clone(), provider);
                }
            }
            ResourceRef::Link(key) => {
                if let Some(found) = self.links.entry(key) {
                    self.export.manifest.links.push(link(&found.link));
                }
            }
            ResourceRef::Config(name) => {
                if let Some(found) = self.desired.configs.get(name) {
                    let values = found.spec.values.clone();
                    self.export.manifest.configs.insert(name.clone(), values);
                }
            }
            ResourceRef::Wormhole(id) => {
                if let Some(found) = self.desired.wormholes.get(id) {
                    let wormhole = WormholeManifest::of(&found.spec);
                    self.export.manifest.wormholes.insert(id.clone(), wormhole);
                }
            }
        }
    }

    fn pin(&mut self, image: &Image, digest: Option<ImageDigest>) {
        if let (Image::Oci(reference), Some(digest)) = (image, digest)
            && reference.digest().is_none()
        {
            self.export.pins.insert(reference.clone(), digest);
        }
    }

    /// Names the components that the manifest refers to and doesn't declare.
    fn name_external(&mut self) {
        let manifest = &mut self.export.manifest;
        let links = manifest.links.iter();
        let mut named: BTreeSet<ComponentId> = links
            .flat_map(|link| [link.from.clone(), link.to.clone()])
            .collect();
        for wormhole in manifest.wormholes.values() {
            named.insert(wormhole.actor.clone());
            let auth = wormhole.auth.as_ref();
            named.extend(auth.and_then(|auth| auth.verifier.clone()));
        }
        named
            .retain(|id| !manifest.actors.contains_key(id) && !manifest.providers.contains_key(id));
        manifest.external = named.into_iter().collect();
    }
}

fn actor(spec: &ActorSpec) -> ActorManifest {
    let mut actor = ActorManifest::new(spec.image.clone());
    actor.replicas = replicas(&spec.placement);
    actor.require.clone_from(&spec.placement.require);
    actor.exclude.clone_from(&spec.placement.exclude);
    actor.spread = spread(&spec.placement);
    actor.instance = spec.instance;
    actor.limits = limits(&spec.limits);
    actor.config.clone_from(&spec.config);
    actor.configs.clone_from(&spec.configs);
    actor
}

fn provider(spec: &ProviderSpec) -> ProviderManifest {
    let (builtin, image) = match &spec.kind {
        ProviderKind::Builtin(name) => (Some(name.clone()), None),
        ProviderKind::Image(image) => (None, Some(image.clone())),
    };
    ProviderManifest {
        builtin,
        image,
        run: spec.run,
        replicas: replicas(&spec.placement),
        require: spec.placement.require.clone(),
        exclude: spec.placement.exclude.clone(),
        spread: spread(&spec.placement),
        config: spec.config.clone(),
        configs: spec.configs.clone(),
    }
}

fn link(link: &Link) -> LinkManifest {
    LinkManifest {
        from: link.source.clone(),
        to: link.target.clone(),
        interface: link.interface.clone(),
        name: link.name.clone(),
        // A link whose config isn't JSON is never written.
        config: serde_json::from_str(&link.config).unwrap_or_default(),
        locality: link.locality,
        idempotent: link.idempotent.clone(),
    }
}

fn replicas(placement: &Placement) -> Option<Replicas> {
    (placement.replicas != Replicas::default()).then_some(placement.replicas)
}

fn spread(placement: &Placement) -> Vec<SpreadManifest> {
    let rules = placement.spread.iter().map(|rule| SpreadManifest {
        label: rule.label.clone(),
        weights: rule.weights.clone(),
    });
    rules.collect()
}

fn limits(limits: &LimitOverrides) -> LimitsManifest {
    let LimitOverrides {
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
    } = *limits;
    LimitsManifest {
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
    }
}
