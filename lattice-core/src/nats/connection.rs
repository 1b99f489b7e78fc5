//! One live connection, shared by the bus and the store.

use super::bus::NatsBus;
use super::{
    ConnectError, NatsOptions,
    client::{PING_INTERVAL, client_options},
    options::{Login, WhenAway},
    round_trip::RoundTrips,
    signals::{Signals, watch_state},
    tap::TapHandle,
    url::servers_and_login,
};
use crate::{
    bus::{BusError, BusState},
    quantity::ByteSize,
    watch::Watch,
};
use async_nats::{ServerAddr, connection::State};
use std::{
    fmt,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::task::AbortOnDropHandle;

/// How long the server may take to confirm a request. Longer than it takes to give up a silent
/// server.
const CONFIRM: Duration = Duration::from_secs(8);

/// A connection to a lattice's NATS servers. Cheap to clone. It ends when the last clone and
/// everything created from it are dropped, or by [`close`](Self::close).
#[derive(Clone)]
pub struct NatsConnection {
    shared: Arc<OpenConnection>,
}

struct OpenConnection {
    client: async_nats::Client,
    signals: Arc<Signals>,
    round_trips: RoundTrips,
    jetstream_domain: Option<String>,
    /// The limit of the account, if it is lower than that of the server.
    max_payload: Option<ByteSize>,
    when_away: WhenAway,
    /// Room for large payloads that are not written yet.
    large_payloads: Arc<Semaphore>,
    _watcher: AbortOnDropHandle<()>,
}

/// When a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before `open` returns.
    Now,
    /// As soon as a server is reachable.
    #[cfg(feature = "disk")]
    Later,
}

impl NatsConnection {
    pub(super) async fn open(options: &NatsOptions, when: When) -> Result<Self, ConnectError> {
        let (servers, login) = servers_and_login(options)?;
        let names: Vec<_> = servers.iter().map(ServerAddr::as_url_str).collect();
        let names = names.join(", ");
        let signals = Arc::new(Signals::new());
        let client_options = client_options(options, servers.len(), &login, &signals).await?;
        let client_options = match when {
            When::Now => client_options,
            #[cfg(feature = "disk")]
            When::Later => {
                signals.state.send_replace(BusState::Disconnected);
                client_options.retry_on_initial_connect()
            }
        };
        let limit = options.connect_timeout;
        let client = tokio::time::timeout(limit, client_options.connect(servers))
            .await
            .map_err(|_| ConnectError::TimedOut {
                servers: names.clone(),
                limit,
            })?
            .map_err(|error| {
                let with_seed = matches!(login, Login::NkeySeed(_));
                ConnectError::from_client(names, limit, with_seed, error)
            })?;
        let round_trips =
            RoundTrips::new(&client)
                .await
                .map_err(|source| ConnectError::BadInboxPrefix {
                    prefix: options.inbox_prefix.clone(),
                    source,
                })?;
        let watcher = tokio::spawn(watch_state(client.clone(), signals.clone()));
        Ok(Self {
            shared: Arc::new(OpenConnection {
                client,
                signals,
                round_trips,
                jetstream_domain: options.jetstream_domain.clone(),
                max_payload: options.max_payload,
                when_away: options.when_away,
                large_payloads: super::bus::permits_for_large_payloads(),
                _watcher: AbortOnDropHandle::new(watcher),
            }),
        })
    }

    /// Returns the room for large payloads that are not written yet.
    pub(super) fn large_payloads(&self) -> &Arc<Semaphore> {
        &self.shared.large_payloads
    }

    /// Returns the bus over this connection.
    pub fn bus(&self) -> NatsBus {
        NatsBus::new(self.clone())
    }

    /// Returns the connection's state as it is now and as it changes. A loss that healed before it
    /// could be read is a change to the same state.
    pub fn watch_state(&self) -> Watch<BusState> {
        self.shared.signals.state.subscribe().into()
    }

    /// Returns the version of the connected server, for example `2.12.1`. While disconnected it is
    /// that of the last one.
    pub fn server_version(&self) -> String {
        self.client().server_info().version
    }

