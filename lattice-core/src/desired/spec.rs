//! The records of desired state. Each has one key in the store.

use super::{Extra, Image, ImageDigest, LimitOverrides, Placement};
use crate::{
    name::{AppName, ConfigName},
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
    /// The app that declared it, or `None` if it was put by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// Where its code comes from.
    pub image: Image,
    /// The digest that the tag or the file had when the actor was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ImageDigest>,
    /// How many replicas run, and where.
    #[serde(default)]
    pub placement: Placement,
    /// Limits that differ from the host's defaults.
    #[serde(default)]
    pub limits: LimitOverrides,
    /// Whether an instance serves more than one call.
    #[serde(default)]
    pub instance: InstanceMode,
    /// Configuration values. They take precedence over those of `configs`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Named configurations. A later one takes precedence over an earlier one.
    #[serde(default)]
    pub configs: Vec<ConfigName>,
    /// The previous version, to go back to if this one fails to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<ActorSpec>>,
    /// The generation that came up nowhere, so that hosts run the previous one instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<u64>,
    /// Why the host that rejected the generation gave it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_because: Option<String>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether an actor's instance serves more than one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceMode {
    /// Each call gets a new instance.
    #[default]
    Fresh,
    /// An instance serves many calls.
    Warm,
}

/// A provider that should run: `provider.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProviderSpec {
    /// The app that declared it, or `None` if it was put by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The image that runs.
    pub kind: ProviderKind,
    /// The digest of its image, or `None` if it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ImageDigest>,
    /// How many replicas run, and where. A provider that runs once has one.
    #[serde(default)]
    pub placement: Placement,
    /// Whether several may run at a time.
    #[serde(default)]
    pub run: Run,
    /// Configuration values. They take precedence over those of `configs`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Named configurations. A later one takes precedence over an earlier one.
    #[serde(default)]
    pub configs: Vec<ConfigName>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where a provider's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// A provider that is built into hosts, by its name there.
    Builtin(String),
    /// A provider that hosts fetch.
    Image(Image),
}

/// Whether several replicas of a provider may run at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Run {
    /// As many replicas run as its placement declares.
    #[default]
    Replicated,
    /// One runs in the whole lattice and holds a lease, because two would spoil its state.
    Once,
}

/// Configuration values that several components share: `config.<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedConfig {
    /// The app that declared it, or `None` if it was put by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The values.
    pub values: BTreeMap<String, String>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An app, and what it owns: `app.<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppRecord {
    /// The version that its manifest declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The keys that it declared. Only the app changes and deletes them. A link doesn't name its
    /// app, so links are owned only here.
    #[serde(with = "keys")]
    pub owns: BTreeSet<StoreKey>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The generations of an actor that have once served: `served.<id>`. Hosts never give one of them
/// up again, whatever fails later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServedGenerations {
    /// The generations, the latest last.
    #[serde(default)]
    pub generations: Vec<u64>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}

impl ActorSpec {
    /// Makes an actor with one replica of this image on any host, and a new instance for each call.
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

    /// Returns the image as text, with the first digits of its digest if that is known.
    pub fn version(&self) -> String {
        match self.digest {
            Some(digest) if self.image.digest().is_none() => {
                format!("{} ({})", self.image, &digest.to_hex()[..12])
            }
            _ => self.image.to_string(),
        }
    }

    /// Returns whether both run the same thing, regardless of where and in how many replicas.
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

    /// Takes over the version to go back to from the record that this one replaces. A version that
    /// was rejected is tried again. `is_proven` is true if the version before has served.
    pub(crate) fn follow(&mut self, before: &Self, is_proven: bool) {
        self.rejected = None;
        self.rejected_because = None;
        let is_unproven_update = !is_proven && before.previous.is_some();
        self.previous = if self.runs_as(before) || is_unproven_update {
            before.previous.clone()
        } else if !is_proven && before.rejected.is_some() {
            None
        } else {
            Some(Box::new(Self {
                previous: None,
                rejected: None,
                rejected_because: None,
                ..before.clone()
            }))
        };
    }
}

impl ProviderSpec {
    /// Makes a provider with one replica on any host.
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

/// Keys as text. A key that this version doesn't know stays as it is.
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
