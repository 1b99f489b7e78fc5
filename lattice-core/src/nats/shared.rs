//! Settings of a connection as text, for a process that is to connect in the same way.

use super::{
    NatsOptions,
    options::{ClientCertificate, Login, TlsOptions},
};
use crate::quantity::ByteSize;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};
use zeroize::{Zeroize as _, Zeroizing};

/// The settings of a connection, with the secrets in it. They are wiped from memory when it is
/// dropped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SharedNats {
    servers: Vec<String>,
    are_from_list: bool,
    login: SharedLogin,
    tls_required: bool,
    tls_first: bool,
    roots: Vec<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    jetstream_domain: Option<String>,
    connect_timeout_ms: u64,
    max_payload: Option<u64>,
    inbox_prefix: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SharedLogin {
    None,
    Token(String),
    Password { user: String, password: String },
    NkeySeed(String),
    Credentials(String),
    CredentialsFile(PathBuf),
}

impl SharedNats {
    pub(crate) fn of(options: &NatsOptions) -> Self {
        let tls = &options.tls;
        let certificate = tls.client.as_ref();
        Self {
            servers: options.servers.clone(),
            are_from_list: options.are_from_list,
            login: SharedLogin::of(&options.login),
            tls_required: tls.required,
            tls_first: tls.first,
            roots: tls.roots.clone(),
            certificate: certificate.map(|files| (files.chain.clone(), files.key.clone())),
            jetstream_domain: options.jetstream_domain.clone(),
            connect_timeout_ms: options.connect_timeout.as_millis() as u64,
            max_payload: options.max_payload.map(ByteSize::as_u64),
            inbox_prefix: options.inbox_prefix.clone(),
        }
    }

    pub(crate) fn options(&self) -> NatsOptions {
        let mut servers = self.servers.iter();
        let first = NatsOptions::new(servers.next().cloned().unwrap_or_default());
        let mut options = servers.fold(first, NatsOptions::server);
        options.are_from_list = self.are_from_list;
        options.login = self.login.login();
        let certificate = self.certificate.clone();
        options.tls = TlsOptions {
            required: self.tls_required,
            first: self.tls_first,
            roots: self.roots.clone(),
            client: certificate.map(|(chain, key)| ClientCertificate { chain, key }),
        };
        options.jetstream_domain.clone_from(&self.jetstream_domain);
        options.connect_timeout = Duration::from_millis(self.connect_timeout_ms);
        options.max_payload = self.max_payload.map(ByteSize::bytes);
        options.inbox_prefix.clone_from(&self.inbox_prefix);
        options
    }
}

impl Drop for SharedNats {
    fn drop(&mut self) {
        // A server's URL may have a password in it.
        self.servers.zeroize();
    }
}

impl SharedLogin {
    fn of(login: &Login) -> Self {
        match login {
            Login::None => Self::None,
            Login::Token(token) => Self::Token(token.to_string()),
            Login::Password { user, password } => Self::Password {
                user: user.clone(),
                password: password.to_string(),
            },
            Login::NkeySeed(seed) => Self::NkeySeed(seed.to_string()),
            Login::Credentials(content) => Self::Credentials(content.to_string()),
            Login::CredentialsFile(path) => Self::CredentialsFile(path.clone()),
        }
    }

    fn login(&self) -> Login {
        let secret = |text: &String| Zeroizing::new(text.clone());
        match self {
            Self::None => Login::None,
            Self::Token(token) => Login::Token(secret(token)),
            Self::Password { user, password } => Login::Password {
                user: user.clone(),
                password: secret(password),
            },
            Self::NkeySeed(seed) => Login::NkeySeed(secret(seed)),
            Self::Credentials(content) => Login::Credentials(secret(content)),
            Self::CredentialsFile(path) => Login::CredentialsFile(path.clone()),
        }
    }
}

impl Drop for SharedLogin {
    fn drop(&mut self) {
        match self {
            Self::Token(secret) | Self::NkeySeed(secret) | Self::Credentials(secret) => {
                secret.zeroize();
            }
            Self::Password { password, .. } => password.zeroize(),
            Self::None | Self::CredentialsFile(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings_of_a_connection_can_be_shared() {
        for options in [
            NatsOptions::from("nats://joe:hunter2@a:1, tls://b:2"),
            NatsOptions::new("a")
                .token("hunter2")
                .tls_first()
                .require_tls(),
            NatsOptions::new("a").user("joe", "hunter2"),
            NatsOptions::new("a").nkey_seed("hunter2"),
            NatsOptions::new("a").credentials("hunter2"),
            NatsOptions::new("a")
                .credentials_file("/a.creds")
                .root_certificates("/ca.pem")
                .client_certificate("/cert.pem", "/key.pem")
                .jetstream_domain("hub")
                .connect_timeout(Duration::from_millis(1_500))
                .max_payload(ByteSize::kib(64))
                .inbox_prefix("_MINE"),
        ] {
            let json = serde_json::to_string(&SharedNats::of(&options)).expect("JSON");
            let read: SharedNats = serde_json::from_str(&json).expect("reads");
            let read = read.options();
            assert_eq!(format!("{read:?}"), format!("{options:?}"));
            assert_eq!(
                serde_json::to_string(&SharedNats::of(&read)).expect("JSON"),
                json
            );
        }
    }
}