    /// Closes the connection for all of its users, after the server has received everything that
    /// was published. Subscriptions end. Waits a few seconds at most, and not at all while
    /// disconnected.
    pub async fn close(&self) {
        // The client would close its socket and lose bytes that the socket doesn't accept at once.
        // This doesn't wait for a server that doesn't respond.
        tokio::time::timeout(PING_INTERVAL, self.round_trip())
            .await
            .ok();
        self.shared.signals.close();
        // The command only waits when the client's queue is full, which can last when the server is
        // dead.
        tokio::time::timeout(PING_INTERVAL, self.client().drain())
            .await
            .ok();
    }

    /// Returns the underlying client.
    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.shared.client
    }

    /// Returns the most bytes that a message may have.
    pub(super) fn max_payload(&self) -> usize {
        let of_account = self
            .shared
            .max_payload
            .map_or(usize::MAX, ByteSize::as_usize);
        self.client().max_payload().min(of_account)
    }

    /// Returns the `JetStream` domain that the options named.
    pub(crate) fn jetstream_domain(&self) -> Option<&str> {
        self.shared.jetstream_domain.as_deref()
    }

    /// Checks that a message handed to the client now would be sent now.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        if self.shared.signals.is_closed() {
            return Err(BusError::Closed);
        }
        match self.client().connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(BusError::Disconnected),
        }
    }

    /// Returns whether `subscribe` succeeds while no server is connected. The server receives the
    /// subscription once it is.
    pub(crate) fn keeps_subscriptions_while_disconnected(&self) -> bool {
        self.shared.when_away != WhenAway::Refused
    }

    /// Runs `work` until it is done. Fails after [`CONFIRM`].
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let late = BusError::Unconfirmed { after: CONFIRM };
        tokio::time::timeout(CONFIRM, work)
            .await
            .map_err(|_| late)?
    }

    /// Runs `work` until it is done. Fails when the connection is lost, or after [`CONFIRM`].
    pub(crate) async fn unless_lost<T>(
        &self,
        work: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let connects = self.connects();
        self.check()?;
        tokio::select! {
            biased;
            result = work => result,
            error = self.lost(connects) => Err(error),
            () = tokio::time::sleep(CONFIRM) => Err(BusError::Unconfirmed { after: CONFIRM }),
        }
    }

    /// Waits until the server has seen everything that was sent before.
    pub(crate) async fn round_trip(&self) -> Result<(), BusError> {
        let mut complaints = self.server_errors();
        let trips = &self.shared.round_trips;
        let refused = async {
            loop {
                match complaints.recv().await {
                    Ok(complaint) if complaint.contains(trips.inbox()) => {
                        return Err(BusError::Refused(format!(
                            "{complaint}; allow this user its inbox, or set the inbox prefix that it may use"
                        )));
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(BusError::Closed),
                }
            }
        };
        self.unless_lost(async {
            tokio::select! {
                result = trips.run(self.client()) => result,
                error = refused => error,
            }
        })
        .await
    }

    /// Returns whether a complaint of the server is about this connection's private subjects.
    pub(crate) fn is_about_inbox(&self, complaint: &str) -> bool {
        // `<prefix>.<random>`: the subscription for replies has the same prefix.
        let inbox = self.shared.round_trips.inbox();
        inbox
            .rsplit_once('.')
            .is_some_and(|(prefix, _)| complaint.contains(&format!("\"{prefix}.")))
    }

    /// Ends the tap's sink when the connection is closed.
    pub(crate) fn ends_with(&self, tap: &TapHandle) {
        self.shared.signals.ends_with(tap);
    }

    /// Returns how often the connection was made.
    pub(crate) fn connects(&self) -> u64 {
        self.client().statistics().connects.load(Ordering::Relaxed)
    }

    /// Waits until the connection with number `connects` is lost.
    pub(crate) async fn lost(&self, connects: u64) -> BusError {
        let mut state = self.shared.signals.state.subscribe();
        loop {
            match self.check() {
                Ok(()) if self.connects() == connects => {}
                Ok(()) => return BusError::Disconnected,
                Err(error) => return error,
            }
            if state.changed().await.is_err() {
                return BusError::Closed;
            }
        }
    }

    /// Returns a receiver of the server's complaints, verbatim. Most are about refused subjects.
    pub(crate) fn server_errors(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.signals.errors.subscribe()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.signals.close();
    }
}

impl fmt::Debug for NatsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConnection")
            .field("state", &*self.shared.signals.state.borrow())
            .field("jetstream_domain", &self.shared.jetstream_domain)
            .finish_non_exhaustive()
    }
}
