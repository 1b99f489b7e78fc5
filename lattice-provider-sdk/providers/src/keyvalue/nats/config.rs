//! The config of a provider with its buckets in NATS.

use super::super::{backend::Failure, config::Limits};
use crate::nats::NatsSettings;
use async_nats::ServerAddr;
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::BackendServer;
use serde::Deserialize;

/// The config of a provider with its buckets in NATS. Its connection is its own, and not that of
/// the lattice. [`settings`](lattice_provider_sdk::settings) parses it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(NatsSettings, NatsBuckets)")]
pub struct NatsConfig {
    /// The servers, and how to connect to them.
    pub connection: NatsSettings,
    /// How buckets are kept there.
    pub buckets: NatsBuckets,
}

/// How buckets are kept in NATS.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NatsBuckets {
    /// What the names of all buckets start with in NATS: letters, digits, `-` and `_`. `kv-` by
    /// default.
    pub prefix: String,
    /// On how many servers of a cluster a bucket is that the provider creates. 1 by default.
    pub replicas: usize,
    /// The largest value. 1,000 KiB by default: a message of NATS has at most 1 MiB with its
    /// headers, unless the server is configured otherwise.
    pub max_value_size: ByteSize,
}

impl Default for NatsBuckets {
    fn default() -> Self {
        Self {
            prefix: "kv-".to_owned(),
            replicas: 1,
            max_value_size: ByteSize::kib(1_000),
        }
    }
}

impl From<(NatsSettings, NatsBuckets)> for NatsConfig {
    fn from((connection, buckets): (NatsSettings, NatsBuckets)) -> Self {
        Self {
            connection,
            buckets,
        }
    }
}

impl NatsConfig {
    /// A provider with these servers, and defaults for the rest.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            connection: NatsSettings::new(servers),
            buckets: NatsBuckets::default(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_value_size: self.buckets.max_value_size,
            timeout: self.connection.timeout,
        }
    }

    /// Returns the server, without a login, if there is only one.
    pub(super) fn server(&self) -> Option<BackendServer> {
        let servers: Vec<&str> = self.connection.servers.expose().split(',').collect();
        let [server] = servers[..] else { return None };
        let server: ServerAddr = server.trim().parse().ok()?;
        Some(BackendServer {
            address: server.host().to_owned(),
            port: Some(server.port()),
        })
    }

    /// Fails if the names of buckets can't be made.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.buckets.prefix.chars().all(allowed) {
            return Ok(());
        }
        Err(invalid("`prefix` may have letters, digits, `-` and `_`"))
    }
}

/// Returns the failure of a config that can't work, for this reason.
pub(super) fn invalid(reason: &str) -> Failure {
    Failure::Config(format!(
        "the config of `keyvalue-nats` can't work: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_provider_sdk::{Refusal, settings};
    use std::collections::BTreeMap;

    fn parse(entries: &[(&str, &str)]) -> Result<NatsConfig, Refusal> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        settings(&entries.iter().map(owned).collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn settings_of_the_connection_and_of_buckets_are_taken_together() {
        let config = parse(&[
            ("servers", "nats://joe:s3cret@one:4222, nats://two:4222"),
            ("timeout", "2s"),
            ("prefix", "shop_"),
            ("replicas", "3"),
            ("max-value-size", "64KiB"),
        ]);
        let config = config.expect("they fit");
        assert_eq!(
            (&*config.buckets.prefix, config.buckets.replicas),
            ("shop_", 3)
        );
        let limits = config.limits();
        assert_eq!(limits.max_value_size, ByteSize::kib(64));
        assert_eq!(limits.timeout.as_secs(), 2);
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(config.check(), Ok(()));
        let refusal = parse(&[("servers", "a:1"), ("replica", "3")]).expect_err("misspelt");
        assert!(
            refusal.reason().contains("did you mean `replicas`?"),
            "{refusal}"
        );
    }

    #[test]
    fn traces_have_the_server_and_nothing_of_the_login() {
        let server = |servers: &str| NatsConfig::new(servers).server();
        let one = server("tls://joe:s3cret@one.example:4333").expect("there is one");
        assert_eq!((&*one.address, one.port), ("one.example", Some(4_333)));
        assert_eq!(server("nats://one:4222, nats://two:4222"), None);
    }

    #[test]
    fn a_prefix_that_nats_cannot_have_is_refused() {
        let mut config = NatsConfig::new("nats://one");
        config.buckets.prefix = "a.b".to_owned();
        let failure = config.check().expect_err("a dot");
        assert!(failure.to_string().contains("`prefix`"), "{failure}");
    }
}
