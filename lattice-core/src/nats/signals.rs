//! The state of a connection, and the task that watches it.
//!
//! The client's events show *when* to look and can be lost; its connection state and its count of
//! connections show *what* happened. A task owned by the connection reads both, at each event and
//! at least every [`POLL`].

use super::tap::{Tap, TapHandle};
use crate::{backoff::Backoff, bus::BusState, entropy, sync::Mutex};
use async_nats::{ConnectErrorKind, Event, connection::State};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, broadcast, watch};

/// How late a change of state may be noticed when its event was lost.
const POLL: Duration = Duration::from_millis(25);
/// The client sends its event just before it changes its state, so the state is read again after
/// this time.
const SETTLE: Duration = Duration::from_millis(1);
/// Longest delay of an attempt from the second round over the servers on. Between half and all of
/// it is taken.
const RECONNECT: Backoff = Backoff::constant(Duration::from_millis(100));
/// Delay of an attempt after the server refused the login. Only a person can fix that, and every
/// attempt is work for the server.
const REFUSED_DELAY: Duration = Duration::from_secs(1);
/// Server errors that are kept for a `subscribe` that waits for the server's verdict.
const ERRORS_KEPT: usize = 64;

/// The server's words for a message over the limit of the account.
const TOO_LARGE: &str = "maximum payload violation";

/// The records of the client's callbacks.
pub(super) struct Signals {
    pub(super) state: watch::Sender<BusState>,
    pub(super) errors: broadcast::Sender<Arc<str>>,
    look: Notify,
    closed: AtomicBool,
    login_refused: AtomicBool,
    /// The taps that end with the connection, even when the client is too busy reconnecting to end
    /// them.
    taps: Mutex<Vec<Weak<Tap>>>,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(BusState::Connected),
            errors: broadcast::Sender::new(ERRORS_KEPT),
            look: Notify::new(),
            closed: AtomicBool::new(false),
            login_refused: AtomicBool::new(false),
            taps: Mutex::default(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.state.send_replace(BusState::Closed);
        let taps = std::mem::take(&mut *self.taps.lock());
        for tap in taps.iter().filter_map(Weak::upgrade) {
            tap.end();
        }
    }

    pub(super) fn ends_with(&self, tap: &TapHandle) {
        let mut taps = self.taps.lock();
        taps.retain(|tap| tap.strong_count() > 0);
        taps.push(Arc::downgrade(tap.tap()));
        drop(taps);
        if self.is_closed() {
            tap.tap().end();
        }
    }

    pub(super) fn event(&self, event: Event) {
        match event {
            Event::Closed => self.close(),
            Event::ServerError(error) => {
                tracing::warn!(%error, "the NATS server reported an error");
                if error.to_string().to_lowercase().contains(TOO_LARGE) {
                    tracing::error!(
                        "the NATS account takes smaller messages than its server announces, and calls are lost; set the account's limit with `--nats-max-payload`, or with `NatsOptions::max_payload`"
                    );
                }
                // An error means that there is no receiver.
                let _ = self.errors.send(error.to_string().into());
            }
            Event::ClientError(error) => {
                tracing::debug!(%error, "reconnecting to NATS");
                let refused = error
                    .to_string()
                    .contains(&ConnectErrorKind::AuthorizationViolation.to_string());
                if refused && !self.login_refused.swap(true, Ordering::AcqRel) {
                    tracing::error!(
                        "the NATS server refuses the login that it accepted before; still trying"
                    );
                }
            }
            Event::Connected => {
                self.login_refused.store(false, Ordering::Release);
                self.look.notify_one();
            }
            _ => self.look.notify_one(),
        }
    }

    /// Returns how long the client waits before it tries to connect.
    pub(super) fn reconnect_delay(&self, attempt: usize, servers: usize) -> Duration {
        if self.is_closed() {
            // The client never stops retrying, even after the connection is closed, so it is
            // parked.
            return Duration::MAX;
        }
        if self.login_refused.load(Ordering::Acquire) {
            return REFUSED_DELAY;
        }
        reconnect_delay(attempt, servers)
    }

    /// Publishes the state that follows from `now` and the counts of connections before and now.
    fn observe(&self, now: State, before: u64, connects: u64) {
        let next = match now {
            State::Connected => BusState::Connected,
            State::Pending | State::Disconnected => BusState::Disconnected,
        };
        let lost_meanwhile = connects != before && next == BusState::Connected;
        self.state.send_if_modified(|state| {
            match (*state, next) {
                (BusState::Closed, _) => return false,
                (BusState::Connected, BusState::Disconnected) => tracing::warn!(
                    "the connection to NATS is lost: calls to other processes fail until it is back"
                ),
                (BusState::Disconnected, BusState::Connected) => {
                    tracing::info!("the connection to NATS is back");
                }
                _ => {}
            }
            let changed = *state != next || lost_meanwhile;
            *state = next;
            changed
        });
    }
}

/// Runs until the connection is dropped.
pub(super) async fn watch_state(client: async_nats::Client, signals: Arc<Signals>) {
    let connects = || client.statistics().connects.load(Ordering::Relaxed);
    let mut before = connects();
    let mut pause = SETTLE;
    loop {
        pause = match tokio::time::timeout(pause, signals.look.notified()).await {
            Ok(()) => SETTLE,
            Err(_) => POLL,
        };
        // In this order, so that a connection made in between is noticed in the next round.
        let connects = connects();
        signals.observe(client.connection_state(), before, connects);
        before = connects;
    }
}

/// Returns no delay in the first round over the servers, then a part of [`RECONNECT`].
fn reconnect_delay(attempt: usize, servers: usize) -> Duration {
    if attempt <= servers {
        return Duration::ZERO;
    }
    RECONNECT.with_equal_jitter(1, entropy::share())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_are_fast_and_jittered() {
        assert_eq!(reconnect_delay(2, 2), Duration::ZERO);
        let delays: Vec<_> = (0..64).map(|_| reconnect_delay(9, 2)).collect();
        assert!(
            delays
                .iter()
                .all(|d| (Duration::from_millis(50)..=Duration::from_millis(100)).contains(d))
        );
        assert!(delays.iter().any(|d| *d != delays[0]));
    }

    #[test]
    fn a_loss_and_reconnect_is_a_change() {
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
