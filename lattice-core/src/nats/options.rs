//! Settings of a connection: servers, login and TLS.

use super::{ConnectError, NatsConnection, connection::When, url::shown};
use crate::quantity::ByteSize;
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// How long [`NatsOptions::connect`] tries by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of one NATS connection. Only a server is required.
///
/// Secrets are wiped from memory when the options are dropped, and are never printed. A user and
/// password inside a server's URL are removed from it. In them, a character with a meaning in a URL
/// is written with its percent-encoding: `%2C` for a comma, `%2F` for `/`, `%3F` for `?`, `%23` for
/// `#`, `%40` for `@`, `%3A` for `:` and `%25` for `%`.
#[derive(Clone)]
pub struct NatsOptions {
    pub(super) servers: Vec<String>,
    /// Whether the servers were one text, split at its commas.
    pub(super) are_from_list: bool,
    pub(super) login: Login,
    pub(super) tls: TlsOptions,
    pub(super) jetstream_domain: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) max_payload: Option<ByteSize>,
    pub(super) name: String,
    pub(super) inbox_prefix: String,
    pub(super) when_away: WhenAway,
}

/// The behaviour of a subscription while no server is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenAway {
    /// It is refused.
    Refused,
    /// It is made, and sent to the server once one is connected.
    #[cfg(feature = "disk")]
    Kept,
}

/// The login to connect with.
#[derive(Clone)]
pub(super) enum Login {
    /// No login; a URL may still name a user.
    None,
    Token(Zeroizing<String>),
    Password {
        user: String,
        password: Zeroizing<String>,
    },
    NkeySeed(Zeroizing<String>),
    Credentials(Zeroizing<String>),
    CredentialsFile(PathBuf),
}

/// The TLS files in addition to the system's certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsOptions {
    pub(super) required: bool,
    pub(super) first: bool,
    pub(super) roots: Vec<PathBuf>,
    pub(super) client: Option<ClientCertificate>,
}

/// Files of a client certificate chain and its key.
#[derive(Debug, Clone)]
pub(super) struct ClientCertificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl NatsOptions {
    /// Connects to `server`, written as `nats://host:4222`, `tls://host:4222`, or just `host:4222`.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            are_from_list: false,
            login: Login::None,
            tls: TlsOptions::default(),
            jetstream_domain: None,
            connect_timeout: CONNECT_TIMEOUT,
            max_payload: None,
            name: "lattice".to_owned(),
            inbox_prefix: "_INBOX".to_owned(),
            when_away: WhenAway::Refused,
        }
    }

    /// Adds a server. The first reachable one is used, and another one when it is lost.
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.servers.push(server.into());
        self
    }

    /// Logs in with a credentials file (user JWT and nkey seed), as `nsc` writes it. Replaces any
    /// other login.
    pub fn credentials_file(mut self, path: impl AsRef<Path>) -> Self {
        self.login = Login::CredentialsFile(path.as_ref().to_owned());
        self
    }

    /// Logs in with the content of a credentials file. Replaces any other login.
    pub fn credentials(mut self, content: impl Into<String>) -> Self {
        self.login = Login::Credentials(content.into().into());
        self
    }

    /// Logs in with an nkey, by its seed (`SU…`). Replaces any other login.
    pub fn nkey_seed(mut self, seed: impl Into<String>) -> Self {
        self.login = Login::NkeySeed(seed.into().into());
        self
    }

    /// Logs in with a token. Replaces any other login.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into().into());
        self
    }

    /// Logs in with a user name and a password. Replaces any other login.
    pub fn user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Login::Password {
            user: user.into(),
            password: password.into().into(),
        };
        self
    }

    /// Refuses servers that don't use TLS. A `tls://` URL has the same effect for one server.
    pub fn require_tls(mut self) -> Self {
        self.tls.required = true;
        self
    }

    /// Does the TLS handshake before the server sends anything (`handshake_first` in the server's
    /// configuration). Implies [`require_tls`](Self::require_tls).
    pub fn tls_first(mut self) -> Self {
        self.tls.required = true;
        self.tls.first = true;
        self
    }

    /// Trusts the certificate authorities in this PEM file instead of the system's. Can be called
    /// several times for more files.
    pub fn root_certificates(mut self, path: impl AsRef<Path>) -> Self {
        self.tls.roots.push(path.as_ref().to_owned());
        self
    }

    /// Sends this certificate to the server (mutual TLS). The arguments are PEM files of the chain
    /// and of its private key.
    pub fn client_certificate(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.tls.client = Some(ClientCertificate {
            chain: chain.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
        });
        self
    }

    /// Sets the `JetStream` domain that holds the store, when it is not the connected server's own.
    pub fn jetstream_domain(mut self, domain: impl Into<String>) -> Self {
        self.jetstream_domain = Some(domain.into());
        self
    }

    /// Sets how long [`connect`](Self::connect) may take in all, over all servers. The default is 5
    /// s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the largest message, where the limit of the account is lower than that of its server.
    /// The server announces only its own limit, and closes the connection over a larger message.
    pub fn max_payload(mut self, size: ByteSize) -> Self {
        self.max_payload = Some(size);
        self
    }

    /// Sets the connection's name in the server's monitoring. The default is `lattice`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the prefix of the connection's private subjects, for accounts that allow a user no
    /// other. The default is `_INBOX`.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = prefix.into();
        self
    }

    /// Connects to the first reachable server. The connection recovers from later losses by
    /// itself.
    ///
    /// # Errors
    /// Fails with a [`ConnectError`], whose message states what to do.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no connection.
    pub async fn connect(&self) -> Result<NatsConnection, ConnectError> {
        NatsConnection::open(self, When::Now).await
    }
}

