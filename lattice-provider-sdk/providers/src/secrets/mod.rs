//! Secrets from the lattice's store, from the environment, or from files, as orchestrators mount
//! them.
//!
//! The providers serve `wasmcloud:secrets/store@0.1.0-draft` and `reveal`. A secret is read when it
//! is asked for, so a changed one needs no restart, and its memory is overwritten when its last
//! holder drops it.
//!
//! A link lists the keys that its source may read, and one that lists none gives nothing: a caller
//! can't tell a key that it may not read from one that doesn't exist. The link for `reveal` needs
//! no config, because who reveals a secret has been given it.
//!
//! ```json
//! { "keys": ["database.password", "api.*"] }
//! ```
//!
//! | provider | the secret `db.password` is | rotation | guarantees |
//! | --- | --- | --- | --- |
//! | `secrets-lattice` | that of `lattice secret set db.password` | the next `get` opens the new value, milliseconds after it was set | sealed in the store, and opened only on the host of the caller |
//! | `secrets` with `folder` | the file `db.password` in it | the next `get` reads the new file | a file that is replaced by a rename is read whole |
//! | `secrets` with `env-prefix` | the variable `…DB_PASSWORD` | none: the environment of a process doesn't change | |
//!
//! A text loses one line break at its end, and bytes that aren't UTF-8 are passed on as they are.
//!
//! # From the lattice's store
//!
//! ```sh
//! lattice secret set db.password < password.txt
//! ```
//!
//! ```toml
//! [providers.secrets]
//! builtin = "secrets-lattice"
//! replicas = "per-host"                  # where the callers are
//! ```
//!
//! The bus is authenticated and not encrypted, so no value is sent over it: the provider gives a
//! secret only to callers in its own process, which are the actors and providers of its host. Let
//! it run on each host that runs one of them. In a process of its own, it gives none. A secret that
//! was given is the caller's: an actor can pass it on, and what it reveals is a text like any
//! other.
//!
//! # From files and variables
//!
//! A host has to allow the folder or the prefix: `lattice up --provider-files /run/secrets`. Values
//! are sent to callers on other hosts as they are.
//!
//! ```toml
//! [providers.secrets]
//! builtin = "secrets"
//! config = { folder = "/run/secrets" }
//! ```

mod lattice;
mod source;
mod spans;

pub use lattice::{LatticeSecrets, LatticeSecretsConfig};

use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{Call, EnvPrefix, HostPath, Instance, Link, Provider, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;
use source::{Failure, Found, Source, is_key};

mod world {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:secrets-provider@0.1.0;

        /// A provider of secrets.
        world secrets-provider {
            export wasmcloud:secrets/store@0.1.0-draft;
            export wasmcloud:secrets/reveal@0.1.0-draft;
        }
    " });
}

use crate::Builtin;
use world::wasmcloud::secrets::{
    reveal::Reveal,
    store::{self, SecretValue, SecretsError, Store},
};

/// The largest secret by default: as large as one of Kubernetes.
const MAX_VALUE: ByteSize = ByteSize::mib(1);
/// Most keys of one link.
const MAX_KEYS: usize = 1_024;

/// The settings of `secrets`. One of `folder` and `env-prefix` has to be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretsConfig {
    /// The folder with the secrets, a file for each. None by default.
    pub folder: Option<HostPath>,
    /// What the variables with secrets start with, such as `SECRET_`. None by default.
    pub env_prefix: Option<EnvPrefix>,
    /// The largest secret. 1 MiB by default.
    pub max_value_size: ByteSize,
}

impl Default for SecretsConfig {
    fn default() -> Self {
        Self {
            folder: None,
            env_prefix: None,
            max_value_size: MAX_VALUE,
        }
    }
}

/// The config of a link to a provider of secrets.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretsLink {
    /// The keys that the source of the link may read. One that ends with `*` stands for all keys
    /// that start with what is before it. None by default.
    pub keys: Vec<String>,
}

impl SecretsLink {
    fn schema() -> Option<String> {
        serde_json::to_string(&schemars::schema_for!(Self)).ok()
    }
}

