//! The resources of an app: references to records, and the records themselves.

use crate::{
    desired::{ActorSpec, AppRecord, Body, Desired, NamedConfig, ProviderSpec, WormholeSpec},
    link::{Link, LinkKey, LinkTable},
    name::{AppName, ComponentId, ConfigName, WormholeId},
    store::{
        Incarnation, KeyKind, Revision, StoreKey,
        record::{RecordError, Records},
    },
};
use bytes::Bytes;
use serde::Serialize;
use std::fmt;

/// A reference to a resource of an app, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum ResourceRef {
    /// The app itself.
    App(AppName),
    /// A named configuration.
    Config(ConfigName),
    /// An actor.
    Actor(ComponentId),
    /// A provider.
    Provider(ComponentId),
    /// A link.
    Link(LinkKey),
    /// A wormhole.
    Wormhole(WormholeId),
}

/// The record of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    App(AppRecord),
    Config(NamedConfig),
    Actor(ActorSpec),
    Provider(ProviderSpec),
    Link(Link),
    Wormhole(WormholeSpec),
}

impl ResourceRef {
    /// Returns its key in the store.
    pub fn key(&self) -> StoreKey {
        match self {
            Self::App(name) => StoreKey::app(name),
            Self::Config(name) => StoreKey::config(name),
            Self::Actor(id) => StoreKey::actor(id),
            Self::Provider(id) => StoreKey::provider(id),
            Self::Link(link) => StoreKey::link_at(&link.source, &link.interface, &link.name),
            Self::Wormhole(id) => StoreKey::wormhole(id),
        }
    }

    /// Returns the resource at this key, if it is one that an app may own.
    pub(super) fn owned_at(key: &StoreKey) -> Option<Self> {
        match key.kind()? {
            KeyKind::Config(name) => Some(Self::Config(name)),
            KeyKind::Actor(id) => Some(Self::Actor(id)),
            KeyKind::Provider(id) => Some(Self::Provider(id)),
            KeyKind::Wormhole(id) => Some(Self::Wormhole(id)),
            kind @ KeyKind::Link { .. } => LinkKey::of(kind).map(Self::Link),
            _ => None,
        }
    }

    /// Returns the record as it is now, with the revision of its write.
    pub(super) fn find(&self, desired: &Desired, links: &LinkTable) -> Option<(Revision, Record)> {
        Some(match self {
            Self::App(name) => {
                let found = desired.apps.get(name)?;
                (found.revision, Record::App(found.spec.clone()))
            }
            Self::Config(name) => {
                let found = desired.configs.get(name)?;
                (found.revision, Record::Config(found.spec.clone()))
            }
            Self::Actor(id) => {
                let found = desired.actors.get(id)?;
                (found.revision, Record::Actor(found.spec.clone()))
            }
            Self::Provider(id) => {
                let found = desired.providers.get(id)?;
                (found.revision, Record::Provider(found.spec.clone()))
            }
            Self::Link(key) => {
                let found = links.entry(key)?;
                (found.revision, Record::Link(Link::clone(&found.link)))
            }
            Self::Wormhole(id) => {
                let found = desired.wormholes.get(id)?;
                (found.revision, Record::Wormhole(found.spec.clone()))
            }
        })
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(name) => write!(f, "app `{name}`"),
            Self::Config(name) => write!(f, "config `{name}`"),
            Self::Actor(id) => write!(f, "actor `{id}`"),
            Self::Provider(id) => write!(f, "provider `{id}`"),
            Self::Link(key) => write!(f, "link {key}"),
            Self::Wormhole(id) => write!(f, "wormhole `{id}`"),
        }
    }
}

impl Record {
    /// Returns the app that the record names as its owner. Links never name one.
    pub(super) fn app(&self) -> Option<&AppName> {
        match self {
            Self::Config(spec) => spec.app.as_ref(),
            Self::Actor(spec) => spec.app.as_ref(),
            Self::Provider(spec) => spec.app.as_ref(),
            Self::Wormhole(spec) => spec.app.as_ref(),
            Self::App(_) | Self::Link(_) => None,
        }
    }

    /// Returns the same record with another app as its owner, or with none.
    pub(super) fn of_app(mut self, app: Option<AppName>) -> Self {
        match &mut self {
            Self::Config(spec) => spec.app = app,
            Self::Actor(spec) => spec.app = app,
            Self::Provider(spec) => spec.app = app,
            Self::Wormhole(spec) => spec.app = app,
            Self::App(_) | Self::Link(_) => {}
        }
        self
    }

    /// Copies the fields that newer versions added to the record that this one replaces. For an
    /// actor, `is_proven` is whether the version of `before` has served.
    pub(super) fn keep_extra(&mut self, before: &Self, is_proven: bool) {
        match (self, before) {
            (Self::App(new), Self::App(old)) => new.extra = old.extra.clone(),
            (Self::Config(new), Self::Config(old)) => new.extra = old.extra.clone(),
            (Self::Actor(new), Self::Actor(old)) => {
                new.extra = old.extra.clone();
                new.follow(old, is_proven);
            }
            (Self::Provider(new), Self::Provider(old)) => new.extra = old.extra.clone(),
            (Self::Wormhole(new), Self::Wormhole(old)) => new.extra = old.extra.clone(),
            _ => {}
        }
    }

    /// Returns the value for the store.
    pub(super) fn encode(
        &self,
        records: &Records,
        incarnation: Incarnation,
        key: &StoreKey,
        generation: u64,
    ) -> Result<Bytes, RecordError> {
        let at = (incarnation, key, generation);
        match self {
            Self::App(spec) => records.encode(at.0, at.1, at.2, &Body(spec)),
            Self::Config(spec) => records.encode(at.0, at.1, at.2, &Body(spec)),
            Self::Actor(spec) => records.encode(at.0, at.1, at.2, &Body(spec)),
            Self::Provider(spec) => records.encode(at.0, at.1, at.2, &Body(spec)),
            Self::Wormhole(spec) => records.encode(at.0, at.1, at.2, &Body(spec)),
            Self::Link(link) => records.encode(at.0, at.1, at.2, link),
        }
    }

    /// Returns the record as JSON, for comparison.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let json = match self {
            Self::App(spec) => serde_json::to_value(spec),
            Self::Config(spec) => serde_json::to_value(spec),
            // Changes of these fields follow from other changes.
            Self::Actor(spec) => serde_json::to_value(ActorSpec {
                previous: None,
                rejected: None,
                rejected_because: None,
                ..spec.clone()
            }),
            Self::Provider(spec) => serde_json::to_value(spec),
            Self::Wormhole(spec) => serde_json::to_value(spec),
            Self::Link(link) => serde_json::to_value(link),
        };
        json.unwrap_or_default()
    }
}
