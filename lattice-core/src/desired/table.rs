//! The desired state as of one moment.

use super::{ActorSpec, AppRecord, NamedConfig, ProviderSpec, ServedGenerations};
use crate::{
    link::{LinkKey, LinkTable},
    name::{AppName, ComponentId, ConfigName, WormholeId},
    store::{Expect, Incarnation, Revision, StoreKey, generation::Basis},
    wormhole::{HostClaim, HostName, WormholeSpec},
};
use std::{collections::BTreeMap, sync::Arc};

/// The desired state of a lattice as this process knows it. A clone shares its records.
///
/// Keys whose record can't be read are listed in [`unreadable`](Self::unreadable). The last value
/// that was read at such a key stays. So a record that is corrupt, or that a newer version wrote,
/// is never mistaken for one that was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Desired {
    /// The incarnation of the store that this state is from.
    pub incarnation: Incarnation,
    /// The revision of the last write that changed it.
    pub revision: Revision,
    /// The revision of the last write that declared something. Values that can't be authenticated
    /// don't count, nor does what hosts record by themselves.
    pub declared: Revision,
    /// The actors.
    pub actors: BTreeMap<ComponentId, Arc<Declared<ActorSpec>>>,
    /// The providers.
    pub providers: BTreeMap<ComponentId, Arc<Declared<ProviderSpec>>>,
    /// The wormholes.
    pub wormholes: BTreeMap<WormholeId, Arc<Declared<WormholeSpec>>>,
    /// The claims to the host names of wormholes, by host name.
    pub(crate) claims: BTreeMap<HostName, Arc<Declared<HostClaim>>>,
    /// The named configurations.
    pub configs: BTreeMap<ConfigName, Arc<Declared<NamedConfig>>>,
    /// The apps.
    pub apps: BTreeMap<AppName, Arc<Declared<AppRecord>>>,
    /// The generations of actors that have served.
    pub served: BTreeMap<ComponentId, Arc<Declared<ServedGenerations>>>,
    /// The keys of desired state, including links, whose value is refused. The maps above keep what
    /// was last read at such a key, if anything was.
    pub unreadable: BTreeMap<StoreKey, Unreadable>,
    /// The revisions of the deletions that the store has, which a writer of these keys replaces.
    pub(crate) removed: Arc<BTreeMap<StoreKey, Revision>>,
}

/// A record, with the revision of its write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared<T> {
    /// The revision of the write. Each write has a higher one.
    pub revision: Revision,
    /// The record.
    pub spec: T,
}

/// A value in the store that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The revision of the write that put it.
    pub revision: Revision,
    /// What is wrong with the value, and what to do about it.
    pub reason: String,
    /// Whether the value was written with the lattice's key, and so most likely by a newer version.
    /// This version never overwrites it.
    pub is_newer: bool,
    /// Whether the store has no value there any more, although no holder of the key deleted it.
    pub is_absent: bool,
}

impl Desired {
    /// Returns what a write is decided by that is made from this state and these links. Its
    /// generation is the state that this process has seen, which is higher than at any earlier
    /// write of the same keys.
    pub(crate) fn basis(&self, links: &LinkTable) -> Basis {
        // The two tables may be of two stores for a moment.
        let is_same = links.incarnation() == self.incarnation;
        let seen = if is_same {
            links.revision().max(self.revision)
        } else {
            self.revision
        };
        Basis {
            incarnation: self.incarnation,
            generation: seen.0,
        }
    }

    /// Returns the app that owns this link, if any.
    pub fn link_owner(&self, link: &LinkKey) -> Option<&AppName> {
        let key = StoreKey::link_at(&link.source, &link.interface, &link.name);
        self.owner(&key)
    }

    /// Returns the app that owns the record at this key, if any.
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

    /// Returns the first of these configurations that can't be read and was never read here, so
    /// that what refers to it can't be started as it should be.
    pub fn unknown_config<'a>(&self, configs: &'a [ConfigName]) -> Option<&'a ConfigName> {
        let is_unknown = |name: &&ConfigName| {
            !self.configs.contains_key(*name)
                && self.unreadable.contains_key(&StoreKey::config(name))
        };
        configs.iter().find(is_unknown)
    }

    /// Returns the configuration of a component. Its own values take precedence over those of its
    /// named configurations, and a later configuration over an earlier one. A configuration that
    /// does not exist adds nothing.
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

impl Desired {
    /// Returns what a writer expects of a key that has no record.
    pub(crate) fn expect_none(&self, key: &StoreKey) -> Expect {
        self.removed
            .get(key)
            .map_or(Expect::Absent, |at| Expect::At(*at))
    }
}

impl Unreadable {
    /// Returns what a writer expects of the key.
    pub(crate) fn expect(&self) -> Expect {
        if self.is_absent {
            Expect::Absent
        } else {
            Expect::At(self.revision)
        }
    }
}

impl<T> Declared<T> {
    pub(crate) fn new(revision: Revision, spec: T) -> Arc<Self> {
        Arc::new(Self { revision, spec })
    }
}
