//! One live connection: its handle, its state, and the task that watches it.
//!
//! The client's events say *when* to look and can be lost; its connection state and its count of connections say *what*
//! happened. A task owned by the connection reads both, at each event and at least every [`POLL`].

use super::{
    ConnectError, NatsOptions,
    options::{Login, redacted},
    round_trip::RoundTrips,
    tap::{Tap, TapHandle},
    tls,
};
use crate::bus::{BusError, BusState, nats::NatsBus};
use async_nats::{ConnectOptions, Event, ServerAddr, connection::State};
use std::{
    fmt,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

/// How late a change of state may be seen when its event was lost.
const POLL: Duration = Duration::from_millis(25);
/// The client sends its event just before it changes its state: look again after this.
const SETTLE: Duration = Duration::from_millis(1);
/// A silent server is given up after two unanswered pings, so within three of these.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// From the second round over the servers on, an attempt waits half of this and a random part of the rest.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// How long the server may take to confirm what it is asked to; longer than it takes to give up a silent one.
const CONFIRM: Duration = Duration::from_secs(8);
/// Server errors kept for a `subscribe` that waits to hear whether it was refused.
const ERRORS_KEPT: usize = 64;

/// A connection to a lattice's NATS servers. Cheap to clone; it ends when the last clone, and everything made from it, is
/// dropped, or by [`close`](Self::close).
#[derive(Clone)]
pub struct NatsConnection {
    shared: Arc<Shared>,
}

struct Shared {
    client: async_nats::Client,
    signals: Arc<Signals>,
    round_trips: RoundTrips,
    jetstream_domain: Option<String>,
    _watcher: AbortOnDropHandle<()>,
}

/// What the client's callbacks leave for us.
struct Signals {
    state: watch::Sender<BusState>,
    errors: broadcast::Sender<Arc<str>>,
    look: Notify,
    closed: AtomicBool,
    /// What ends with the connection, even when the client is too busy reconnecting to end it.
    taps: Mutex<Vec<Weak<Tap>>>,
}

impl NatsConnection {
    pub(super) async fn open(options: &NatsOptions) -> Result<Self, ConnectError> {
        let (servers, login) = servers_and_login(options)?;
        let names: Vec<_> = options.servers.iter().map(|url| redacted(url)).collect();
        let names = names.join(", ");
        let signals = Arc::new(Signals::new());
        let client_options = client_options(options, servers.len(), &login, &signals).await?;
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
            shared: Arc::new(Shared {
                client,
                signals,
                round_trips,
                jetstream_domain: options.jetstream_domain.clone(),
                _watcher: AbortOnDropHandle::new(watcher),
            }),
        })
    }

    /// The bus over this connection.
    pub fn bus(&self) -> NatsBus {
        NatsBus::new(self.clone())
    }

    /// The connection's state, now and as it changes. A loss that healed before anyone could look is a change too: the
    /// value is the same, and the watch is notified.
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.shared.signals.state.subscribe()
    }

    /// The version of the connected server, `2.12.1` for example; of the last one while disconnected.
    pub fn server_version(&self) -> String {
        self.client().server_info().version
    }

    /// Closes the connection for everyone who shares it, after what was published has been written. Subscriptions end.
    pub async fn close(&self) {
        self.shared.signals.close();
        // The command only waits when the client's queue is full, which a dead server can make last.
        tokio::time::timeout(PING_INTERVAL, self.client().drain())
            .await
            .ok();
    }

    /// The client under it.
    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.shared.client
    }

    /// The `JetStream` domain that the options named.
    pub(crate) fn jetstream_domain(&self) -> Option<&str> {
        self.shared.jetstream_domain.as_deref()
    }

    /// Whether a message handed to the client now would be sent now.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        if self.shared.signals.closed.load(Ordering::Acquire) {
            return Err(BusError::Closed);
        }
        match self.client().connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(BusError::Disconnected),
        }
    }

    /// Runs `work` until it is done, the connection is lost, or too long has passed.
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

    /// Ends the tap's sink when the connection is closed.
    pub(crate) fn ends_with(&self, tap: &TapHandle) {
        self.shared.signals.ends_with(tap);
    }

    /// How often it has been made.
    pub(crate) fn connects(&self) -> u64 {
        self.client().statistics().connects.load(Ordering::Relaxed)
    }

    /// Waits for the loss of the connection that was number `connects`.
    pub(crate) async fn lost(&self, connects: u64) -> BusError {
        let mut state = self.state();
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

    /// What the server complains about, as it says it: refused subjects above all.
    pub(crate) fn server_errors(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.signals.errors.subscribe()
    }
}

