//! A bus inside one process. It has no server and no task, and meets the contract of [`Bus`].
//!
//! A [`MemoryNetwork`] stands for the servers, and each [`MemoryBus`] for one connection to them.
//! One host can therefore be cut off or killed while the others continue.
//!
//! ```
//! # use lattice_core::bus::{Bus, BusState, memory::MemoryNetwork};
//! let network = MemoryNetwork::new();
//! let (one, two) = (network.connect(), network.connect());
//! one.disconnect();
//! assert_eq!(one.watch_state().current(), BusState::Disconnected);
//! assert_eq!(two.watch_state().current(), BusState::Connected);
//! ```

mod table;

use super::{
    Body, Bus, BusError, BusState, Message, Subscription,
    queue::{Pushed, QueueReader, QueueWriter, queue},
};
use crate::{
    subject::Subject,
    sync::{Mutex, RwLock},
    watch::Watch,
};
use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use table::Table;
use tokio::{sync::watch, time::Instant};

/// The default of a NATS server, so that a payload that fits here fits there.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// The network that the connections of one process share. Cheap to clone.
#[derive(Clone)]
pub struct MemoryNetwork {
    hub: Arc<Hub>,
}

/// One connection to a [`MemoryNetwork`]. Cheap to clone: clones are the same connection.
#[derive(Clone)]
pub struct MemoryBus {
    connection: Arc<Connection>,
}

struct Hub {
    table: RwLock<Table>,
    max_payload: usize,
    next_id: AtomicU64,
}

struct Connection {
    hub: Arc<Hub>,
    id: u64,
    state: watch::Sender<BusState>,
    /// Also orders changes of the state and of the hub's table.
    subscriptions: Mutex<HashMap<u64, Arc<Subscriber>>>,
}

/// The bus's side of a subscription.
struct Subscriber {
    id: u64,
    connection: u64,
    subject: Subject,
    group: Option<Box<str>>,
    writer: QueueWriter<Message>,
}

/// The reader's side of a subscription.
struct Reader {
    items: QueueReader<Message>,
    subscriber: Arc<Subscriber>,
    connection: Arc<Connection>,
}

impl MemoryNetwork {
    /// Creates an empty network that accepts payloads of up to 1 MiB.
    pub fn new() -> Self {
        Self::with_max_payload(MAX_PAYLOAD)
    }

    /// Creates an empty network that accepts payloads of up to `limit` bytes.
    pub fn with_max_payload(limit: usize) -> Self {
        Self {
            hub: Arc::new(Hub {
                table: RwLock::default(),
                max_payload: limit,
                next_id: AtomicU64::new(0),
            }),
        }
    }

