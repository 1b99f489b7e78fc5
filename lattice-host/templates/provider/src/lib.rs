//! A provider: native code that serves an interface to the components that are linked to it.

use lattice_provider_sdk::{Call, Link, Provider, Refusal, provider};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

provider!({ path: "wit" });
pub use example::placeholder_name::counter::CounterClient;

/// The settings of an instance, for all its links: `config` of the provider in a manifest.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The value with which counters start.
    pub start: u64,
}

/// The config of one link.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is put in front of every name.
    pub prefix: String,
}

/// Counters in memory.
#[derive(Debug)]
pub struct Counters {
    settings: Settings,
    counters: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    /// Makes the provider. A host calls this for each instance.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            counters: Mutex::default(),
        }
    }
}

impl Provider for Counters {
    type World = World;
    type Config = Config;
    type Binding = Config;

    async fn link(&self, _: &Link, config: Config) -> Result<Config, Refusal> {
        if config.prefix.len() > 100 {
            return Err(Refusal::new("`prefix` has more than 100 bytes; shorten it"));
        }
        Ok(config)
    }
}

impl example::placeholder_name::counter::Counter for Counters {
    async fn add(&self, call: &Call<Self>, name: String, by: u32) -> Result<u64, String> {
        let name = format!("{}{name}", call.binding().prefix);
        // No code that may panic runs under the lock.
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.entry(name).or_insert(self.settings.start);
        let sum = counter
            .checked_add(by.into())
            .ok_or("the counter is full")?;
        *counter = sum;
        Ok(sum)
    }
}