impl Drop for Shared {
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

impl Signals {
    fn new() -> Self {
        Self {
            state: watch::Sender::new(BusState::Connected),
            errors: broadcast::Sender::new(ERRORS_KEPT),
            look: Notify::new(),
            closed: AtomicBool::new(false),
            taps: Mutex::default(),
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.state.send_replace(BusState::Closed);
        let taps = std::mem::take(&mut *self.taps.lock().unwrap_or_else(PoisonError::into_inner));
        for tap in taps.iter().filter_map(Weak::upgrade) {
            tap.end();
        }
    }

    fn ends_with(&self, tap: &TapHandle) {
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|tap| tap.strong_count() > 0);
        taps.push(Arc::downgrade(tap.tap()));
        drop(taps);
        if self.closed.load(Ordering::Acquire) {
            tap.tap().end();
        }
    }

    fn event(&self, event: Event) {
        match event {
            Event::Closed => self.close(),
            Event::ServerError(error) => {
                tracing::warn!(%error, "the NATS server complains");
                // Nobody listening is fine.
                let _ = self.errors.send(error.to_string().into());
            }
            _ => self.look.notify_one(),
        }
    }

    /// Tells the watchers what `now` and the count of connections so far mean, given the count before.
    fn observe(&self, now: State, before: u64, connects: u64) {
        let next = match now {
            State::Connected => BusState::Connected,
            State::Pending | State::Disconnected => BusState::Disconnected,
        };
        let lost_meanwhile = connects != before && next == BusState::Connected;
        self.state.send_if_modified(|state| {
            if *state == BusState::Closed {
                return false;
            }
            let changed = *state != next || lost_meanwhile;
            *state = next;
            changed
        });
    }
}

async fn watch_state(client: async_nats::Client, signals: Arc<Signals>) {
    let connects = || client.statistics().connects.load(Ordering::Relaxed);
    let mut before = connects();
    let mut pause = SETTLE;
    loop {
        pause = match tokio::time::timeout(pause, signals.look.notified()).await {
            Ok(()) => SETTLE,
            Err(_) => POLL,
        };
        // In this order, so that a connection made in between is seen as one in the next round.
        let connects = connects();
        signals.observe(client.connection_state(), before, connects);
        before = connects;
    }
}

async fn client_options(
    options: &NatsOptions,
    servers: usize,
    login: &Login,
    signals: &Arc<Signals>,
) -> Result<ConnectOptions, ConnectError> {
    let tls_options = options.tls.clone();
    let tls_config = tokio::task::spawn_blocking(move || tls::client_config(&tls_options))
        .await
        .map_err(|source| ConnectError::Tls {
            servers: "any server".to_owned(),
            source: Box::new(source),
        })??;
    let for_events = signals.clone();
    let for_delay = signals.clone();
    let mut client = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(options.connect_timeout / servers as u32)
        .require_tls(options.tls.required)
        .tls_client_config(tls_config)
        .reconnect_delay_callback(move |attempt| {
            // The client retries for ever, also when nobody is left to talk to: park it.
            if for_delay.closed.load(Ordering::Acquire) {
                Duration::MAX
            } else {
                reconnect_delay(attempt, servers)
            }
        })
        .event_callback(move |event| {
            for_events.event(event);
            std::future::ready(())
        });
    if options.tls.first {
        client = client.tls_first();
    }
    match login {
        Login::None => Ok(client),
        Login::Token(token) => Ok(client.token(token.to_string())),
        Login::Password { user, password } => {
            Ok(client.user_and_password(user.clone(), password.to_string()))
        }
        Login::NkeySeed(seed) => Ok(client.nkey(seed.to_string())),
        Login::CredentialsFile(path) => credentials(client, path).await,
    }
}

async fn credentials(client: ConnectOptions, path: &Path) -> Result<ConnectOptions, ConnectError> {
    let file = path.to_owned();
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(file))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map(Zeroizing::new)
        .map_err(|source| ConnectError::UnreadableFile {
            path: path.to_owned(),
            source,
        })?;
    client
        .credentials(&text)
        .map_err(|source| ConnectError::BadFile {
            path: path.to_owned(),
            expected: "credentials",
            hint: "it must hold a user JWT and its nkey seed, as `nsc generate creds` writes them",
            source: Some(Box::new(source)),
        })
}

