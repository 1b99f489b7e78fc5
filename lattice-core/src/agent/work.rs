//! The work items of a desired state: the components that should run. Pure.

use crate::{
    desired::{
        ActorSpec, Declared, Desired, Image, ImageDigest, InstanceMode, LimitOverrides, Placement,
        ProviderKind, ProviderSpec, Replicas, Run,
    },
    name::ComponentId,
    place::plan::{self, Generation, Snapshot, Wanted},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One component to run, with everything that decides what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkItem {
    /// The component's id.
    pub component: ComponentId,
    /// Identifies everything else in this item: two items with the same generation are the same.
    pub generation: Generation,
    /// The kind of component to run, and its code.
    pub work: Work,
    /// Configuration: the component's own values take precedence over those of its named
    /// configurations.
    pub config: BTreeMap<String, String>,
}

/// The kind of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// A WebAssembly component.
    Actor {
        /// Where its code comes from.
        image: Image,
        /// The digest of these bytes, if it is known.
        digest: Option<ImageDigest>,
        /// The limits that differ from the host's.
        limits: LimitOverrides,
        /// Whether an instance serves more than one call.
        instance: InstanceMode,
    },
    /// A native component.
    Provider {
        /// Which provider.
        kind: ProviderKind,
        /// The digest of its image, if it has one.
        digest: Option<ImageDigest>,
    },
}

/// The items of a desired state.
#[derive(Debug, Default)]
pub(super) struct WorkItems(HashMap<(ComponentId, Generation), Arc<WorkItem>>);

impl WorkItems {
    /// Returns what should run and where, with the item of each generation that may have to be
    /// started.
    pub(super) fn of(desired: &Desired) -> (Self, Snapshot) {
        let mut items = Self::default();
        let mut wanted = BTreeMap::new();
        for (id, actor) in &desired.actors {
            wanted.insert(id.clone(), Arc::new(items.actor(desired, id, actor)));
        }
        for (id, provider) in &desired.providers {
            let item = items.provider(desired, id, &provider.spec);
            wanted.entry(id.clone()).or_insert_with(|| Arc::new(item));
        }
        let snapshot = Snapshot {
            incarnation: desired.incarnation,
            revision: desired.revision,
            wanted: Arc::new(wanted),
        };
        (items, snapshot)
    }

    pub(super) fn get(&self, id: &ComponentId, generation: Generation) -> Option<Arc<WorkItem>> {
        self.0.get(&(id.clone(), generation)).cloned()
    }

    fn actor(
        &mut self,
        desired: &Desired,
        id: &ComponentId,
        actor: &Declared<ActorSpec>,
    ) -> Wanted {
        let spec = &actor.spec;
        let newest = self.add(WorkItem::of_actor(desired, id, spec));
        let before = spec.previous.as_deref();
        let before = before.map(|spec| self.add(WorkItem::of_actor(desired, id, spec)));
        let (generation, fallback) = match before {
            Some(before) if spec.rejected == Some(newest) => (before, None),
            before => (newest, before),
        };
        Wanted {
            generation,
            fallback,
            placement: spec.placement.clone(),
            run: plan::Run::Replicas,
        }
    }

    fn provider(&mut self, desired: &Desired, id: &ComponentId, spec: &ProviderSpec) -> Wanted {
        let item = WorkItem::new(
            id,
            Work::Provider {
                kind: spec.kind.clone(),
                digest: spec.digest,
            },
            desired.config(&spec.config, &spec.configs),
        );
        let (run, placement) = match spec.run {
            Run::Once => (
                plan::Run::Once,
                Placement {
                    replicas: Replicas::Exactly(1),
                    ..spec.placement.clone()
                },
            ),
            _ => (plan::Run::Replicas, spec.placement.clone()),
        };
        Wanted {
            generation: self.add(item),
            fallback: None,
            placement,
            run,
        }
    }

    fn add(&mut self, item: WorkItem) -> Generation {
        let generation = item.generation;
        let key = (item.component.clone(), generation);
        self.0.entry(key).or_insert_with(|| Arc::new(item));
        generation
    }
}

impl WorkItem {
    /// Makes the item of an actor in the desired state.
    pub(crate) fn of_actor(desired: &Desired, id: &ComponentId, spec: &ActorSpec) -> Self {
        let work = Work::Actor {
            image: spec.image.clone(),
            digest: spec.digest,
            limits: spec.limits,
            instance: spec.instance,
        };
        Self::new(id, work, desired.config(&spec.config, &spec.configs))
    }

    fn new(id: &ComponentId, work: Work, config: BTreeMap<String, String>) -> Self {
        Self {
            component: id.clone(),
            generation: generation(&work, &config),
            work,
            config,
        }
    }
}

/// Returns a digest of everything that decides what runs. The same bytes from another location have
/// the same generation.
fn generation(work: &Work, config: &BTreeMap<String, String>) -> Generation {
    let mut text = blake3::Hasher::new();
    let mut add = |part: &str| {
        text.update(&(part.len() as u64).to_le_bytes());
        text.update(part.as_bytes());
    };
    let source = |image: &Image, digest: &Option<ImageDigest>| {
        digest.map_or_else(|| image.to_string(), |digest| digest.to_string())
    };
    match work {
        Work::Actor {
            image,
            digest,
            limits,
            instance,
        } => {
            add("actor");
            add(&source(image, digest));
            add(&format!("{limits:?} {instance:?}"));
        }
        Work::Provider { kind, digest } => {
            add("provider");
            match kind {
                ProviderKind::Builtin(name) => add(name),
                ProviderKind::Image(image) => add(&source(image, digest)),
            }
        }
    }
    for (name, value) in config {
        add(name);
        add(value);
    }
    let mut first = [0; 8];
    text.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}
