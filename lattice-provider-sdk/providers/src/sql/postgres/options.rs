//! How to connect.

use super::{PostgresConfig, Tls};
use crate::certificates::tls;
use lattice_provider_sdk::{Access, BackendServer, Refusal};
use rustls::RootCertStore;
use std::{fmt, time::Duration};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long the server waits beyond `idle-timeout-ms` before it ends a transaction by itself, whose
/// provider it no longer hears of.
const GRACE: Duration = Duration::from_secs(5);
/// The port of a server that has no other one in the settings.
const PORT: u16 = 5_432;
/// The longest name of PostgreSQL, in bytes.
const MAX_NAME: usize = 63;

/// How to connect to a server.
pub(super) struct Options {
    server: tokio_postgres::Config,
    idle_timeout: Duration,
    pub(super) tls: MakeRustlsConnect,
    pub(super) pool_size: usize,
    pub(super) connect_timeout: Duration,
}

/// Without anything that may be secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, Refusal> {
        let server = server(config)?;
        let is_local = |host: &Host| !matches!(host, Host::Tcp(_));
        if server.get_hosts().iter().any(is_local) && !Access::current().is_all() {
            return Err(Refusal::new(
                "this host doesn't let providers use its Unix sockets; name the server by its host name, or run the provider with `lattice-provider`",
            ));
        }
        let roots = match server.get_ssl_mode() {
            SslMode::Disable => RootCertStore::empty(),
            _ => tls::roots(config.ca_file.as_ref())?,
        };
        Ok(Self {
            server,
            idle_timeout: Duration::from_millis(config.idle_timeout_ms),
            tls: MakeRustlsConnect::new(tls::trusting(roots)?.with_no_client_auth()),
            pool_size: config.pool_size.get(),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
        })
    }

    /// Returns what traces call the database for links with this schema, as it is when a connection
    /// is made.
    pub(super) fn namespace(&self, schema: Option<&str>) -> String {
        let database = self.server.get_dbname().or(self.server.get_user());
        let parts = [database, schema].into_iter().flatten();
        parts.collect::<Vec<_>>().join("|")
    }

    /// Returns the server, as traces have it, if there is only one.
    pub(super) fn address(&self) -> Option<BackendServer> {
        let port = match self.server.get_ports() {
            [] => PORT,
            [port] => *port,
            _ => return None,
        };
        let (address, port) = match (self.server.get_hosts(), self.server.get_hostaddrs()) {
            ([Host::Tcp(name)], _) => (name.clone(), Some(port)),
            #[cfg(unix)]
            ([Host::Unix(path)], _) => (path.display().to_string(), None),
            ([], [address]) => (address.to_string(), Some(port)),
            _ => return None,
        };
        Some(BackendServer { address, port })
    }

    /// Returns how to connect for links with this schema and access.
    pub(super) fn server(
        &self,
        schema: Option<&str>,
        is_read_only: bool,
    ) -> tokio_postgres::Config {
        let mut server = self.server.clone();
        let mut settings: Vec<String> = Vec::new();
        settings.extend(server.get_options().map(str::to_owned));
        let idle = (self.idle_timeout + GRACE)
            .as_millis()
            .min(i32::MAX as u128);
        settings.push(format!("-c idle_in_transaction_session_timeout={idle}"));
        if is_read_only {
            settings.push("-c default_transaction_read_only=on".to_owned());
        }
        if let Some(schema) = schema {
            let schema = setting(&identifier(schema));
            settings.push(format!("-c search_path={schema}"));
        }
        server.options(settings.join(" "));
        server
    }
}

fn server(config: &PostgresConfig) -> Result<tokio_postgres::Config, Refusal> {
    let mut server = match &config.url {
        None => tokio_postgres::Config::new(),
        // The error may repeat a part of it.
        Some(url) => url.expose().parse().map_err(|_: tokio_postgres::Error| {
            Refusal::new("`url` isn't a connection string, such as `postgres://user@host/database`")
        })?,
    };
    if let Some(host) = &config.host {
        let url_has_one = !server.get_hosts().is_empty() || !server.get_hostaddrs().is_empty();
        if url_has_one {
            return Err(Refusal::new(
                "`url` has a host, and `host` is set; remove one of them",
            ));
        }
        server.host(host);
    }
    if let Some(port) = config.port {
        if !server.get_ports().is_empty() && config.url.is_some() {
            return Err(Refusal::new(
                "`url` has a port, and `port` is set; remove one of them",
            ));
        }
        server.port(port);
    }
    if let Some(user) = &config.user {
        server.user(user);
    }
    if let Some(password) = &config.password {
        server.password(password.expose());
    }
    if let Some(database) = &config.database {
        server.dbname(database);
    }
    if let Some(tls) = config.tls {
        server.ssl_mode(match tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require => SslMode::Require,
        });
    }
    if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
        return Err(Refusal::new("there is no server; set `url` or `host`"));
    }
    if server.get_user().is_none() {
        return Err(Refusal::new(
            "there is no user; set `user`, or one in `url`",
        ));
    }
    if server.get_application_name().is_none() {
        server.application_name("lattice");
    }
    server.connect_timeout(Duration::from_millis(config.connect_timeout_ms));
    Ok(server)
}

