//! The work items of a desired state: the components that should run. Pure.

use crate::{
    desired::{
        ActorCode, ActorSpec, Declared, Desired, Image, ImageDigest, InstanceMode, LimitOverrides,
        Placement, ProviderKind, ProviderSpec, Replicas, Run, of_actor, of_provider,
    },
    name::ComponentId,
    place::plan::{self, Generation, Snapshot, Wanted},
    store::KeyKind,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    ///
    /// A component whose record was never read is left out. One that refers to a configuration that
    /// was never read is frozen: its last accepted version stays.
    pub(super) fn of(desired: &Desired) -> (Self, Snapshot) {
        let mut items = Self::default();
        let mut wanted = BTreeMap::new();
        let mut frozen = BTreeSet::new();
        let unread: BTreeSet<ComponentId> = unread(desired).collect();
        for (id, actor) in &desired.actors {
            if desired.unknown_config(&actor.spec.configs).is_some() {
                frozen.insert(id.clone());
            } else {
                wanted.insert(id.clone(), Arc::new(items.actor(desired, id, actor)));
            }
        }
        for (id, provider) in &desired.providers {
            if unread.contains(id) || frozen.contains(id) || wanted.contains_key(id) {
                continue;
            }
            if desired.unknown_config(&provider.spec.configs).is_some() {
                frozen.insert(id.clone());
            } else {
                let item = items.provider(desired, id, &provider.spec);
                wanted.insert(id.clone(), Arc::new(item));
            }
        }
        let snapshot = Snapshot {
            incarnation: desired.incarnation,
            revision: desired.declared,
            wanted: Arc::new(wanted),
            frozen: Arc::new(frozen),
        };
        (items, snapshot)
    }

    /// Takes over the items of frozen components from earlier ones.
    pub(super) fn keep(&mut self, earlier: Self, frozen: &BTreeSet<ComponentId>) {
        let kept = earlier.0.into_iter();
        self.0
            .extend(kept.filter(|((id, _), _)| frozen.contains(id)));
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
        let before = before.filter(|spec| desired.unknown_config(&spec.configs).is_none());
        let before = before.map(|spec| self.add(WorkItem::of_actor(desired, id, spec)));
        let (generation, fallback) = match before {
            Some(before) if desired.is_rolled_back(id, spec) => (before, None),
            before => (newest, before),
        };
        Wanted {
            generation,
            fallback,
            has_served: desired.has_served(id, generation),
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
            has_served: false,
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

/// Returns the components whose record can't be read and was never read here.
fn unread(desired: &Desired) -> impl Iterator<Item = ComponentId> + '_ {
    desired
        .unreadable
        .keys()
        .filter_map(|key| match key.kind() {
            Some(KeyKind::Actor(id)) => (!desired.actors.contains_key(&id)).then_some(id),
            Some(KeyKind::Provider(id)) => {
                let is_read = desired.has_component(&id);
                (!is_read).then_some(id)
            }
            _ => None,
        })
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

/// Returns a digest of everything that decides what runs.
fn generation(work: &Work, config: &BTreeMap<String, String>) -> Generation {
    match work {
        Work::Actor {
            image,
            digest,
            limits,
            instance,
        } => {
            let code = ActorCode {
                image,
                digest: *digest,
                limits,
                instance: *instance,
            };
            of_actor(code, config)
        }
        Work::Provider { kind, digest } => of_provider(kind, *digest, config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desired::{Declared, Unreadable},
        store::{Revision, StoreKey},
    };

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).expect("valid")
    }

    fn provider() -> Arc<Declared<ProviderSpec>> {
        let spec = ProviderSpec::new(ProviderKind::Builtin("keyvalue".into()));
        Declared::new(Revision(1), spec)
    }

    #[test]
    fn a_component_with_a_record_that_was_never_read_is_not_run_as_another_one_says() {
        let mut desired = Desired::default();
        for component in ["a", "b"] {
            desired.providers.insert(id(component), provider());
        }
        let unreadable = Unreadable {
            revision: Revision(2),
            reason: "garbage".to_owned(),
            is_newer: false,
            is_absent: false,
        };
        desired
            .unreadable
            .insert(StoreKey::actor(&id("a")), unreadable);
        let (_, snapshot) = WorkItems::of(&desired);
        assert_eq!(snapshot.wanted.keys().collect::<Vec<_>>(), [&id("b")]);
    }

    #[test]
    fn the_last_generation_of_a_frozen_component_can_be_started_again() {
        let mut desired = Desired::default();
        for component in ["a", "b"] {
            desired.providers.insert(id(component), provider());
        }
        let (earlier, snapshot) = WorkItems::of(&desired);
        let generation = snapshot.wanted[&id("a")].generation;
        let mut items = WorkItems::default();
        items.keep(earlier, &BTreeSet::from([id("a")]));
        assert!(items.get(&id("a"), generation).is_some());
        assert!(items.get(&id("b"), generation).is_none());
    }
}
