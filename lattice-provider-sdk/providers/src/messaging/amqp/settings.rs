//! The settings of an instance, and the servers that they name.

use crate::{
    certificates::{identity, tls},
    duration::duration,
};
use lapin::{
    types::ShortString,
    uri::{AMQPScheme, AMQPUri},
};
use lattice_provider_sdk::{HostPath, Refusal, Secret};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio_rustls::TlsConnector;

/// Seconds between signs of life. A server that is silent for twice as long is given up.
const HEARTBEAT: u16 = 5;
/// An exchange that every server has, for messages with topics.
const EXCHANGE: &str = "amq.topic";
/// The parameters of a URL that are used. Others, such as `verify`, would be ignored.
const PARAMETERS: [&str; 4] = ["heartbeat", "frame_max", "channel_max", "auth_mechanism"];
/// How long an operation may take by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of an instance of `messaging-amqp`. They are named as those of other servers are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AmqpSettings {
    /// The servers of one cluster, joined by commas: `amqp://host:5672`, or `amqps://host:5671`
    /// with TLS. They are tried in turn. The path of a URL is its virtual host, `/` by default.
    /// They may have a user and a password in them, which is why they are a secret. In those,
    /// characters with a meaning in a URL are percent-encoded, as in `%2C` for a comma. Parameters
    /// after a `?` are `heartbeat`, `frame_max`, `channel_max` and `auth_mechanism`.
    pub servers: Secret,
    /// The user to log in as, with `password`. `guest` by default, if the URL has none.
    #[serde(default)]
    pub user: Option<String>,
    /// The password of `user`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The virtual host, in place of the one in the URLs.
    #[serde(default)]
    pub vhost: Option<String>,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system. With it or `cert-file`, all servers must be `amqps://`.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// A file with the certificate that is sent to the server, in PEM, and those that lead to its
    /// authority. A server whose users log in with it has `?auth_mechanism=external` in its URL.
    #[serde(default)]
    pub cert_file: Option<HostPath>,
    /// A file with the private key of that certificate, in PEM.
    #[serde(default)]
    pub cert_key_file: Option<HostPath>,
    /// The exchange to which messages are published, and from which links receive theirs unless
    /// their config names another one. It is created, as a durable one for topics, if there is none
    /// with this name. `amq.topic` by default, which every server has.
    #[serde(default = "topics")]
    pub exchange: String,
    /// How long an operation on the server may take. 10 s by default.
    #[serde(default = "timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn topics() -> String {
    EXCHANGE.to_owned()
}

fn timeout() -> Duration {
    TIMEOUT
}

/// One server, and how to connect to it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) uri: AMQPUri,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl AmqpSettings {
    /// Connects to these servers, joined by commas, and has defaults for the rest.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: Secret::new(servers.into()),
            user: None,
            password: None,
            vhost: None,
            ca_file: None,
            cert_file: None,
            cert_key_file: None,
            exchange: topics(),
            timeout: TIMEOUT,
        }
    }

    /// Checks the settings, and returns the servers: one or more.
    pub(super) fn servers(&self) -> Result<Vec<Server>, Refusal> {
        if self.timeout.is_zero() {
            return Err(Refusal::new("`timeout` is 0; it must be longer"));
        }
        self.exchange()?;
        if self.user.is_some() != self.password.is_some() {
            return Err(Refusal::new("`user` and `password` go together; set both"));
        }
        if self.vhost.as_ref().is_some_and(|vhost| !is_short(vhost)) {
            return Err(Refusal::new(
                "`vhost` is too long: it has at most 255 bytes",
            ));
        }
        let texts = self.servers.expose().split(',').map(str::trim);
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Err(Refusal::new(
                "`servers` is empty; it has URLs such as `amqp://host:5672`, joined by commas",
            ));
        }
        let mut uris = Vec::new();
        for (number, text) in texts.into_iter().enumerate() {
            uris.push(self.uri(text).ok_or_else(|| {
                Refusal::new(format!(
                    "the server no. {} in `servers` isn't a URL such as `amqp://host:5672`, or \
                     `amqps://host:5671` with TLS",
                    number + 1
                ))
            })?);
            if !has_known_parameters(text) {
                return Err(Refusal::new(format!(
                    "the server no. {} in `servers` has another parameter after its `?` than `{}`; \
                     use the settings `ca-file`, `cert-file`, `cert-key-file` and `timeout`",
                    number + 1,
                    PARAMETERS.join("`, `")
                )));
            }
        }
        let connector = self.connector(&uris)?;
        let servers = uris.into_iter().map(|uri| server(uri, connector.as_ref()));
        servers.collect()
    }

    /// Returns the name of the exchange.
    pub(super) fn exchange(&self) -> Result<ShortString, Refusal> {
        exchange(&self.exchange)
    }

    /// Parses a URL. Its error might repeat a password.
    fn uri(&self, text: &str) -> Option<AMQPUri> {
        let mut uri: AMQPUri = text.parse().ok()?;
        if let Some(host) = ipv6_host(text) {
            host.clone_into(&mut uri.authority.host);
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            uri.authority.userinfo.username.clone_from(user);
            password
                .expose()
                .clone_into(&mut uri.authority.userinfo.password);
        }
        if let Some(vhost) = &self.vhost {
            uri.vhost.clone_from(vhost);
        } else if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        // The client would panic.
        is_short(&uri.vhost).then_some(uri)
    }

    fn connector(&self, uris: &[AMQPUri]) -> Result<Option<TlsConnector>, Refusal> {
        let own = identity(self.cert_file.as_ref(), self.cert_key_file.as_ref())?;
        let plain = uris.iter().filter(|uri| uri.scheme == AMQPScheme::AMQP);
        let plain = plain.count();
        if plain > 0 && (self.ca_file.is_some() || own.is_some()) {
            return Err(Refusal::new(
                "`ca-file` and `cert-file` are for TLS; write `amqps://` for all of `servers`",
            ));
        }
        if plain == uris.len() {
            return Ok(None);
        }
        let builder = tls::trusting(tls::roots(self.ca_file.as_ref())?)?;
        let config = match own {
            Some(files) => tls::identified(builder, files)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }
}

fn server(uri: AMQPUri, connector: Option<&TlsConnector>) -> Result<Server, Refusal> {
    let tls = match (&uri.scheme, connector) {
        (AMQPScheme::AMQPS, Some(connector)) => {
            let name = ServerName::try_from(uri.authority.host.clone());
            let name = name.map_err(|_| {
                Refusal::new("a server in `servers` with `amqps://` has no host that TLS can check")
            })?;
            Some((connector.clone(), name))
        }
        _ => None,
    };
    Ok(Server { uri, tls })
}

/// Returns the address in the brackets of a URL, which the client's own parser leaves out.
fn ipv6_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    Some(host.strip_prefix('[')?.split_once(']')?.0)
}

fn has_known_parameters(url: &str) -> bool {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let mut names = parameters.split('&').map(|parameter| {
        parameter
            .split_once('=')
            .map_or(parameter, |(name, _)| name)
    });
    names.all(|name| name.is_empty() || PARAMETERS.contains(&name))
}

fn is_short(text: &str) -> bool {
    ShortString::try_new(text).is_ok()
}

/// Checks the name of an exchange.
pub(super) fn exchange(name: &str) -> Result<ShortString, Refusal> {
    let checked = ShortString::try_new(name).ok();
    checked
        .filter(|name| !name.as_str().is_empty())
        .ok_or_else(|| Refusal::new("`exchange` isn't a name: it has from 1 to 255 bytes"))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