/// Servers joined by commas. A comma in a user, a password or a token is written `%2C`.
impl From<&str> for NatsOptions {
    fn from(servers: &str) -> Self {
        let servers = servers.split(',').map(str::trim);
        let mut servers = servers.filter(|server| !server.is_empty());
        let first = Self::new(servers.next().unwrap_or_default());
        let mut options = servers.fold(first, Self::server);
        options.are_from_list = true;
        options
    }
}

/// Servers joined by commas.
impl From<String> for NatsOptions {
    fn from(servers: String) -> Self {
        Self::from(&*servers)
    }
}

/// Servers joined by commas.
impl From<&String> for NatsOptions {
    fn from(servers: &String) -> Self {
        Self::from(&**servers)
    }
}

#[cfg(feature = "disk")]
impl NatsOptions {
    /// Makes subscriptions even while no server is connected.
    pub(crate) fn subscribing_while_disconnected(mut self) -> Self {
        self.when_away = WhenAway::Kept;
        self
    }

    /// Returns a connection at once, which is made in the background as soon as a server is
    /// reachable.
    pub(crate) async fn connect_later(&self) -> Result<NatsConnection, ConnectError> {
        NatsConnection::open(self, When::Later).await
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("servers", &shown(self))
            .field("are_from_list", &self.are_from_list)
            .field("login", &self.login)
            .field("tls", &self.tls)
            .field("jetstream_domain", &self.jetstream_domain)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_payload", &self.max_payload)
            .field("name", &self.name)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("when_away", &self.when_away)
            .finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token(_) => f.write_str("Token(redacted)"),
            Self::Password { user, .. } => write!(f, "Password({user:?}, redacted)"),
            Self::NkeySeed(_) => f.write_str("NkeySeed(redacted)"),
            Self::Credentials(_) => f.write_str("Credentials(redacted)"),
            Self::CredentialsFile(path) => write!(f, "CredentialsFile({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        let all = [
            NatsOptions::new("nats://joe:hunter2@localhost:4222"),
            NatsOptions::new("joe:hunter2@localhost"),
            NatsOptions::new("localhost").token("hunter2"),
            NatsOptions::new("localhost").user("joe", "hunter2"),
            NatsOptions::new("localhost").nkey_seed("hunter2"),
            NatsOptions::new("localhost").credentials("hunter2"),
            NatsOptions::new("nats://hunter2@a:1").server("tls://x:hunter2@b:1"),
        ];
        for options in all {
            let text = format!("{options:?} {options:#?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
