//! The records of desired state: one per key of the store.

use super::{Extra, Image, ImageDigest, LimitOverrides, Placement};
use crate::{
    name::{AppName, ComponentId, ConfigName},
    store::StoreKey,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// An actor that should run: `actor.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorSpec {
    /// The app that declared it; `None` when a person did by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// Where its code comes from.
    pub image: Image,
    /// Which bytes these are: what a tag or a file was when the actor was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ImageDigest>,
    /// How many replicas run, and where.
    #[serde(default)]
    pub placement: Placement,
    /// What differs from the default limits.
    #[serde(default)]
    pub limits: LimitOverrides,
    /// Whether instances are used again.
    #[serde(default)]
    pub instance: InstanceMode,
    /// Configuration values. They go before those of `configs`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Named configurations, the later before the earlier.
    #[serde(default)]
    pub configs: Vec<ConfigName>,
    /// What it was before, to go back to when this does not come up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<ActorSpec>>,
    /// The generation that did not come up anywhere: hosts run the previous one instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// What a host said of it that gave it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_because: Option<String>,
    /// What newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether an actor's instances are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceMode {
    /// A new instance for each call.
    #[default]
    Fresh,
    /// Instances serve many calls.
    Warm,
}

/// A provider that should run: `provider.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProviderSpec {
    /// The app that declared it; `None` when a person did by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What runs.
    pub kind: ProviderKind,
    /// Which bytes its image is; `None` for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ImageDigest>,
    /// How many replicas run, and where. One that runs once has one.
    #[serde(default)]
    pub placement: Placement,
    /// Whether there may be several at a time.
    #[serde(default)]
    pub run: Run,
    /// Configuration values. They go before those of `configs`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Named configurations, the later before the earlier.
    #[serde(default)]
    pub configs: Vec<ConfigName>,
    /// What newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a provider is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// One that hosts bring along, by its name there.
    Builtin(String),
    /// One that hosts fetch.
    Image(Image),
}

/// Whether there may be several of a provider at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Run {
    /// As many as its placement says.
    #[default]
    Replicated,
    /// One in the whole lattice, which holds a lease: it has state that two would spoil.
    Once,
}

/// A public endpoint that leads to an actor: `wormhole.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WormholeSpec {
    /// The app that declared it; `None` when a person did by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// Requests for this host name; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Requests whose path begins with this.
    pub path: String,
    /// Who serves them.
    pub actor: ComponentId,
    /// Whether it is a grant.
    pub state: WormholeState,
    /// What newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether a wormhole lets anyone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WormholeState {
    /// It does.
    Open,
    /// It doesn't.
    Closed,
}

/// Configuration values that several components share: `config.<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedConfig {
    /// The app that declared it; `None` when a person did by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The values.
    pub values: BTreeMap<String, String>,
    /// What newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An app, and what it owns: `app.<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppRecord {
    /// What its manifest calls this version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it declared: changed and deleted by it alone. Links are owned only here, a link itself doesn't know of apps.
    #[serde(with = "keys")]
    pub owns: BTreeSet<StoreKey>,
    /// What newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ActorSpec {
    /// One fresh-instance replica of this image, on any host.
    pub fn new(image: Image) -> Self {
        Self {
            app: None,
            digest: image.digest(),
            image,
            placement: Placement::default(),
            limits: LimitOverrides::default(),
            instance: InstanceMode::default(),
            config: BTreeMap::new(),
            configs: Vec::new(),
            previous: None,
            rejected: None,
            rejected_because: None,
            extra: Extra::default(),
        }
    }

    /// Whether both run the same, wherever and however often.
    pub fn runs_as(&self, other: &Self) -> bool {
        let code = |spec: &Self| {
            (
                spec.digest,
                spec.digest.is_none().then(|| spec.image.clone()),
            )
        };
        code(self) == code(other)
            && self.limits == other.limits
            && self.instance == other.instance
            && self.config == other.config
            && self.configs == other.configs
    }

    /// What it takes over from the record that it replaces: what to go back to.
    pub(crate) fn follow(&mut self, before: &Self) {
        if self.runs_as(before) {
            self.previous.clone_from(&before.previous);
            self.rejected = before.rejected;
            self.rejected_because.clone_from(&before.rejected_because);
            return;
        }
        // One that was rejected is nothing to go back to.
        let good = match (&before.rejected, &before.previous) {
            (Some(_), Some(previous)) => Some(previous.clone()),
            (Some(_), None) => None,
            (None, _) => Some(Box::new(Self {
                previous: None,
                ..before.clone()
            })),
        };
        self.previous = good;
        self.rejected = None;
        self.rejected_because = None;
    }
}

impl ProviderSpec {
    /// One replica on any host.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            app: None,
            digest: match &kind {
                ProviderKind::Builtin(_) => None,
                ProviderKind::Image(image) => image.digest(),
            },
            kind,
            placement: Placement::default(),
            run: Run::default(),
            config: BTreeMap::new(),
            configs: Vec::new(),
            extra: Extra::default(),
        }
    }
}

impl WormholeSpec {
    /// An open one for every request to any host name.
    pub fn new(actor: ComponentId) -> Self {
        Self {
            app: None,
            host: None,
            path: "/".to_owned(),
            actor,
            state: WormholeState::Open,
            extra: Extra::default(),
        }
    }
}

/// Keys as text. One that this version doesn't know stays as it is.
mod keys {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        keys: &BTreeSet<StoreKey>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys.iter().map(StoreKey::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeSet<StoreKey>, D::Error> {
        let texts = <Vec<Cow<'de, str>>>::deserialize(from)?;
        Ok(texts
            .iter()
            .map(|text| StoreKey::from_store(text))
            .collect())
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
