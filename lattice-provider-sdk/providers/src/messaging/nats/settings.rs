//! The settings of an instance, and the connection that they describe.

use crate::period::Period;
use async_nats::{ConnectOptions, ServerAddr};
use lattice_provider_sdk::{HostPath, Refusal, Secret};
use serde::Deserialize;
use std::{fmt, time::Duration};

/// The longest pause between two attempts to reach a server.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A silent server is given up after two unanswered pings.
const PING: Duration = Duration::from_secs(5);
/// Messages of one subscription without a stream that may wait in this process. The server's
/// messages beyond that are dropped.
const WAITING: usize = 4_096;

/// The settings of an instance of `messaging-nats`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The servers, joined by commas: `nats://host:4222`, or `tls://host:4222`.
    /// `nats://127.0.0.1:4222` by default.
    pub servers: String,
    /// A credentials file (user JWT and nkey seed), as `nsc` writes it.
    pub credentials_file: Option<HostPath>,
    /// The user to log in as, with `password`.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<Secret>,
    /// A token to log in with.
    pub token: Option<Secret>,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<HostPath>,
    /// The `JetStream` domain of the streams, if it isn't the server's own.
    pub domain: Option<String>,
    /// How long one operation on the server may take. `10s` by default.
    pub timeout: Period,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: "nats://127.0.0.1:4222".to_owned(),
            credentials_file: None,
            user: None,
            password: None,
            token: None,
            ca_file: None,
            domain: None,
            timeout: Period::seconds(10),
        }
    }
}

/// Leaves out the servers, whose URLs may have passwords in them.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("credentials_file", &self.credentials_file)
            .field("user", &self.user)
            .field("ca_file", &self.ca_file)
            .field("domain", &self.domain)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Connects to this server, and has defaults for the rest.
    pub fn server(url: impl Into<String>) -> Self {
        Self {
            servers: url.into(),
            ..Self::default()
        }
    }

    /// Opens the connection, which is made in the background: a server that is away is no error.
    pub(super) async fn connect(&self, name: String) -> Result<async_nats::Client, Refusal> {
        let servers = self.addresses()?;
        let hour = Duration::from_hours(1);
        self.timeout
            .check("timeout", Duration::from_millis(100), hour)?;
        let options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .ping_interval(PING)
            .subscription_capacity(WAITING)
            .connection_timeout(self.timeout.length())
            .request_timeout(Some(self.timeout.length()))
            .reconnect_delay_callback(|attempts| {
                let pause = Duration::from_millis(50).saturating_mul(attempts as u32);
                pause.min(LONGEST_PAUSE)
            })
            .event_callback(|event| {
                tracing::debug!(%event, "an event of the connection to NATS");
                std::future::ready(())
            });
        let options = self.login(self.trust(options)?).await?;
        let connected = options.connect(servers).await;
        // The error may repeat a URL with a password.
        connected.map_err(|error| {
            Refusal::new(format!(
                "the connection to the NATS servers can't be opened: {}",
                error.kind()
            ))
        })
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, Refusal> {
        let texts = self.servers.split(',').map(str::trim);
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Err(Refusal::new(
                "`servers` is empty; it has URLs such as `nats://host:4222`, joined by commas",
            ));
        }
        let parse = |(number, text): (usize, &str)| {
            text.parse::<ServerAddr>().map_err(|_| {
                Refusal::new(format!(
                    "the server no. {} in `servers` isn't a URL such as `nats://host:4222`",
                    number + 1
                ))
            })
        };
        texts.into_iter().enumerate().map(parse).collect()
    }

    fn trust(&self, options: ConnectOptions) -> Result<ConnectOptions, Refusal> {
        let Some(path) = &self.ca_file else {
            return Ok(options);
        };
        if let Err(error) = std::fs::File::open(path) {
            return Err(Refusal::new(format!(
                "`ca-file` {} can't be read: {error}",
                path.display()
            )));
        }
        Ok(options
            .add_root_certificates(path.to_path_buf())
            .require_tls(true))
    }

    async fn login(&self, options: ConnectOptions) -> Result<ConnectOptions, Refusal> {
        match (
            &self.credentials_file,
            &self.user,
            &self.password,
            &self.token,
        ) {
            (None, None, None, None) => Ok(options),
            (Some(path), None, None, None) => {
                let login = options.credentials_file(path).await;
                login.map_err(|error| {
                    Refusal::new(format!(
                        "`credentials-file` {} can't be used: {}",
                        path.display(),
                        error.kind()
                    ))
                })
            }
            (None, Some(user), Some(password), None) => {
                Ok(options.user_and_password(user.clone(), password.expose().to_owned()))
            }
            (None, None, None, Some(token)) => Ok(options.token(token.expose().to_owned())),
            _ => Err(Refusal::new(
                "there is one login: `credentials-file`, or `user` with `password`, or `token`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(settings: Settings) -> String {
        let connected = settings.connect("test".to_owned()).await;
        let refusal = connected.map(drop).expect_err("refused");
        refusal.reason().to_owned()
    }

    #[tokio::test]
    async fn wrong_settings_are_refused_and_repeat_no_secret() {
        let secret = "s3cret";
        for (settings, expected) in [
            (Settings::server(""), "`servers` is empty"),
            (
                Settings::server(format!("nats://a:4222, u:{secret}@[")),
                "the server no. 2",
            ),
            (
                Settings {
                    password: Some(Secret::new(secret.to_owned())),
                    ..Settings::default()
                },
                "there is one login",
            ),
            (
                Settings {
                    ca_file: Some("/does/not/exist.pem".into()),
                    ..Settings::default()
                },
                "`ca-file` /does/not/exist.pem can't be read",
            ),
            (
                Settings {
                    timeout: Period::seconds(0),
                    ..Settings::default()
                },
                "`timeout` is 0ms",
            ),
        ] {
            let shown = format!("{settings:?}");
            let reason = refusal(settings).await;
            assert!(reason.contains(expected), "{reason}");
            assert!(
                !reason.contains(secret) && !shown.contains(secret),
                "{reason} {shown}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_no_error() {
        // Nothing listens on port 1.
        let settings = Settings::server("nats://user:pass@127.0.0.1:1");
        settings.connect("test".to_owned()).await.expect("opened");
    }
}