/// Returns whether this can be the name of a schema.
pub(super) fn is_schema(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains('\0')
}

/// Returns a name as an identifier of SQL.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a value as the options of a connection have it.
fn setting(value: &str) -> String {
    let escaped = value.chars().flat_map(|c| {
        let escape = c == '\\' || c.is_ascii_whitespace();
        escape.then_some('\\').into_iter().chain([c])
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_provider_sdk::Secret;

    fn config() -> PostgresConfig {
        PostgresConfig {
            host: Some("db".to_owned()),
            user: Some("app".to_owned()),
            tls: Some(Tls::Disable),
            ..PostgresConfig::default()
        }
    }

    fn refusal(config: &PostgresConfig) -> String {
        let refused = Options::new(config).map(drop);
        refused.expect_err("it can't be used").reason().to_owned()
    }

    #[test]
    fn a_socket_of_the_machine_is_named_only_with_all_access() {
        let socket = PostgresConfig {
            host: Some("/run/postgresql".to_owned()),
            ..config()
        };
        assert!(Options::new(&socket).is_ok(), "its own operator may");
        let refused = Access::none().scope(|| refusal(&socket));
        assert!(refused.contains("Unix sockets"), "{refused}");
    }

    #[test]
    fn a_schema_is_quoted_and_cannot_add_settings() {
        let options = Options::new(&config()).expect("valid");
        let server = options.server(Some("a\" -c x=y\\"), true);
        let expected = "-c idle_in_transaction_session_timeout=35000 \
                        -c default_transaction_read_only=on \
                        -c search_path=\"a\"\"\\ -c\\ x=y\\\\\"";
        assert_eq!(server.get_options(), Some(expected));
    }

    #[test]
    fn traces_have_database_and_server_and_nothing_else_of_the_settings() {
        let place = |url: &str| {
            let url = Some(Secret::new(url.to_owned()));
            let config = PostgresConfig {
                url,
                tls: Some(Tls::Disable),
                ..PostgresConfig::default()
            };
            let options = Options::new(&config).expect("valid");
            let server = options.address();
            let server = server.map(|server| (server.address, server.port));
            (options.namespace(Some("sales")), server)
        };
        let at = |address: &str, port| Some((address.to_owned(), port));
        for (url, namespace, server) in [
            (
                "postgres://app:s3cret@db.example:7000/shop",
                "shop|sales",
                at("db.example", Some(7_000)),
            ),
            (
                "postgres://app:s3cret@db.example",
                "app|sales",
                at("db.example", Some(PORT)),
            ),
            ("postgres://app@one,two/shop", "shop|sales", None),
            #[cfg(unix)]
            (
                "host=/run/postgresql user=app",
                "app|sales",
                at("/run/postgresql", None),
            ),
        ] {
            assert_eq!(place(url), (namespace.to_owned(), server), "{url}");
        }
        let options = Options::new(&config()).expect("valid");
        assert_eq!(options.namespace(None), "app");
    }

    #[test]
    fn an_unusable_config_is_refused_without_its_secrets() {
        for (change, expected) in [
            (
                PostgresConfig {
                    url: Some(Secret::new(
                        "postgres://app:s3cret@db?nonsense=1".to_owned(),
                    )),
                    ..PostgresConfig::default()
                },
                "`url` isn't a connection string",
            ),
            (
                PostgresConfig {
                    url: Some(Secret::new("postgres://app:s3cret@db".to_owned())),
                    ..config()
                },
                "`url` has a host, and `host` is set",
            ),
            (
                PostgresConfig {
                    host: None,
                    ..config()
                },
                "there is no server",
            ),
            (
                PostgresConfig {
                    user: None,
                    ..config()
                },
                "there is no user",
            ),
            (
                PostgresConfig {
                    tls: Some(Tls::Require),
                    ca_file: Some("/nonexistent/ca.pem".into()),
                    ..config()
                },
                "`ca-file` /nonexistent/ca.pem can't be used",
            ),
        ] {
            let reason = refusal(&change);
            assert!(reason.contains(expected), "{reason}");
            assert!(!reason.contains("s3cret"), "{reason}");
            assert!(!format!("{change:?}").contains("s3cret"));
        }
    }
}
