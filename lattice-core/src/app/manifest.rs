//! The manifest: the declaration that a person writes.

use super::{WormholeManifest, values};
use crate::{
    desired::{Image, InstanceMode, Replicas, Run},
    link::Locality,
    name::{
        AppName, ComponentId, ConfigName, FunctionName, InterfaceName, IntoName, LinkName,
        NameError, WormholeId,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

/// Values by name.
type Texts = BTreeMap<String, String>;

/// An app: actors, providers, links, configurations and wormholes that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AppManifest {
    /// The name of the app. Applying a manifest with the same name again changes the app.
    #[schemars(with = "String")]
    pub name: AppName,
    /// The version of the app, which can be any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A description of the app, which can be any text. It is not written to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Components that links and wormholes name and that this app doesn't declare: components of
    /// other apps, and native services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub external: Vec<ComponentId>,
    /// Actors by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ActorManifest>")]
    pub actors: BTreeMap<ComponentId, ActorManifest>,
    /// Providers by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ProviderManifest>")]
    pub providers: BTreeMap<ComponentId, ProviderManifest>,
    /// Links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkManifest>,
    /// Configuration values that components share, by name.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::configs"
    )]
    #[schemars(schema_with = "values::configs_schema")]
    pub configs: BTreeMap<ConfigName, Texts>,
    /// Wormholes by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, WormholeManifest>")]
    pub wormholes: BTreeMap<WormholeId, WormholeManifest>,
}

/// An actor of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ActorManifest {
    /// `file:` and a path relative to the manifest, `registry/path:tag`, or `sha256:` and a digest.
    #[schemars(with = "String")]
    pub image: Image,
    /// How many replicas run, or `"per-host"` for one on each host that the rules allow. 1 by
    /// default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::replicas"
    )]
    #[schemars(schema_with = "values::replicas_schema")]
    pub replicas: Option<Replicas>,
    /// Labels that a host must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: Texts,
    /// Labels that a host must not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude: Texts,
    /// Labels over whose values the replicas are divided. The first rule is applied first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<SpreadManifest>,
    /// Whether each call gets a new instance (`"fresh"`, the default) or instances are reused
    /// (`"warm"`).
    #[serde(default)]
    #[schemars(schema_with = "values::instance_schema")]
    pub instance: InstanceMode,
    /// Limits that differ from a host's defaults.
    #[serde(default)]
    pub limits: LimitsManifest,
    /// Configuration values: texts, numbers and booleans. A text `{ "env": "SHOP_NAME" }` or
    /// `{ "file": "name.txt" }` stands for what is in a variable or a file of the host, if the host
    /// allows it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::texts"
    )]
    #[schemars(schema_with = "values::texts_schema")]
    pub config: Texts,
    /// Names of shared configurations. A later one takes precedence over an earlier one, and
    /// `config` over all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub configs: Vec<ConfigName>,
}

/// A provider of an app. It has either `builtin` or `image`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProviderManifest {
    /// The name of a provider that is built into hosts, such as `"keyvalue-redis"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
    /// The image of its program, as for an actor. A host runs only programs that it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub image: Option<Image>,
    /// `"once"` for a provider that must run only once in the whole lattice, because two would
    /// spoil its state. `"replicated"` by default.
    #[serde(default)]
    #[schemars(schema_with = "values::run_schema")]
    pub run: Run,
    /// How many replicas run, or `"per-host"`. 1 by default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::replicas"
    )]
    #[schemars(schema_with = "values::replicas_schema")]
    pub replicas: Option<Replicas>,
    /// Labels that a host must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: Texts,
    /// Labels that a host must not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude: Texts,
    /// Labels over whose values the replicas are divided. The first rule is applied first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<SpreadManifest>,
    /// Configuration values: texts, numbers and booleans.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::texts"
    )]
    #[schemars(schema_with = "values::texts_schema")]
    pub config: Texts,
    /// Names of shared configurations. A later one takes precedence over an earlier one, and
    /// `config` over all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub configs: Vec<ConfigName>,
}

/// Divides replicas over the values of a label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpreadManifest {
    /// The label, such as `"zone"`.
    pub label: String,
    /// The share of each value. If it is left out, all values have the same share. Otherwise, a
    /// value that is not named gets nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
}

