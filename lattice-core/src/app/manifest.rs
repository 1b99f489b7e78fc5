//! The manifest: what a person writes.

use super::values;
use crate::{
    desired::{Image, InstanceMode, Replicas, Run, WormholeState},
    link::Locality,
    name::{
        AppName, ComponentId, ConfigName, FunctionName, InterfaceName, LinkName, NameError,
        WormholeId,
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
    /// Its name: applying a manifest of the same name again changes the app.
    #[schemars(with = "String")]
    pub name: AppName,
    /// What this version of it is called; any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is for; any text. It stays in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Components that links and wormholes name and this app does not declare: those of other apps, and native services.
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
    /// How many run, or `"per-host"`: one on each host that the rules allow. 1 by default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::replicas"
    )]
    #[schemars(schema_with = "values::replicas_schema")]
    pub replicas: Option<Replicas>,
    /// Labels that a host needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: Texts,
    /// Labels that a host must not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude: Texts,
    /// Labels over whose values the replicas are divided, the first rule first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<SpreadManifest>,
    /// Whether instances are used again: `"fresh"` (by default) or `"warm"`.
    #[serde(default)]
    #[schemars(schema_with = "values::instance_schema")]
    pub instance: InstanceMode,
    /// What differs from a host's default limits.
    #[serde(default)]
    pub limits: LimitsManifest,
    /// Configuration values: texts, numbers and booleans.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::texts"
    )]
    #[schemars(schema_with = "values::texts_schema")]
    pub config: Texts,
    /// Names of shared configurations, the later over the earlier, `config` over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub configs: Vec<ConfigName>,
}

/// A provider of an app: `builtin` or `image`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProviderManifest {
    /// The name of one that hosts bring along, such as `"keyvalue"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
    /// Its image, as for an actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub image: Option<Image>,
    /// `"once"` for one that has state which two would spoil: one runs in the whole lattice. `"replicated"` by default.
    #[serde(default)]
    #[schemars(schema_with = "values::run_schema")]
    pub run: Run,
    /// How many run, or `"per-host"`. 1 by default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::replicas"
    )]
    #[schemars(schema_with = "values::replicas_schema")]
    pub replicas: Option<Replicas>,
    /// Labels that a host needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: Texts,
    /// Labels that a host must not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude: Texts,
    /// Labels over whose values the replicas are divided, the first rule first.
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
    /// Names of shared configurations, the later over the earlier, `config` over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub configs: Vec<ConfigName>,
}

/// Replicas are divided over the values of a label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpreadManifest {
    /// The label, such as `"zone"`.
    pub label: String,
    /// The share of each value. Left out: all alike. Otherwise a value that is not named gets nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
}

/// What differs from a host's default limits.
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
    /// CPU time of one call: a text such as `"500ms"` or `"10s"`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub cpu: Option<Duration>,
    /// Time of one call, waiting included.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "values::time"
    )]
    #[schemars(schema_with = "values::time_schema")]
    pub wall: Option<Duration>,
    /// Calls that run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// Calls that may wait for one of those to end.
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
    /// Calls that one instance may have under way to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<NonZeroU32>,
}

/// A link of an app: a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkManifest {
    /// Who may call.
    #[schemars(with = "String")]
    pub from: ComponentId,
    /// Who is called.
    #[schemars(with = "String")]
    pub to: ComponentId,
    /// Through which interface: `namespace:package/interface@version`.
    #[schemars(with = "String")]
    pub interface: InterfaceName,
    /// Tells several links of one source and interface apart. `"default"` by default.
    #[serde(default)]
    #[schemars(with = "String")]
    pub name: LinkName,
    /// Configuration for the target; whatever it takes.
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

/// A wormhole of an app: a public endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WormholeManifest {
    /// The actor that it leads to.
    #[schemars(with = "String")]
    pub actor: ComponentId,
    /// Requests for this host name. Left out: for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Requests whose path begins with this. `"/"` by default.
    #[serde(default = "root")]
    pub path: String,
    /// `"open"` (by default) or `"closed"`.
    #[serde(default = "open")]
    #[schemars(schema_with = "values::wormhole_state_schema")]
    pub state: WormholeState,
}

fn root() -> String {
    "/".to_owned()
}

fn open() -> WormholeState {
    WormholeState::Open
}

impl AppManifest {
    /// An app that declares nothing yet.
    ///
    /// # Errors
    /// A [`NameError`] that says the rule.
    pub fn new(name: &str) -> Result<Self, NameError> {
        Ok(Self {
            name: AppName::new(name)?,
            version: None,
            description: None,
            external: Vec::new(),
            actors: BTreeMap::new(),
            providers: BTreeMap::new(),
            links: Vec::new(),
            configs: BTreeMap::new(),
            wormholes: BTreeMap::new(),
        })
    }

    /// The JSON schema of manifests, for editors and other tools.
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
    /// One replica of this image, on any host.
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
    /// One replica of a provider that hosts bring along, on any host.
    pub fn builtin(name: &str) -> Self {
        Self {
            builtin: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

impl LinkManifest {
    /// A link under the default name, without config.
    ///
    /// # Errors
    /// A [`NameError`] for the first name that breaks its rule.
    pub fn new(from: &str, interface: &str, to: &str) -> Result<Self, NameError> {
        Ok(Self {
            from: ComponentId::new(from)?,
            to: ComponentId::new(to)?,
            interface: InterfaceName::new(interface)?,
            name: LinkName::default(),
            config: serde_json::Value::Null,
            locality: Locality::default(),
            idempotent: BTreeSet::new(),
        })
    }
}
