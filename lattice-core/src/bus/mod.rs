//! The message seam: how frames leave this process.
//!
//! [`memory`] is a bus inside one process, and [`nats`](crate::nats) is one over NATS. The crate
//! `lattice-sim` has a wrapper that injects faults into any bus, and a suite that checks the
//! contract.
//!
//! # Contract of [`Bus`]
//! * **Delivery** is at most once, also to the publisher's own subscriptions. A message to a
//!   subject without a subscriber is dropped. When it named a reply subject to which its publisher
//!   has subscribed, the publisher gets [`Body::NoResponders`] there instead.
//! * **Order**: messages of one publisher on one subject reach one subscription in the order of
//!   their `publish` calls, each awaited before the next. There is no order between publishers or
//!   between subjects.
//! * **Subscriptions** get every message published after `subscribe` has returned, from any
//!   connection that has seen the subscription: at once on one server, a moment later across a
//!   cluster. A queue group gives each message to one member.
//! * **Bounds**: a payload over [`Bus::max_payload`] is refused before it is sent. A subscription
//!   holds at most its capacity (0 counts as 1), and a bounded number of bytes. A message that does
//!   not fit is dropped for that subscription alone, is counted in [`Subscription::dropped`], and
//!   neither blocks nor fails the publisher.
//! * **Disconnected**: `publish` fails with [`BusError::Disconnected`] at once, and nothing is
//!   queued for later. A message that was accepted just before the loss was detected may be lost,
//!   or may arrive after it. Subscriptions stay and resume by themselves. Every loss notifies
//!   [`Bus::watch_state`] at least once, even one that has ended before it is read.
//! * **Closed**: every call fails with [`BusError::Closed`], and subscriptions end.
//! * **Cancel safety**: dropping a `publish` future leaves the message either sent whole or not at
//!   all; dropping a `subscribe` future leaves no subscription; dropping a [`Subscription`] ends
//!   it.
//! * **Trust**: none. Every client that may publish on the bus can forge subjects, payloads and
//!   [`Body::NoResponders`].

pub(crate) mod counted;
pub mod memory;
pub(crate) mod queue;

use crate::{budget::Budget, subject::Subject, watch::Watch};
use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use queue::Bounded;
use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// A message bus; see the [module](self) for the contract.
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Sends one message.
    ///
    /// # Errors
    /// Fails with [`BusError::TooLarge`], [`BusError::Disconnected`] or [`BusError::Closed`].
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>>;

    /// Receives every message to `subject`. At most `capacity` of them are queued.
    ///
    /// # Errors
    /// Fails with [`BusError::Disconnected`], [`BusError::Closed`], [`BusError::Refused`] or
    /// [`BusError::Unconfirmed`].
    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>>;

    /// Receives the share of the messages to `subject` that queue group `group` gives this member.
    ///
    /// # Errors
    /// Fails as [`subscribe`](Self::subscribe) does.
    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>>;

    /// Returns the connection's state as it is now and as it changes. A loss that healed before it
    /// could be read is a change to the same state. The watch ends with the connection.
    fn watch_state(&self) -> Watch<BusState>;

    /// Returns the largest payload that `publish` accepts, in bytes.
    fn max_payload(&self) -> usize;

    /// Waits until everything published so far has reached the bus (a server round trip on NATS).
    ///
    /// # Errors
    /// Fails with [`BusError::Disconnected`], [`BusError::Closed`] or [`BusError::Unconfirmed`].
    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>>;
}

/// Whether the bus can carry messages now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusState {
    /// Messages flow.
    Connected,
    /// No server is reachable; the client keeps trying.
    Disconnected,
    /// Closed for good.
    Closed,
}

/// One message as a subscription receives it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The subject that it was sent to.
    pub subject: Subject,
    /// The subject that an answer is expected on.
    pub reply: Option<Subject>,
    /// The content.
    pub body: Body,
    /// When it reached this process. It may have waited in its subscription since.
    pub received: Instant,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Bytes from a publisher.
    Payload(Bytes),
    /// A report from the bus itself: the message that named this reply subject reached no
    /// subscriber.
    NoResponders,
}

/// A bounded stream of messages. It ends when the bus is closed. Dropping it unsubscribes.
pub struct Subscription {
    messages: Pin<Box<dyn Stream<Item = Message> + Send>>,
    dropped: Arc<AtomicU64>,
    /// The bound of its queue, if the queue is one of this crate.
    bound: Option<Arc<dyn Bounded>>,
}

impl Subscription {
    /// Creates a subscription, for implementations of [`Bus`]. `dropped` counts the messages that
    /// didn't fit.
    pub fn new(
        messages: impl Stream<Item = Message> + Send + 'static,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            messages: Box::pin(messages),
            dropped,
            bound: None,
        }
    }

    /// Sets the bound of the queue that the messages come from.
    pub(crate) fn bounded_by(mut self, bound: Arc<dyn Bounded>) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Returns the subscription with its messages changed by `wrap`, for implementations of [`Bus`]
    /// that wrap another one.
    pub fn wrapped<S>(self, wrap: impl FnOnce(Self) -> S) -> Self
    where
        S: Stream<Item = Message> + Send + 'static,
    {
        let (dropped, bound) = (self.dropped.clone(), self.bound.clone());
        Self {
            messages: Box::pin(wrap(self)),
            dropped,
            bound,
        }
    }

    /// Counts the messages that wait in it against `budget`, which several subscriptions share.
    pub(crate) fn share(&self, budget: &Budget) {
        if let Some(bound) = &self.bound {
            bound.share(budget);
        }
    }

    /// Returns how many messages were dropped because this subscription was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the counter behind [`dropped`](Self::dropped), for implementations of [`Bus`] that
    /// wrap another one.
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }
}

impl Stream for Subscription {
    type Item = Message;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// Why a publish or a subscribe failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The payload is over the bus's limit; send less, or raise `max_payload` on the server.
    #[error(
        "a message of {size} bytes is over the bus's limit of {limit}; send less, or raise the server's `max_payload`"
    )]
    TooLarge {
        /// Size of the refused payload in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// No server is reachable right now; nothing was sent.
    #[error("not connected to the bus; nothing was sent, try again when it is back")]
    Disconnected,
    /// The connection was closed for good.
    #[error("the bus connection is closed; connect again")]
    Closed,
    /// The server refused: permissions or a protocol error.
    #[error("the bus refused: {0}")]
    Refused(String),
    /// The bus is connected but didn't confirm in time.
    #[error("the bus didn't confirm within {after:?}; it is slow or half cut off, try again")]
    Unconfirmed {
        /// How long the call waited.
        after: Duration,
    },
}

/// Checks that the name of a queue group is one token of visible characters.
pub(crate) fn checked_group(name: &str) -> Result<Box<str>, BusError> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(BusError::Refused(format!(
            "`{}` isn't a valid queue group; use visible characters without spaces",
            name.escape_debug()
        )));
    }
    Ok(name.into())
}
