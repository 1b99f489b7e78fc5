//! Round trips to the server, made by sending a message to this connection itself.
//!
//! The client's `flush` ends when the bytes are written, not when the server has read them. A
//! server handles the messages of one connection in order, so when this connection's own message
//! comes back, the server has seen everything before it.

use super::tap::{Sink, TapHandle};
use crate::{bus::BusError, sync::Mutex};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// The private subject of a connection, and the round trips that wait for a message on it.
pub(super) struct RoundTrips {
    inbox: String,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    _tap: TapHandle,
}

#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<()>>>);

/// Removes its entry when the round trip is given up.
struct Entry<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl RoundTrips {
    pub(super) async fn new(client: &async_nats::Client) -> Result<Self, BusError> {
        let inbox = client.new_inbox();
        // Others would receive messages to a subject with a wildcard, and could reply to them.
        if inbox.contains(['*', '>']) {
            return Err(BusError::Refused("wildcards in an inbox".to_owned()));
        }
        let waiting = Arc::new(Waiting::default());
        let source = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| BusError::Refused(error.to_string()))?;
        Ok(Self {
            inbox,
            waiting: waiting.clone(),
            next: AtomicU64::new(0),
            _tap: TapHandle::new(source, waiting),
        })
    }

    /// Returns the subject that the server must allow this connection to use.
    pub(super) fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Waits until a message to this connection is back. Never returns if the message is lost.
    pub(super) async fn run(&self, client: &async_nats::Client) -> Result<(), BusError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (back, wait) = oneshot::channel();
        self.waiting.0.lock().insert(number, back);
        let _entry = Entry {
            waiting: &self.waiting,
            number,
        };
        client
            .publish(
                self.inbox.clone(),
                Bytes::copy_from_slice(&number.to_le_bytes()),
            )
            .await
            .map_err(|_| BusError::Closed)?;
        wait.await.map_err(|_| BusError::Closed)
    }
}

impl Sink for Arc<Waiting> {
    fn message(&self, message: async_nats::Message) {
        let number = message.payload.as_ref().try_into().map(u64::from_le_bytes);
        let back = number.ok().and_then(|number| self.0.lock().remove(&number));
        if let Some(back) = back {
            // An error means that the waiter gave up, and has removed its entry or is about to.
            let _ = back.send(());
        }
    }

    fn end(&self) {
        self.0.lock().clear();
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.waiting.0.lock().remove(&self.number);
    }
}
