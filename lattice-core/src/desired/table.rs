//! What should be, as of one moment.

use super::{ActorSpec, AppRecord, NamedConfig, ProviderSpec, WormholeSpec};
use crate::{
    link::LinkKey,
    name::{AppName, ComponentId, ConfigName, WormholeId},
    store::{Incarnation, Revision, StoreKey},
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
    /// The record.
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

    /// Returns whether an actor or a provider has this id.
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
}

impl<T> Declared<T> {
    pub(crate) fn new(revision: Revision, spec: T) -> Arc<Self> {
        Arc::new(Self { revision, spec })
    }
}