/// Limits that differ from a host's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsManifest {
    /// All linear memories of one instance together: bytes, or a text such as `"64MiB"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "values::size"
    )]
    #[schemars(schema_with = "values::size_schema")]
    pub memory: Option<u64>,
    /// CPU time of one call, and for each 64 MiB that moves in its streams: a text such as
    /// `"500ms"` or `"10s"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub cpu: Option<Duration>,
    /// The time of one call, waiting included.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub wall: Option<Duration>,
    /// How many calls may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// How many calls may wait for a running call to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Largest encoded result of a call: bytes, or a text such as `"16MiB"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "values::size"
    )]
    #[schemars(schema_with = "values::size_schema")]
    pub result: Option<u64>,
    /// Elements of all tables of one instance together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u32>,
    /// How many calls to other components one instance may have in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<NonZeroU32>,
    /// Bytes that the arguments of these calls may take together, while they are on their way:
    /// bytes, or a text such as `"16MiB"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "values::size"
    )]
    #[schemars(schema_with = "values::size_schema")]
    pub outgoing_bytes: Option<u64>,
    /// How many resources of one instance other components may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handles: Option<NonZeroU32>,
    /// How long an instance is kept for handles and streams that other components hold and don't
    /// use: a text such as `"30s"` or `"5m"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub kept: Option<Duration>,
    /// How requests of HTTP share instances.
    #[serde(default, skip_serializing_if = "ReuseManifest::is_default")]
    pub reuse: ReuseManifest,
}

/// How requests of HTTP share the instances of an actor that exports `wasi:http/handler` 0.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReuseManifest {
    /// How many requests one instance serves at once; further ones wait if there may be no further
    /// instance. By default 16, and none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// How many requests one instance serves before another one takes its place. 128 by default,
    /// and as many as there are with `instance = "warm"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<NonZeroU32>,
    /// How long an instance without requests is kept: a text such as `"500ms"` or `"1m"`. 1 s by
    /// default, and 1 min with `instance = "warm"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub idle: Option<Duration>,
}

impl ReuseManifest {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A link of an app: a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkManifest {
    /// The component that may call.
    #[schemars(with = "String")]
    pub from: ComponentId,
    /// The component that may be called.
    #[schemars(with = "String")]
    pub to: ComponentId,
    /// The interface of the calls: `namespace:package/interface@version`.
    #[schemars(with = "String")]
    pub interface: InterfaceName,
    /// Distinguishes several links of the same source and interface. `"default"` by default.
    #[serde(default)]
    #[schemars(with = "String")]
    pub name: LinkName,
    /// Configuration for the target, in any form that the target accepts.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub config: serde_json::Value,
    /// Which replicas may be called: `"prefer-local"` (by default), `"local-only"` or `"spread"`.
    #[serde(default, with = "values::locality")]
    #[schemars(schema_with = "values::locality_schema")]
    pub locality: Locality,
    /// Functions that may run twice without harm.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<String>")]
    pub idempotent: BTreeSet<FunctionName>,
}

impl AppManifest {
    /// Makes an app that declares nothing yet.
    ///
    /// # Errors
    /// Fails with a [`NameError`] that states the rule if the name is not valid.
    pub fn new(name: impl IntoName<AppName>) -> Result<Self, NameError> {
        Ok(Self::empty(name.into_name()?))
    }

    pub(super) fn empty(name: AppName) -> Self {
        Self {
            name,
            version: None,
            description: None,
            external: Vec::new(),
            actors: BTreeMap::new(),
            providers: BTreeMap::new(),
            links: Vec::new(),
            configs: BTreeMap::new(),
            wormholes: BTreeMap::new(),
        }
    }

    /// Returns the JSON schema of manifests, for editors and other tools.
    ///
    /// ```
    /// let schema = lattice_core::app::AppManifest::json_schema();
    /// assert_eq!(schema["required"], serde_json::json!(["name"]));
    /// ```
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

impl ActorManifest {
    /// Makes an actor with one replica of this image, on any host.
    pub fn new(image: Image) -> Self {
        Self {
            image,
            replicas: None,
            require: Texts::new(),
            exclude: Texts::new(),
            spread: Vec::new(),
            instance: InstanceMode::default(),
            limits: LimitsManifest::default(),
            config: Texts::new(),
            configs: Vec::new(),
        }
    }
}

impl ProviderManifest {
    /// Makes a provider with one replica of a built-in provider, on any host.
    pub fn builtin(name: &str) -> Self {
        Self {
            builtin: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

impl LinkManifest {
    /// Makes a link with the default name and without config.
    ///
    /// # Errors
    /// Fails with a [`NameError`] for the first name that is not valid.
    pub fn new(
        from: impl IntoName<ComponentId>,
        interface: impl IntoName<InterfaceName>,
        to: impl IntoName<ComponentId>,
    ) -> Result<Self, NameError> {
        Ok(Self {
            from: from.into_name()?,
            interface: interface.into_name()?,
            to: to.into_name()?,
            name: LinkName::default(),
            config: serde_json::Value::Null,
            locality: Locality::default(),
            idempotent: BTreeSet::new(),
        })
    }
}
