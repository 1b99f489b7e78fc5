//! Secrets that are sealed in the lattice's store.

use super::{
    Grant, Secret, SecretsLink,
    source::{Found, is_key},
    spans,
    world::{
        self,
        wasmcloud::secrets::{
            reveal::Reveal,
            store::{self, SecretValue, SecretsError, Store},
        },
    },
};
use lattice_core::{
    secrets::{SecretError, Secrets},
    sync::Mutex,
};
use lattice_provider_sdk::{Call, Instance, Link, Provider, Refusal};
use serde::Deserialize;

/// Why a caller on another host gets no secret, and what to do about it.
const NOT_LOCAL: &str = "secrets of the lattice's store are opened only for callers in the same process, because the bus isn't encrypted; run the provider as a builtin of each host with such callers (`replicas = \"per-host\"`), and not in a process of its own";
/// The interface through which a secret is shown.
const REVEAL: &str = "wasmcloud:secrets/reveal";

/// The settings of `secrets-lattice`. There are none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct LatticeSecretsConfig {}

/// Serves secrets from the lattice's store, to callers in its own process.
#[derive(Debug, Default)]
pub struct LatticeSecrets {
    /// The secrets of the lattice in which it runs.
    secrets: Mutex<Option<Secrets>>,
}

impl LatticeSecrets {
    /// Creates the provider.
    pub fn new(_: LatticeSecretsConfig) -> Self {
        Self::default()
    }
}

impl Provider for LatticeSecrets {
    type World = world::World;
    type Config = SecretsLink;
    type Binding = Grant;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        let secrets = instance.lattice().secrets();
        secrets.check()?;
        *self.secrets.lock() = Some(secrets);
        Ok(())
    }

    async fn stop(&self) {
        *self.secrets.lock() = None;
    }

    async fn link(&self, _: &Link, config: SecretsLink) -> Result<Grant, Refusal> {
        Grant::of(config)
    }

    fn config_schema() -> Option<String> {
        SecretsLink::schema()
    }

    /// A secret that was passed to another host isn't shown there. What `get` returns has a place
    /// for that, and this function hasn't.
    fn admit(&self, call: &Call<Self>) -> Result<(), Refusal> {
        let reveals = call
            .link()
            .is_some_and(|link| link.interface.path() == REVEAL);
        if reveals && !call.is_local() {
            return Err(Refusal::new(NOT_LOCAL));
        }
        Ok(())
    }
}

impl Store for LatticeSecrets {
    type Secret = Secret;

    async fn get(&self, call: &Call<Self>, key: String) -> Result<Secret, SecretsError> {
        if !call.is_local() {
            return Err(SecretsError::Upstream(NOT_LOCAL.to_owned()));
        }
        if !is_key(&key) || !call.binding().allows(&key) {
            return Err(SecretsError::NotFound);
        }
        let Some(secrets) = self.secrets.lock().clone() else {
            return Err(SecretsError::Upstream(
                "the provider has stopped".to_owned(),
            ));
        };
        // It is in this process's copy of the store.
        let opened = async { secrets.open(&*key) };
        let span = call.begin_span(|| spans::read("lattice"));
        match span.attempt(opened).await {
            Ok(value) => Ok(Secret(Found::new(value.into_bytes()))),
            Err(SecretError::NotFound { .. } | SecretError::Name(_)) => Err(SecretsError::NotFound),
            Err(error) => Err(SecretsError::Io(error.to_string())),
        }
    }
}

impl store::Secret<LatticeSecrets> for Secret {}

impl Reveal for LatticeSecrets {
    async fn reveal(&self, _: &Call<Self>, s: &Secret) -> SecretValue {
        s.value()
    }
}
