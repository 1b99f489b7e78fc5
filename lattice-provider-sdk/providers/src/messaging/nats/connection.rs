//! The connection to the servers.
//!
//! The client reconnects by itself after a loss, but gives up for good when the server refuses its
//! login. The login may be accepted later, so a client that has given up is replaced.

use super::Settings;
use async_nats::{Client, connection::State, jetstream};
use lattice_provider_sdk::Refusal;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How often it is checked whether the client has given up.
const CHECK: Duration = Duration::from_secs(1);

/// A connection that is there for as long as the provider runs.
#[derive(Debug)]
pub(super) struct Connection {
    current: Arc<Mutex<Client>>,
    settings: Settings,
    /// Replaces a client that has given up.
    _reviving: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) async fn open(settings: &Settings, name: String) -> Result<Self, Refusal> {
        let client = settings.connect(name.clone()).await?;
        let current = Arc::new(Mutex::new(client));
        let reviving = revive(current.clone(), settings.clone(), name);
        Ok(Self {
            current,
            settings: settings.clone(),
            _reviving: AbortOnDropHandle::new(tokio::spawn(reviving)),
        })
    }

    /// Returns the client as it is now. It may be replaced later.
    pub(super) fn client(&self) -> Client {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Returns the client if it is connected.
    pub(super) fn connected(&self) -> Result<Client, String> {
        let client = self.client();
        if client.connection_state() == State::Connected {
            return Ok(client);
        }
        Err(
            "there is no connection to the NATS server: it is away, or refuses the login of the \
             messaging provider; try again later"
                .to_owned(),
        )
    }

    /// Returns the streams of the server.
    pub(super) fn streams(&self, client: Client) -> jetstream::Context {
        let mut context = match &self.settings.domain {
            Some(domain) => jetstream::with_domain(client, domain),
            None => jetstream::new(client),
        };
        context.set_timeout(self.settings.timeout.length());
        context
    }

    /// Returns how long one operation on the server may take.
    pub(super) fn patience(&self) -> Duration {
        self.settings.timeout.length()
    }
}

async fn revive(current: Arc<Mutex<Client>>, settings: Settings, name: String) {
    loop {
        sleep(CHECK).await;
        let client = {
            let current = current.lock().unwrap_or_else(PoisonError::into_inner);
            current.clone()
        };
        if client.connection_state() == State::Connected {
            continue;
        }
        // A flush waits while the client tries to connect, and fails at once when it has given up.
        let Ok(Err(_)) = timeout(CHECK, client.flush()).await else {
            continue;
        };
        match settings.connect(name.clone()).await {
            Ok(client) => {
                *current.lock().unwrap_or_else(PoisonError::into_inner) = client;
            }
            Err(refusal) => tracing::warn!(%refusal, "the connection to NATS isn't opened again"),
        }
    }
}
