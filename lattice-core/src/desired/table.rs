//! What should be, as of one moment.

use super::{ActorSpec, AppRecord, NamedConfig, ProviderSpec, WormholeSpec};
use crate::{
    link::LinkKey,
    name::{AppName, ComponentId, ConfigName, WormholeId},
    store::{Entry, Incarnation, KeyKind, Revision, StoreKey},
};
use std::{collections::BTreeMap, sync::Arc};

/// The desired state of a lattice as this process knows it. A clone shares its records.
///
/// What can't be read is not here, and not forgotten either: it is in [`unreadable`](Self::unreadable), so that nobody takes a
/// spoiled key, or one that a newer version wrote, for one that was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Desired {
    /// Which life of the store this is from.
    pub incarnation: Incarnation,
    /// The revision of the last write that changed it.
    pub revision: Revision,
    /// The actors.
    pub actors: BTreeMap<ComponentId, Arc<Declared<ActorSpec>>>,
    /// The providers.
    pub providers: BTreeMap<ComponentId, Arc<Declared<ProviderSpec>>>,
    /// The wormholes.
    pub wormholes: BTreeMap<WormholeId, Arc<Declared<WormholeSpec>>>,
    /// The named configurations.
    pub configs: BTreeMap<ConfigName, Arc<Declared<NamedConfig>>>,
    /// The apps.
    pub apps: BTreeMap<AppName, Arc<Declared<AppRecord>>>,
    /// Keys of desired state, links among them, whose value is refused.
    pub unreadable: BTreeMap<StoreKey, Unreadable>,
}

/// A record and the write that put it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared<T> {
    /// The revision of the write: higher with each one.
    pub revision: Revision,
    /// What it says.
    pub spec: T,
}

/// A value that stands in the store and can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The revision of the write that put it.
    pub revision: Revision,
    /// What is wrong with it, with what to do.
    pub reason: String,
    /// Whether the lattice's key was used to write it, so that it is most likely from a newer version: nothing is written
    /// over it from here.
    pub is_newer: bool,
}

/// A change of desired state, once it was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DesiredEvent {
    /// All that follows is a new whole.
    Begin(Incarnation, Revision),
    Put(StoreKey, Revision, Box<Spec>),
    Refused(StoreKey, Unreadable),
    Gone(StoreKey, Revision),
}

/// A record of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    Actor(ActorSpec),
    Provider(ProviderSpec),
    Wormhole(WormholeSpec),
    Config(NamedConfig),
    App(AppRecord),
    /// A link, which the table of links keeps.
    Link,
}

impl Desired {
    /// The app that owns this link, if any.
    pub fn link_owner(&self, link: &LinkKey) -> Option<&AppName> {
        let key = StoreKey::link_at(&link.source, &link.interface, &link.name);
        self.owner(&key)
    }

    /// The app that owns what stands at this key, if any.
    pub fn owner(&self, key: &StoreKey) -> Option<&AppName> {
        let owns = |app: &&Arc<Declared<AppRecord>>| app.spec.owns.contains(key);
        self.apps
            .iter()
            .find(|(_, app)| owns(app))
            .map(|(name, _)| name)
    }

    /// Whether an actor or a provider has this id.
    pub fn has_component(&self, id: &ComponentId) -> bool {
        self.actors.contains_key(id) || self.providers.contains_key(id)
    }

    /// The configuration of a component: its own values over those of its named configurations, the later over the earlier.
    /// One that is not there adds nothing.
    pub fn config(
        &self,
        own: &BTreeMap<String, String>,
        configs: &[ConfigName],
    ) -> BTreeMap<String, String> {
        let named = configs.iter().filter_map(|name| self.configs.get(name));
        named
            .map(|config| &config.spec.values)
            .chain([own])
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Whether an event changes nothing here: links are kept elsewhere, but for spoiled ones.
    pub(crate) fn ignores(&self, event: &DesiredEvent) -> bool {
        match event {
            DesiredEvent::Put(key, _, spec) => {
                **spec == Spec::Link && !self.unreadable.contains_key(key)
            }
            DesiredEvent::Gone(key, _) => {
                let is_link = matches!(key.kind(), Some(KeyKind::Link { .. }));
                is_link && !self.unreadable.contains_key(key)
            }
            _ => false,
        }
    }

    /// Takes in what the store says next.
    pub(crate) fn apply(&mut self, event: DesiredEvent) {
        match event {
            DesiredEvent::Begin(incarnation, revision) => {
                // Writes of other keys don't count: only what was written since says that somebody wants it so.
                let revision = if incarnation == self.incarnation {
                    revision.min(self.revision)
                } else {
                    Revision::default()
                };
                *self = Self {
                    incarnation,
                    revision,
                    ..Self::default()
                };
            }
            DesiredEvent::Gone(key, revision) => {
                self.revision = self.revision.max(revision);
                self.remove(&key);
            }
            DesiredEvent::Refused(key, unreadable) => {
                self.revision = self.revision.max(unreadable.revision);
                self.remove(&key);
                self.unreadable.insert(key, unreadable);
            }
            DesiredEvent::Put(key, revision, spec) => {
                self.revision = self.revision.max(revision);
                self.unreadable.remove(&key);
                self.put(&key, revision, *spec);
            }
        }
    }

    fn put(&mut self, key: &StoreKey, revision: Revision, spec: Spec) {
        match (key.kind(), spec) {
            (Some(KeyKind::Actor(id)), Spec::Actor(spec)) => {
                self.actors.insert(id, Declared::new(revision, spec));
            }
            (Some(KeyKind::Provider(id)), Spec::Provider(spec)) => {
                self.providers.insert(id, Declared::new(revision, spec));
            }
            (Some(KeyKind::Wormhole(id)), Spec::Wormhole(spec)) => {
                self.wormholes.insert(id, Declared::new(revision, spec));
            }
            (Some(KeyKind::Config(name)), Spec::Config(spec)) => {
                self.configs.insert(name, Declared::new(revision, spec));
            }
            (Some(KeyKind::App(name)), Spec::App(spec)) => {
                self.apps.insert(name, Declared::new(revision, spec));
            }
            _ => {}
        }
    }

    fn remove(&mut self, key: &StoreKey) {
        self.unreadable.remove(key);
        match key.kind() {
            Some(KeyKind::Actor(id)) => drop(self.actors.remove(&id)),
            Some(KeyKind::Provider(id)) => drop(self.providers.remove(&id)),
            Some(KeyKind::Wormhole(id)) => drop(self.wormholes.remove(&id)),
            Some(KeyKind::Config(name)) => drop(self.configs.remove(&name)),
            Some(KeyKind::App(name)) => drop(self.apps.remove(&name)),
            _ => {}
        }
    }
}

impl<T> Declared<T> {
    fn new(revision: Revision, spec: T) -> Arc<Self> {
        Arc::new(Self { revision, spec })
    }
}

/// Whether the table keeps this kind of key, or would tell of a spoiled one.
pub(crate) fn is_desired(kind: &KeyKind) -> bool {
    matches!(
        kind,
        KeyKind::Link { .. }
            | KeyKind::Actor(_)
            | KeyKind::Provider(_)
            | KeyKind::Wormhole(_)
            | KeyKind::Config(_)
            | KeyKind::App(_)
    )
}

impl Unreadable {
    pub(crate) fn new(entry: &Entry, reason: String, is_newer: bool) -> Self {
        Self {
            revision: entry.revision,
            reason,
            is_newer,
        }
    }
}
