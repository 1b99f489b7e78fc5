//! The settings of a connection.

use crate::{
    certificates::{authorities, identity},
    duration::duration,
};
use async_nats::Subject;
use lattice_core::nats::NatsOptions;
use lattice_provider_sdk::{HostPath, Refusal, Secret};
use serde::Deserialize;
use std::time::Duration;

/// How long an attempt to connect may take at most, over all servers.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an operation may take by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How a provider connects to NATS; see the [module](super) for the names of the settings.
/// [`settings`](lattice_provider_sdk::settings) parses it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(Servers, NatsLogin, NatsTls)")]
pub struct NatsSettings {
    /// The servers, joined by commas: `nats://host:4222`, or `tls://host:4222` for one that has to
    /// use TLS. They may have a user and a password, or a token, in them, which is why they are a
    /// secret. In those, characters with a meaning in a URL are percent-encoded, as in `%2C` for a
    /// comma.
    pub servers: Secret,
    /// The login.
    pub login: NatsLogin,
    /// The files of TLS.
    pub tls: NatsTls,
    /// What the subjects for replies start with, for users who may not use `_INBOX`, the default.
    pub inbox_prefix: Option<String>,
    /// The domain of `JetStream`, if it isn't the connected server's own.
    pub jetstream_domain: Option<String>,
    /// How long an operation on the server may take. 10 s by default.
    pub timeout: Duration,
}

/// The settings of [`NatsSettings`] that are in none of its parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Servers {
    servers: Secret,
    #[serde(default)]
    inbox_prefix: Option<String>,
    #[serde(default)]
    jetstream_domain: Option<String>,
    #[serde(default = "timeout", deserialize_with = "duration")]
    timeout: Duration,
}

fn timeout() -> Duration {
    TIMEOUT
}

impl From<(Servers, NatsLogin, NatsTls)> for NatsSettings {
    fn from((servers, login, tls): (Servers, NatsLogin, NatsTls)) -> Self {
        Self {
            servers: servers.servers,
            login,
            tls,
            inbox_prefix: servers.inbox_prefix,
            jetstream_domain: servers.jetstream_domain,
            timeout: servers.timeout,
        }
    }
}

/// How a provider logs in to NATS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Login")]
#[non_exhaustive]
pub enum NatsLogin {
    /// Not at all, or with what a URL of [`NatsSettings::servers`] has.
    #[default]
    None,
    /// With the content of a credentials file (user JWT and nkey seed), as `nsc` writes it. The
    /// setting `creds`.
    Creds(Secret),
    /// With an nkey, by its seed (`SU…`). The setting `nkey`.
    Nkey(Secret),
    /// With a token. The setting `token`.
    Token(Secret),
    /// With a name and a password. The settings `user` and `password`.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// The settings of a login.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Login {
    creds: Option<Secret>,
    nkey: Option<Secret>,
    token: Option<Secret>,
    user: Option<String>,
    password: Option<Secret>,
}

/// The settings are no login, or more than one.
#[derive(Debug, thiserror::Error)]
#[error("give one login: `creds`, `nkey`, `token`, or `user` with `password`")]
struct NotOneLogin;

impl TryFrom<Login> for NatsLogin {
    type Error = NotOneLogin;

    fn try_from(login: Login) -> Result<Self, NotOneLogin> {
        let Login {
            creds,
            nkey,
            token,
            user,
            password,
        } = login;
        let named = match (user, password) {
            (Some(user), Some(password)) => Some(Self::Password { user, password }),
            (None, None) => None,
            _ => return Err(NotOneLogin),
        };
        let mut given = [
            creds.map(Self::Creds),
            nkey.map(Self::Nkey),
            token.map(Self::Token),
            named,
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (None, _) => Ok(Self::None),
            (Some(login), None) => Ok(login),
            (Some(_), Some(_)) => Err(NotOneLogin),
        }
    }
}

/// The files with which a provider connects to NATS over TLS. One that names any file of these is
/// connected only over TLS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NatsTls {
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    pub ca_file: Option<HostPath>,
    /// A file with the certificate that is sent to the server, in PEM, and those that lead to its
    /// authority.
    pub cert_file: Option<HostPath>,
    /// A file with the private key of that certificate, in PEM.
    pub cert_key_file: Option<HostPath>,
    /// Whether the handshake comes before everything else, as for servers with `handshake_first`.
    /// False by default.
    pub tls_first: bool,
}

impl NatsSettings {
    /// Connects to these servers, joined by commas, and has defaults for the rest.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: Secret::new(servers.into()),
            login: NatsLogin::None,
            tls: NatsTls::default(),
            inbox_prefix: None,
            jetstream_domain: None,
            timeout: TIMEOUT,
        }
    }

    /// Returns how to connect. The name is for the server's monitoring. What is wrong with servers
    /// and with the content of files other than `ca-file` is told by the connection.
    pub(super) fn options(&self, name: &str) -> Result<NatsOptions, Refusal> {
        if self.timeout.is_zero() {
            return Err(Refusal::new("`timeout` is 0; it must be longer"));
        }
        let mut options = NatsOptions::from(self.servers.expose())
            .name(name)
            .connect_timeout(CONNECT.min(self.timeout));
        if let Some(prefix) = &self.inbox_prefix {
            if !is_literal(prefix) {
                return Err(Refusal::new(
                    "`inbox-prefix` must be a subject without wildcards, such as `_INBOX_shop`",
                ));
            }
            options = options.inbox_prefix(prefix);
        }
        let domain = self.jetstream_domain.as_deref();
        if domain.is_some_and(|domain| domain.contains('.') || !is_literal(domain)) {
            return Err(Refusal::new(
                "`jetstream-domain` must be the name of a domain, such as `hub`",
            ));
        }
        self.tls.add_to(self.login.add_to(options))
    }
}

impl NatsLogin {
    fn add_to(&self, options: NatsOptions) -> NatsOptions {
        match self {
            Self::None => options,
            Self::Creds(content) => options.credentials(content.expose()),
            Self::Nkey(seed) => options.nkey_seed(seed.expose().trim()),
            Self::Token(token) => options.token(token.expose()),
            Self::Password { user, password } => options.user(user, password.expose()),
        }
    }
}

impl NatsTls {
    fn add_to(&self, mut options: NatsOptions) -> Result<NatsOptions, Refusal> {
        if let Some(file) = &self.ca_file {
            // The client reads it again. What is wrong with it is told as by all providers.
            authorities(file)?;
            options = options.root_certificates(file).require_tls();
        }
        let own = identity(self.cert_file.as_ref(), self.cert_key_file.as_ref())?;
        if let Some([chain, key]) = own {
            options = options.client_certificate(chain, key).require_tls();
        }
        if self.tls_first {
            options = options.tls_first();
        }
        Ok(options)
    }
}

/// Returns whether this is a subject without wildcards.
fn is_literal(text: &str) -> bool {
    Subject::from(text).is_valid() && !text.contains(['*', '>'])
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
