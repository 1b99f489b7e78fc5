//! The config of a provider with its buckets in Redis.

use super::super::{
    backend::Failure,
    config::{Limits, duration, max_value_size, timeout},
};
use crate::certificates::authorities;
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{Access, BackendServer, HostPath, Secret};
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo as _, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use serde::Deserialize;
use std::time::Duration;

/// Longest pause between attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often a connection is tried for one operation. The next operation tries again.
const ATTEMPTS: usize = 2;
/// How long one attempt may take at most.
const CONNECT: Duration = Duration::from_secs(5);
/// How many operations are sent without a reply at most. Others wait.
const IN_FLIGHT: usize = 1_024;

/// The config of a provider with its buckets in Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisConfig {
    /// `redis://host:port/database`; `rediss://` with TLS. It may have a user and a password in it,
    /// which is why it is a secret.
    pub url: Secret,
    /// The user, if the URL has none.
    #[serde(default)]
    pub user: Option<String>,
    /// The password, if the URL has none.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// What all of the provider's keys in Redis start with. `lattice:` by default.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The largest value. 1 MiB by default.
    #[serde(default = "max_value_size")]
    pub max_value_size: ByteSize,
    /// How long an operation may take, such as `10s`, which is the default.
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn prefix() -> String {
    "lattice:".to_owned()
}

impl RedisConfig {
    /// A provider with the server at this URL, and defaults for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            user: None,
            password: None,
            ca_file: None,
            prefix: prefix(),
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

    /// Returns the number of the database and the server, as traces have them. Neither has a user
    /// or a password in it.
    pub(super) fn place(&self) -> (String, Option<BackendServer>) {
        let Ok(info) = self.url.expose().into_connection_info() else {
            // It is refused when the provider starts.
            return (String::new(), None);
        };
        let (address, port) = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host.clone(), Some(*port))
            }
            ConnectionAddr::Unix(path) => (path.display().to_string(), None),
            _ => return (String::new(), None),
        };
        let database = info.redis_settings().db().to_string();
        (database, Some(BackendServer { address, port }))
    }

    /// Returns a connection that connects with the first operation, and again when it is lost.
    pub(super) fn connect(&self, access: &Access) -> Result<ConnectionManager, Failure> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(ATTEMPTS)
            .set_max_delay(MAX_PAUSE)
            .set_connection_timeout(Some(CONNECT.min(self.timeout)))
            .set_response_timeout(Some(self.timeout))
            .set_concurrency_limit(IN_FLIGHT);
        let manager = self.client(access)?.get_connection_manager_lazy(config);
        manager.map_err(|error| invalid(error.category()))
    }

    fn client(&self, access: &Access) -> Result<Client, Failure> {
        // The error of a URL that doesn't parse may have parts of it.
        let parsed = self.url.expose().into_connection_info();
        let mut info = parsed.map_err(|_| {
            invalid("`url` isn't valid; write `redis://host:port/0`, or `rediss://` for TLS")
        })?;
        if matches!(info.addr(), ConnectionAddr::Unix(_)) && !access.is_all() {
            return Err(invalid(
                "this host doesn't let providers use its Unix sockets; write `redis://host:port/0`",
            ));
        }
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        info = info.set_redis_settings(settings);
        let has_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let client = match &self.ca_file {
            Some(_) if !has_tls => {
                return Err(invalid("`ca-file` needs a `url` with `rediss://`"));
            }
            Some(path) => {
                let pem = authorities(path).map_err(|refusal| invalid(refusal.reason()))?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem),
                };
                Client::build_with_tls(info, certificates)
            }
            None => Client::open(info),
        };
        client.map_err(|error| invalid(error.category()))
    }
}

fn invalid(reason: &str) -> Failure {
    Failure::Config(format!(
        "the config of `keyvalue-redis` can't work: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_debug_never_show_the_url() {
        for url in ["redis://:s3cret@[bad/", "http://joe:s3cret@host", "s3cret"] {
            let config = RedisConfig::new(url);
            let error = config.client(&Access::all()).expect_err("invalid");
            assert!(error.to_string().contains("`url`"), "{error}");
            assert!(!format!("{error} {error:?} {config:?}").contains("s3cret"));
        }
    }

    #[test]
    fn traces_have_the_server_and_nothing_of_the_login() {
        let place = |url: &str| {
            let (database, server) = RedisConfig::new(url).place();
            let server = server.map(|server| (server.address, server.port));
            (database, server)
        };
        let one = place("rediss://joe:s3cret@db.example:7000/3");
        let server = Some(("db.example".to_owned(), Some(7_000)));
        assert_eq!(one, ("3".to_owned(), server));
        let socket = place("redis+unix:///run/redis.sock");
        let server = Some(("/run/redis.sock".to_owned(), None));
        assert_eq!(socket, ("0".to_owned(), server));
        assert_eq!(place("http://joe:s3cret@host"), (String::new(), None));
    }

    #[test]
    fn a_socket_of_the_machine_is_named_only_with_all_access() {
        let config = RedisConfig::new("redis+unix:///run/redis.sock");
        config.client(&Access::all()).expect("its own operator may");
        let refused = config.client(&Access::none()).expect_err("an app may not");
        assert!(refused.to_string().contains("Unix sockets"), "{refused}");
    }

    #[test]
    fn a_ca_file_needs_tls_and_has_to_be_there() {
        let mut config = RedisConfig::new("redis://localhost");
        config.ca_file = Some("/does/not/exist.pem".into());
        let error = config
            .client(&Access::all())
            .expect_err("without TLS")
            .to_string();
        assert!(error.contains("rediss://"), "{error}");
        config.url = Secret::new("rediss://localhost".to_owned());
        let error = config
            .client(&Access::all())
            .expect_err("no file")
            .to_string();
        assert!(
            error.contains("`ca-file` /does/not/exist.pem can't be used"),
            "{error}"
        );
    }
}
