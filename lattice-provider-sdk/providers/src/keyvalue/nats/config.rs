//! The config of a provider with its buckets in NATS.

use super::super::{
    backend::Failure,
    config::{Limits, duration, timeout},
};
use async_nats::{ConnectOptions, ServerAddr};
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{HostPath, Secret};
use serde::Deserialize;
use std::time::Duration;

/// How long an attempt to connect may take at most.
const CONNECT: Duration = Duration::from_secs(5);

/// The config of a provider with its buckets in NATS. Its connection is its own, and not that of
/// the lattice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NatsConfig {
    /// The servers: `nats://host:port`, with commas between several; `tls://` with TLS. They may
    /// have a user and a password in them, which is why they are a secret.
    pub servers: Secret,
    /// The content of a file with credentials, as `nsc` writes it.
    #[serde(default)]
    pub credentials: Option<Secret>,
    /// The user, with `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file with the certificates of the authorities that are trusted, in PEM. By default, those
    /// of the system are.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// What the names of all buckets start with in NATS: letters, digits, `-` and `_`. `kv-` by
    /// default.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// On how many servers of a cluster a bucket is that the provider creates. 1 by default.
    #[serde(default = "replicas")]
    pub replicas: usize,
    /// The largest value. 1,000 KiB by default: a message of NATS has at most 1 MiB with its
    /// headers, unless the server is configured otherwise.
    #[serde(default = "max_value_size")]
    pub max_value_size: ByteSize,
    /// How long an operation may take, such as `10s`, which is the default.
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn prefix() -> String {
    "kv-".to_owned()
}

fn replicas() -> usize {
    1
}

fn max_value_size() -> ByteSize {
    ByteSize::kib(1_000)
}

impl NatsConfig {
    /// A provider with these servers, and defaults for the rest.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: Secret::new(servers.into()),
            credentials: None,
            username: None,
            password: None,
            token: None,
            ca_file: None,
            prefix: prefix(),
            replicas: replicas(),
            max_value_size: max_value_size(),
            timeout: timeout(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_value_size: self.max_value_size,
            timeout: self.timeout,
        }
    }

    /// Returns the servers.
    pub(super) fn addresses(&self) -> Result<Vec<ServerAddr>, Failure> {
        let servers = self.servers.expose().split(',');
        // The error may have parts of the address.
        let parsed = servers.map(|server| server.trim().parse::<ServerAddr>());
        let parsed: Result<Vec<_>, _> = parsed.collect();
        parsed.map_err(|_| invalid("`servers` isn't valid; write `nats://host:port`"))
    }

    /// Returns how to connect.
    pub(super) fn options(&self) -> Result<ConnectOptions, Failure> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !self.prefix.chars().all(allowed) {
            return Err(invalid("`prefix` may have letters, digits, `-` and `_`"));
        }
        let mut options = ConnectOptions::new()
            .name("lattice keyvalue-nats")
            .connection_timeout(CONNECT.min(self.timeout))
            .request_timeout(Some(self.timeout))
            .max_reconnects(None);
        match (
            &self.credentials,
            &self.username,
            &self.password,
            &self.token,
        ) {
            (None, None, None, None) => {}
            (Some(credentials), None, None, None) => {
                // The error may have parts of the credentials.
                let given = options.credentials(credentials.expose());
                options = given.map_err(|_| {
                    invalid("`credentials` aren't valid; give the content of a `.creds` file")
                })?;
            }
            (None, Some(username), Some(password), None) => {
                let password = password.expose().to_owned();
                options = options.user_and_password(username.clone(), password);
            }
            (None, None, None, Some(token)) => options = options.token(token.expose().to_owned()),
            _ => {
                return Err(invalid(
                    "give one of `credentials`, `username` with `password`, and `token`",
                ));
            }
        }
        if let Some(path) = &self.ca_file {
            options = options.add_root_certificates(path.to_path_buf());
        }
        Ok(options)
    }
}

fn invalid(reason: &str) -> Failure {
    Failure::Config(format!(
        "the config of `keyvalue-nats` can't work: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_debug_never_show_secrets() {
        let config = NatsConfig::new("nats://joe:s3cret@ho st");
        let error = config.addresses().expect_err("invalid");
        assert!(!format!("{error} {error:?} {config:?}").contains("s3cret"));
        let mut config = NatsConfig::new("nats://localhost");
        config.credentials = Some(Secret::new("s3cret".to_owned()));
        let error = config.options().expect_err("no credentials");
        assert!(!format!("{error} {error:?} {config:?}").contains("s3cret"));
    }

    #[test]
    fn one_way_to_log_in_is_given() {
        let mut config = NatsConfig::new("nats://one:4222, nats://two:4222");
        assert_eq!(config.addresses().map(|all| all.len()), Ok(2));
        config.username = Some("ada".to_owned());
        assert!(config.options().is_err(), "without a password");
        config.password = Some(Secret::new("enigma".to_owned()));
        assert!(config.options().is_ok());
        config.token = Some(Secret::new("t".to_owned()));
        assert!(config.options().is_err(), "two ways");
        config.token = None;
        config.prefix = "a.b".to_owned();
        assert!(config.options().is_err(), "a prefix that NATS can't have");
    }
}
