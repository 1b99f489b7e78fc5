//! The settings of an instance, and the servers that they name.

use crate::{period::Period, tls};
use lapin::{
    types::ShortString,
    uri::{AMQPScheme, AMQPUri},
};
use lattice_provider_sdk::{HostPath, Refusal, Secret};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::{fmt, sync::Arc, time::Duration};
use tokio_rustls::TlsConnector;

/// Seconds between signs of life. A server that is silent for twice as long is given up.
const HEARTBEAT: u16 = 5;
/// An exchange that every server has, for messages with topics.
const EXCHANGE: &str = "amq.topic";

/// The settings of an instance of `messaging-amqp`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The servers of one cluster, joined by commas: `amqp://host:5672`, or `amqps://host:5671`
    /// with TLS. They are tried in turn. The path of a URL is its virtual host, `/` by default.
    /// `amqp://127.0.0.1:5672` by default.
    pub servers: String,
    /// The user to log in as, with `password`. `guest` by default, if the URL has none.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<Secret>,
    /// The virtual host, in place of the one in the URLs.
    pub vhost: Option<String>,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<HostPath>,
    /// The exchange to which messages are published, and from which links receive theirs unless
    /// their config names another one. It is created, as a durable one for topics, if there is none
    /// with this name. `amq.topic` by default, which every server has.
    pub exchange: String,
    /// How long one operation on the server may take. `10s` by default.
    pub timeout: Period,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: "amqp://127.0.0.1:5672".to_owned(),
            user: None,
            password: None,
            vhost: None,
            ca_file: None,
            exchange: EXCHANGE.to_owned(),
            timeout: Period::seconds(10),
        }
    }
}

/// Leaves out the servers, whose URLs may have passwords in them.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("user", &self.user)
            .field("vhost", &self.vhost)
            .field("ca_file", &self.ca_file)
            .field("exchange", &self.exchange)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One server, and how to connect to it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) uri: AMQPUri,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Settings {
    /// Connects to this server, and has defaults for the rest.
    pub fn server(url: impl Into<String>) -> Self {
        Self {
            servers: url.into(),
            ..Self::default()
        }
    }

    /// Checks the settings, and returns the servers: one or more.
    pub(super) fn servers(&self) -> Result<Vec<Server>, Refusal> {
        let hour = Duration::from_hours(1);
        self.timeout
            .check("timeout", Duration::from_millis(100), hour)?;
        self.exchange()?;
        if self.user.is_some() != self.password.is_some() {
            return Err(Refusal::new("`user` and `password` go together; set both"));
        }
        if self.vhost.as_ref().is_some_and(|vhost| !is_short(vhost)) {
            return Err(Refusal::new(
                "`vhost` is too long: it has at most 255 bytes",
            ));
        }
        let texts = self.servers.split(',').map(str::trim);
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
            uri.authority.host = host.to_owned();
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
        if uris.iter().all(|uri| uri.scheme == AMQPScheme::AMQP) {
            if self.ca_file.is_some() {
                return Err(Refusal::new("`ca-file` needs servers with `amqps://`"));
            }
            return Ok(None);
        }
        let config = tls::config(tls::roots(self.ca_file.as_deref())?)?;
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
mod tests {
    use super::*;

    fn uri(settings: &Settings) -> AMQPUri {
        let servers = settings.servers().expect("valid");
        servers[0].uri.clone()
    }

    #[test]
    fn a_url_has_defaults_and_settings_come_first() {
        let plain = uri(&Settings::default());
        assert_eq!((&*plain.vhost, plain.authority.port), ("/", 5672));
        assert_eq!(plain.authority.userinfo.username, "guest");
        assert_eq!(plain.query.heartbeat, Some(HEARTBEAT));
        let full = uri(&Settings::server("amqps://ada:s%20x@mq/shop%2Fa"));
        assert_eq!((&*full.vhost, full.authority.port), ("shop/a", 5671));
        assert_eq!(full.authority.userinfo.password, "s x");
        assert_eq!(uri(&Settings::server("amqp://mq/")).vhost, "/");
        let settings = Settings {
            user: Some("eve".to_owned()),
            password: Some(Secret::new("p@:/".to_owned())),
            vhost: Some("other".to_owned()),
            ..Settings::server("amqp://ada:x@[::1]:7/shop, amqp://b")
        };
        let own = uri(&settings);
        assert_eq!((&*own.authority.host, own.authority.port), ("::1", 7));
        assert_eq!(own.authority.userinfo.username, "eve");
        assert_eq!(own.authority.userinfo.password, "p@:/");
        assert_eq!(own.vhost, "other");
        assert_eq!(settings.servers().expect("valid").len(), 2);
    }

    #[test]
    fn wrong_settings_are_refused_and_repeat_no_secret() {
        let secret = "s3cret";
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings
        };
        for (settings, expected) in [
            (Settings::server(" , "), "`servers` is empty"),
            (
                Settings::server(format!("amqp://a, amqp://u:{secret}@[")),
                "the server no. 2",
            ),
            (
                Settings::server(format!("nats://u:{secret}@a")),
                "the server no. 1",
            ),
            (
                with(|settings| settings.password = Some(Secret::new("s3cret".to_owned()))),
                "go together",
            ),
            (
                with(|settings| settings.ca_file = Some("/does/not/exist.pem".into())),
                "needs servers with `amqps://`",
            ),
            (
                Settings {
                    ca_file: Some("/does/not/exist.pem".into()),
                    ..Settings::server("amqps://a")
                },
                "`ca-file` /does/not/exist.pem can't be used",
            ),
            (
                with(|settings| settings.vhost = Some("v".repeat(256))),
                "`vhost` is too long",
            ),
            (
                with(|settings| settings.exchange = String::new()),
                "`exchange` isn't a name",
            ),
            (
                with(|settings| settings.timeout = Period::seconds(0)),
                "`timeout` is 0ms",
            ),
        ] {
            let shown = format!("{settings:?}");
            let refusal = settings.servers().map(|_| ()).expect_err(expected);
            let reason = refusal.reason();
            assert!(reason.contains(expected), "{reason}");
            assert!(
                !reason.contains(secret) && !shown.contains(secret),
                "{reason} {shown}"
            );
        }
    }
}
