//! A connection, and why there is none.
//!
//! States: *connecting* → *connected* ⇄ *away*. The first attempt ends the first state. The client
//! tries again by itself, for as long as the provider has the connection.

use super::NatsSettings;
use async_nats::{
    Client, ClientError, ConnectErrorKind, Event,
    connection::State,
    jetstream::{self, Context},
};
use lattice_core::{__private::nats_client, error::chain, nats::ConnectError};
use lattice_provider_sdk::Refusal;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// A silent server is given up after two unanswered pings.
const PING: Duration = Duration::from_secs(5);
/// The pause before the second attempt to reach a server. Each further one is longer by the same.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts, and that after a login was refused, which only a person
/// can mend.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that is there for as long as its provider runs.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    jetstream: Context,
    seen: Arc<Seen>,
    timeout: Duration,
}

/// Why there is no connection. It repeats no address, which may have a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Away {
    /// The server refuses the login, or the login can't be used.
    #[error("no connection to the NATS server, because it refuses the login of the provider: {0}")]
    Refused(String),
    /// No server was reached.
    #[error("no connection to the NATS server: {0}; it is tried again")]
    Unreachable(String),
}

/// What the events of the client have shown.
#[derive(Debug)]
struct Seen {
    status: watch::Sender<Status>,
    /// The provider has dropped the connection.
    is_over: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Connecting,
    Connected,
    Away(Away),
}

impl Connection {
    /// Begins to connect. A server that is away isn't an error.
    ///
    /// The name is for the server's monitoring. Of each subscription, at most `waiting` messages
    /// wait in this process, 65,536 if there is none, and those beyond that are dropped.
    ///
    /// # Errors
    /// Fails when the settings can't work. The reason has no secret in it.
    pub(crate) async fn open(
        settings: &NatsSettings,
        name: &str,
        waiting: Option<usize>,
    ) -> Result<Self, Refusal> {
        let options = settings.options(name)?;
        let (servers, mut client) = nats_client(&options)
            .await
            .map_err(|error| unusable(&error))?;
        let seen = Arc::new(Seen {
            status: watch::Sender::new(Status::Connecting),
            is_over: AtomicBool::new(false),
        });
        let (of_events, of_pauses) = (seen.clone(), seen.clone());
        if let Some(waiting) = waiting {
            client = client.subscription_capacity(waiting);
        }
        let client = client
            .retry_on_initial_connect()
            .ping_interval(PING)
            .request_timeout(Some(settings.timeout))
            .reconnect_delay_callback(move |attempts| of_pauses.pause(attempts))
            .event_callback(move |event| {
                of_events.note(&event);
                std::future::ready(())
            })
            .connect(servers)
            .await;
        // Its error may repeat a URL.
        let client = client.map_err(|error| {
            Refusal::new(format!("no client of NATS can be made: {}", error.kind()))
        })?;
        let mut jetstream = match &settings.jetstream_domain {
            Some(domain) => jetstream::with_domain(client.clone(), domain),
            None => jetstream::new(client.clone()),
        };
        jetstream.set_timeout(settings.timeout);
        Ok(Self {
            client,
            jetstream,
            seen,
            timeout: settings.timeout,
        })
    }

    /// Returns the client, whether or not it is connected.
    #[cfg(any(feature = "blobstore-nats", feature = "messaging-nats"))]
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the client if it is connected. Waits for the first attempt to connect, and not for
    /// later ones.
    pub(crate) async fn ready(&self) -> Result<&Client, Away> {
        if self.client.connection_state() == State::Connected {
            return Ok(&self.client);
        }
        let mut status = self.seen.status.subscribe();
        let begun = status.wait_for(|status| *status != Status::Connecting);
        // What is so after that time is told below.
        drop(timeout(self.timeout, begun).await);
        let status = self.seen.status.borrow().clone();
        match (self.client.connection_state(), status) {
            // The client sends its event just before it changes its state.
            (State::Connected, _) | (State::Pending, Status::Connected) => Ok(&self.client),
            (_, Status::Away(away)) => Err(away),
            (State::Pending, _) => Err(Away::Unreachable("it doesn't answer".to_owned())),
            (State::Disconnected, _) => Err(Away::lost()),
        }
    }

    /// Returns `JetStream` on this connection, in the domain of the settings.
    pub(crate) fn jetstream(&self) -> &Context {
        &self.jetstream
    }

    /// Returns how long one operation on the server may take.
    #[cfg(feature = "messaging-nats")]
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Release);
    }
}

impl Seen {
    fn note(&self, event: &Event) {
        tracing::debug!(%event, "an event of a provider's connection to NATS");
        let status = match event {
            Event::Connected => Status::Connected,
            Event::Disconnected | Event::Closed => Status::Away(Away::lost()),
            Event::ClientError(error) => Status::Away(Away::from(error)),
            _ => return,
        };
        self.status.send_replace(status);
    }