/// No delay in the first round over the servers, then up to [`RECONNECT_DELAY`] before each attempt.
fn reconnect_delay(attempt: usize, servers: usize) -> Duration {
    if attempt <= servers {
        return Duration::ZERO;
    }
    let half = RECONNECT_DELAY / 2;
    let random = getrandom::u32().unwrap_or_default();
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The servers' addresses without users, and the login: as told, else the first user that a URL names.
fn servers_and_login(options: &NatsOptions) -> Result<(Vec<ServerAddr>, Login), ConnectError> {
    let mut login = options.login.clone();
    let mut servers = Vec::with_capacity(options.servers.len());
    for text in &options.servers {
        let bad = |source| ConnectError::BadUrl {
            url: redacted(text),
            source,
        };
        let invalid = |why| bad(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
        let address: ServerAddr = text.parse().map_err(bad)?;
        if address.is_websocket() {
            return Err(invalid("websocket servers are not supported"));
        }
        if address.host().is_empty() {
            return Err(invalid("the host is missing"));
        }
        if let (Login::None, Some(found)) = (&login, login_in(&address)) {
            login = found;
        }
        let mut url = address.into_inner();
        // Only a URL without a host can't have its user taken away.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        servers.push(ServerAddr::from_url(url).map_err(bad)?);
    }
    Ok((servers, login))
}

/// NATS's custom: `user:password@`, or `token@`.
fn login_in(address: &ServerAddr) -> Option<Login> {
    let user = percent_decoded(address.username()?);
    Some(match address.password() {
        Some(password) => Login::Password {
            user,
            password: percent_decoded(password).into(),
        },
        None => Login::Token(user.into()),
    })
}

fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_a_url_is_taken_out_of_it() {
        let options = NatsOptions::new("nats://joe:p%40ss@h:1").server("nats://h2:2");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert!(
            matches!(login, Login::Password { ref user, ref password } if user == "joe" && **password == "p@ss")
        );
        let options = NatsOptions::new("nats://s3cret@h:1");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert!(matches!(login, Login::Token(ref token) if **token == "s3cret"));
    }

    #[test]
    fn reconnects_are_quick_and_spread() {
        assert_eq!(reconnect_delay(2, 2), Duration::ZERO);
        let delays: Vec<_> = (0..64).map(|_| reconnect_delay(9, 2)).collect();
        assert!(
            delays
                .iter()
                .all(|d| (Duration::from_millis(50)..=RECONNECT_DELAY).contains(d))
        );
        assert!(delays.iter().any(|d| *d != delays[0]));
    }

    #[test]
    fn a_loss_that_healed_is_a_change() {
        let signals = Signals::new();
        let mut state = signals.state.subscribe();
        signals.observe(State::Connected, 1, 1);
        assert!(!state.has_changed().expect("open"));
        signals.observe(State::Connected, 1, 2);
        assert!(state.has_changed().expect("open"));
        assert_eq!(*state.borrow_and_update(), BusState::Connected);
        signals.observe(State::Disconnected, 2, 2);
        assert_eq!(*state.borrow_and_update(), BusState::Disconnected);
        signals.close();
        signals.observe(State::Connected, 2, 3);
        assert_eq!(*state.borrow_and_update(), BusState::Closed);
    }
}