/// Serves secrets from files or from the environment.
#[derive(Debug)]
pub struct Secrets {
    config: SecretsConfig,
}

/// The keys that the source of a link may read.
#[derive(Debug)]
pub struct Grant(Vec<String>);

/// A secret that a caller holds.
pub struct Secret(Found);

impl Secrets {
    /// Creates the provider.
    pub fn new(config: SecretsConfig) -> Self {
        Self { config }
    }

    fn source(&self) -> Result<Source, Refusal> {
        let SecretsConfig {
            folder, env_prefix, ..
        } = &self.config;
        match (folder, env_prefix) {
            (Some(folder), None) => Ok(Source::Folder(folder.to_path_buf())),
            (None, Some(prefix)) if !prefix.is_empty() => {
                Ok(Source::Environment(prefix.to_string()))
            }
            (None, Some(_)) => Err(Refusal::new(
                "`env-prefix` is empty, which would give away the whole environment; set it, for example to `SECRET_`",
            )),
            _ => Err(Refusal::new(
                "secrets need one source; set either `folder` or `env-prefix`",
            )),
        }
    }
}

impl Grant {
    /// Reads the config of a link.
    fn of(config: SecretsLink) -> Result<Self, Refusal> {
        if config.keys.len() > MAX_KEYS {
            return Err(Refusal::new(format!(
                "the link lists more than {MAX_KEYS} keys; use a pattern, such as `api.*`"
            )));
        }
        let is_pattern = |key: &String| is_key(key.strip_suffix('*').unwrap_or(key)) || key == "*";
        match config.keys.iter().position(|key| !is_pattern(key)) {
            None => Ok(Self(config.keys)),
            Some(at) => Err(Refusal::new(format!(
                "number {} of the keys isn't one: a key has 1 to 253 letters, digits, `.`, `-` and `_`, and doesn't start with `.`",
                at + 1
            ))),
        }
    }

    fn allows(&self, key: &str) -> bool {
        self.0
            .iter()
            .any(|granted| match granted.strip_suffix('*') {
                Some(start) => key.starts_with(start),
                None => key == granted,
            })
    }
}

impl Provider for Secrets {
    type World = world::World;
    type Config = SecretsLink;
    type Binding = Grant;

    async fn start(&self, _: &Instance) -> Result<(), Refusal> {
        self.source().map(drop)
    }

    async fn health(&self) -> Result<(), Refusal> {
        self.source()?.check().await.map_err(Refusal::new)
    }

    async fn link(&self, _: &Link, config: SecretsLink) -> Result<Grant, Refusal> {
        Grant::of(config)
    }

    fn config_schema() -> Option<String> {
        SecretsLink::schema()
    }
}

impl Store for Secrets {
    type Secret = Secret;

    async fn get(&self, call: &Call<Self>, key: String) -> Result<Secret, SecretsError> {
        if !is_key(&key) || !call.binding().allows(&key) {
            return Err(SecretsError::NotFound);
        }
        let source = self.source();
        let source = source.map_err(|refusal| SecretsError::Upstream(refusal.to_string()))?;
        let read = source.read(&key, self.config.max_value_size);
        let span = call.begin_span(|| spans::read(source.kind()));
        match span.attempt(read).await {
            Ok(found) => Ok(Secret(found)),
            Err(Failure::Missing) => Err(SecretsError::NotFound),
            Err(Failure::Unreadable(reason)) => Err(SecretsError::Io(reason)),
        }
    }
}

impl store::Secret<Secrets> for Secret {}

impl Reveal for Secrets {
    async fn reveal(&self, _: &Call<Self>, s: &Secret) -> SecretValue {
        s.value()
    }
}

impl Secret {
    fn value(&self) -> SecretValue {
        match self.0.text() {
            Some(text) => SecretValue::String(text.to_owned()),
            None => SecretValue::Bytes(self.0.bytes().to_vec().into()),
        }
    }
}

pub(crate) fn builtins() -> Vec<Builtin> {
    vec![
        Builtin::new("secrets", Secrets::new),
        Builtin::new("secrets-lattice", LatticeSecrets::new),
    ]
}
