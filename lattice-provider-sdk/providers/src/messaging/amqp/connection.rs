//! A connection that is there for as long as the provider runs.
//!
//! ```text
//! away ──► connecting ──► open ──► lost ─┐
//!  ▲            │                        │
//!  └────────────┴── refused, or no reply ┴── after a growing pause, to the next server
//! ```
//!
//! The client could connect again by itself. That would restore queues and consumers of links that
//! have changed meanwhile, so each link does it from its own config.

use super::{
    again::Again,
    failed,
    session::Session,
    settings::{AmqpSettings, Server},
    transport,
};
use lapin::{ErrorKind, types::ShortString};
use lattice_provider_sdk::Refusal;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How often it is checked whether a connection is still there. What uses it fails at once.
const CHECK: Duration = Duration::from_millis(100);

/// A connection to one of the servers. Dropping it ends it at once.
#[derive(Debug)]
pub(super) struct Connection {
    state: watch::Receiver<State>,
    patience: Duration,
    keeping: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    /// There is none, for this reason.
    Away(Arc<str>),
    Open(Arc<Session>),
}

/// What it takes to connect.
struct Target {
    servers: Vec<Server>,
    name: String,
    exchange: ShortString,
    patience: Duration,
}

impl Connection {
    /// Checks the settings, and connects in the background: a server that is away isn't an error.
    /// `name` is shown by the tools of the server.
    pub(super) fn open(settings: &AmqpSettings, name: String) -> Result<Self, Refusal> {
        let patience = settings.timeout;
        let target = Target {
            servers: settings.servers()?,
            name,
            exchange: settings.exchange()?,
            patience,
        };
        let (report, state) = watch::channel(State::Away("it is being connected".into()));
        Ok(Self {
            state,
            patience,
            keeping: AbortOnDropHandle::new(tokio::spawn(target.keep(report))),
        })
    }

    /// Returns the connection as it is now, or fails if there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, String> {
        match &*self.state.borrow() {
            State::Open(session) if session.is_open() => Ok(session.clone()),
            State::Open(_) => Err(away("it was lost")),
            State::Away(reason) => Err(away(reason)),
        }
    }

    /// Returns how long one operation on the server may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Closes the connection in order: what was sent has arrived.
    pub(super) async fn close(&self) {
        self.keeping.abort();
        if let Ok(session) = self.session() {
            session.close().await;
        }
    }
}

fn away(reason: &str) -> String {
    format!("there is no connection to the AMQP server: {reason}; try again later")
}

impl Target {
    async fn keep(self, report: watch::Sender<State>) {
        let mut again = Again::default();
        for server in self.servers.iter().cycle() {
            let mut lasted = Duration::ZERO;
            let reason = match self.connect(server).await {
                Ok(session) => {
                    let opened = Instant::now();
                    let session = Arc::new(session);
                    report.send_replace(State::Open(session.clone()));
                    let mut check = interval(CHECK);
                    while session.is_open() {
                        check.tick().await;
                    }
                    lasted = opened.elapsed();
                    "it was lost".to_owned()
                }
                Err(reason) => reason,
            };
            tracing::debug!(name = %self.name, reason, "no connection to the AMQP server");
            report.send_replace(State::Away(reason.into()));
            sleep(again.pause(lasted)).await;
        }
    }

    async fn connect(&self, server: &Server) -> Result<Session, String> {
        let opened = async {
            let connected = transport::connect(server, &self.name).await;
            let connected = connected.map_err(|error| refused(&error))?;
            Session::open(connected, &self.exchange).await
        };
        let late = || format!("no reply within {} ms", self.patience.as_millis());
        timeout(self.patience, opened)
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

/// Returns why a server can't be used. Its own texts have no passwords in them.
fn refused(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(_) => {
            format!(
                "it refuses the login of the messaging provider: {}",
                failed(error)
            )
        }
        _ => failed(error),
    }
}