    /// Returns how long the client waits before it tries to connect.
    fn pause(&self, attempts: usize) -> Duration {
        if self.is_over.load(Ordering::Acquire) {
            // The client never stops, even without an owner, so it is parked.
            return Duration::MAX;
        }
        if matches!(*self.status.borrow(), Status::Away(Away::Refused(_))) {
            return LONGEST_PAUSE;
        }
        let more = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        PAUSE.saturating_mul(more).min(LONGEST_PAUSE)
    }
}

impl Away {
    fn lost() -> Self {
        Self::Unreachable("the connection was lost".to_owned())
    }
}

impl From<&ClientError> for Away {
    fn from(error: &ClientError) -> Self {
        let ClientError::Other(reason) = error else {
            return Self::Unreachable(error.to_string());
        };
        // The client tells only the words of its own error.
        let is = |kind: ConnectErrorKind| *reason == kind.to_string();
        if is(ConnectErrorKind::AuthorizationViolation) {
            Self::Refused(reason.clone())
        } else if is(ConnectErrorKind::Authentication) {
            Self::Refused("the key of `nkey` or `creds` can't sign".to_owned())
        } else {
            Self::Unreachable(reason.clone())
        }
    }
}

/// Returns why a connection can't be made with these settings. No error of the core repeats a
/// secret.
fn unusable(error: &ConnectError) -> Refusal {
    let setting = match error {
        ConnectError::BadUrl { .. } => "`servers` can't be used",
        ConnectError::BadCredentials { .. } => "`creds` can't be used",
        ConnectError::UnreadableFile { .. } | ConnectError::BadFile { .. } => {
            "`cert-file` or `cert-key-file` can't be used"
        }
        _ => "no client of NATS can be made",
    };
    Refusal::new(format!("{setting}: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::NatsLogin;
    use lattice_provider_sdk::Secret;

    #[tokio::test]
    async fn a_server_that_is_away_is_no_error_of_the_settings() {
        // Nothing listens on port 1.
        let settings = NatsSettings::new("nats://joe:s3cret@127.0.0.1:1");
        let connection = Connection::open(&settings, "test", None).await;
        let connection = connection.expect("it is tried again");
        let away = connection.ready().await.map(drop).expect_err("no server");
        assert!(matches!(away, Away::Unreachable(_)), "{away:?}");
        let text = format!("{away} {away:?} {connection:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_refused_without_their_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("client.pem");
        std::fs::write(&file, "s3cret").expect("written");
        let with = |change: fn(&mut NatsSettings)| {
            let mut settings = NatsSettings::new("nats://localhost");
            change(&mut settings);
            settings
        };
        let mut certificate = with(|_| {});
        certificate.tls.cert_file = Some(file.clone().into());
        certificate.tls.cert_key_file = Some(file.into());
        for (settings, expected) in [
            (NatsSettings::new(""), "`servers` can't be used"),
            (
                NatsSettings::new("nats://a:4222, nats://joe:s3cret@["),
                "isn't a valid NATS URL",
            ),
            (
                with(|settings| {
                    settings.login = NatsLogin::Creds(Secret::new("s3cret".to_owned()));
                }),
                "`creds` can't be used",
            ),
            (certificate, "`cert-file` or `cert-key-file` can't be used"),
        ] {
            let opened = Connection::open(&settings, "test", None).await;
            let refusal = opened.map(drop).expect_err(expected);
            let text = format!("{refusal} {settings:?}");
            assert!(refusal.reason().contains(expected), "{refusal}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn pauses_grow_and_end_with_the_connection() {
        let seen = Seen {
            status: watch::Sender::new(Status::Connecting),
            is_over: AtomicBool::new(false),
        };
        assert_eq!(seen.pause(1), Duration::ZERO);
        assert_eq!(seen.pause(3), Duration::from_millis(100));
        assert_eq!(seen.pause(usize::MAX), LONGEST_PAUSE);
        let refused = ConnectErrorKind::AuthorizationViolation.to_string();
        seen.note(&Event::ClientError(ClientError::Other(refused)));
        assert_eq!(seen.pause(1), LONGEST_PAUSE);
        seen.note(&Event::Connected);
        assert_eq!(seen.pause(1), Duration::ZERO);
        seen.is_over.store(true, Ordering::Release);
        assert_eq!(seen.pause(1), Duration::MAX);
    }

    #[test]
    fn the_reason_for_no_connection_is_told() {
        let away = |kind: ConnectErrorKind| Away::from(&ClientError::Other(kind.to_string()));
        let refused = away(ConnectErrorKind::AuthorizationViolation).to_string();
        assert!(refused.contains("refuses the login"), "{refused}");
        let unsigned = away(ConnectErrorKind::Authentication).to_string();
        assert!(unsigned.contains("`nkey`"), "{unsigned}");
        let tls = away(ConnectErrorKind::Tls).to_string();
        assert_eq!(
            tls,
            "no connection to the NATS server: TLS error; it is tried again"
        );
    }
}