    /// Opens a new connection.
    pub fn connect(&self) -> MemoryBus {
        MemoryBus {
            connection: Arc::new(Connection {
                hub: self.hub.clone(),
                id: self.hub.next_id(),
                state: watch::Sender::new(BusState::Connected),
                subscriptions: Mutex::default(),
            }),
        }
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    /// Creates a network and the only connection to it. [`network`](Self::network) lets others
    /// join.
    pub fn new() -> Self {
        MemoryNetwork::new().connect()
    }

    /// Returns the network that this connection belongs to.
    pub fn network(&self) -> MemoryNetwork {
        MemoryNetwork {
            hub: self.connection.hub.clone(),
        }
    }

    /// Cuts the connection: no message goes out or comes in until [`reconnect`](Self::reconnect).
    /// Subscriptions keep their queued messages.
    pub fn disconnect(&self) {
        let subscriptions = self.connection.subscriptions.lock();
        if *self.connection.state.borrow() != BusState::Connected {
            return;
        }
        let mut table = self.connection.hub.table.write();
        for subscriber in subscriptions.values() {
            table.remove(subscriber);
        }
        drop(table);
        self.connection.state.send_replace(BusState::Disconnected);
    }

    /// Restores the connection; its subscriptions resume.
    pub fn reconnect(&self) {
        let subscriptions = self.connection.subscriptions.lock();
        if *self.connection.state.borrow() != BusState::Disconnected {
            return;
        }
        let mut table = self.connection.hub.table.write();
        for subscriber in subscriptions.values() {
            table.add(subscriber);
        }
        drop(table);
        self.connection.state.send_replace(BusState::Connected);
    }

    /// Closes the connection for good, as the death of its process would. Its subscriptions end.
    pub fn close(&self) {
        let mut subscriptions = self.connection.subscriptions.lock();
        let mut table = self.connection.hub.table.write();
        for (_, subscriber) in subscriptions.drain() {
            table.remove(&subscriber);
            subscriber.writer.end();
        }
        drop(table);
        self.connection.state.send_replace(BusState::Closed);
    }

    fn send(&self, to: Subject, reply: Option<Subject>, payload: Bytes) -> Result<(), BusError> {
        self.connection.check()?;
        let limit = self.connection.hub.max_payload;
        if payload.len() > limit {
            return Err(BusError::TooLarge {
                size: payload.len(),
                limit,
            });
        }
        let routes = self.connection.hub.table.read().routes(&to);
        let message = Message {
            subject: to,
            reply,
            body: Body::Payload(payload),
            received: Instant::now(),
        };
        if routes.deliver(&message) == 0
            && let Some(reply) = message.reply
        {
            self.tell_no_responders(reply);
        }
        Ok(())
    }

    /// Sends [`Body::NoResponders`] to the publisher's own subscriptions only, as NATS does.
    fn tell_no_responders(&self, reply: Subject) {
        let routes = self.connection.hub.table.read().routes(&reply);
        let message = Message {
            subject: reply,
            reply: None,
            body: Body::NoResponders,
            received: Instant::now(),
        };
        routes.deliver_to(self.connection.id, &message);
    }

    fn open(
        &self,
        subject: Subject,
        group: Option<Box<str>>,
        capacity: usize,
    ) -> Result<Subscription, BusError> {
        let (writer, items) = queue(capacity);
        let subscriber = Arc::new(Subscriber {
            id: self.connection.hub.next_id(),
            connection: self.connection.id,
            subject,
            group,
            writer,
        });
        let mut subscriptions = self.connection.subscriptions.lock();
        self.connection.check()?;
        subscriptions.insert(subscriber.id, subscriber.clone());
        self.connection.hub.table.write().add(&subscriber);
        drop(subscriptions);
        let (dropped, bound) = (items.dropped(), items.bound());
        let reader = Reader {
            items,
            subscriber,
            connection: self.connection.clone(),
        };
        Ok(Subscription::new(reader, dropped).bounded_by(bound))
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for MemoryBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move { self.send(to, reply, payload) })
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        Box::pin(async move { self.open(subject, None, capacity) })
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let group = super::checked_group(group);
        Box::pin(async move { self.open(subject, Some(group?), capacity) })
    }

    fn watch_state(&self) -> Watch<BusState> {
        self.connection.state.subscribe().into()
    }

    fn max_payload(&self) -> usize {
        self.connection.hub.max_payload
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move { self.connection.check() })
    }
}

impl Connection {
    fn check(&self) -> Result<(), BusError> {
        match *self.state.borrow() {
            BusState::Connected => Ok(()),
            BusState::Disconnected => Err(BusError::Disconnected),
            BusState::Closed => Err(BusError::Closed),
        }
    }
}

impl Hub {
    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

impl Subscriber {
    /// Offers `message` to the subscriber. Returns whether it still exists, even when its queue is
    /// full.
    fn take(&self, message: &Message) -> bool {
        self.writer.push(message.clone()) != Pushed::NoReader
    }
}

impl Stream for Reader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        Pin::new(&mut self.items).poll_next(cx)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut subscriptions = self.connection.subscriptions.lock();
        if subscriptions.remove(&self.subscriber.id).is_some()
            && *self.connection.state.borrow() == BusState::Connected
        {
            self.connection.hub.table.write().remove(&self.subscriber);
        }
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus")
            .field("connection", &self.connection.id)
            .field("state", &*self.connection.state.borrow())
            .finish_non_exhaustive()
    }
}
