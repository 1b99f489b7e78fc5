//! Requests that wait for their replies, over one connection.
//!
//! Replies come to a queue of the connection, which the server names so that no other program can
//! guess it, and which goes with the connection. A reply belongs to the request whose correlation
//! id it has.

use super::message;
use crate::messaging::bindings::wasmcloud::messaging::types::BrokerMessage;
use futures_util::StreamExt as _;
use lapin::{
    Channel, Connection, Consumer,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// The queue of replies of one connection.
#[derive(Debug)]
pub(super) struct Replies {
    queue: ShortString,
    waiting: Waiting,
    channel: Channel,
    receiving: AbortOnDropHandle<()>,
}

/// The requests, by their correlation ids.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<ShortString, oneshot::Sender<BrokerMessage>>>>);

/// The reply to one request. Dropping it gives the request up.
#[derive(Debug)]
pub(super) struct Reply {
    /// The correlation id, which the reply has.
    pub(super) id: ShortString,
    waiting: Waiting,
    receiver: oneshot::Receiver<BrokerMessage>,
}

impl Replies {
    pub(super) async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        let own = QueueDeclareOptions::exclusive().auto_delete();
        let queue = channel.queue_declare("".into(), own, FieldTable::default());
        let queue = queue.await?.name().clone();
        let options = BasicConsumeOptions {
            no_ack: true,
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consumer =
            channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
        let waiting = Waiting::default();
        let receiving = receive(consumer.await?, waiting.clone());
        Ok(Self {
            queue,
            waiting,
            channel,
            receiving: AbortOnDropHandle::new(tokio::spawn(receiving)),
        })
    }

    /// Returns whether replies still come.
    pub(super) fn is_open(&self) -> bool {
        self.channel.status().connected() && !self.receiving.is_finished()
    }

    /// Returns the queue, to which replies are sent.
    pub(super) fn queue(&self) -> &ShortString {
        &self.queue
    }

    /// Opens a request.
    pub(super) fn expect(&self) -> Reply {
        let id = ShortString::from(format!("{:016x}{:016x}", random(), random()));
        let (sender, receiver) = oneshot::channel();
        self.waiting.all().insert(id.clone(), sender);
        Reply {
            id,
            waiting: self.waiting.clone(),
            receiver,
        }
    }
}

async fn receive(mut consumer: Consumer, waiting: Waiting) {
    while let Some(Ok(mut delivery)) = consumer.next().await {
        let id = delivery.properties.correlation_id().clone();
        let request = id.and_then(|id| waiting.all().remove(&id));
        if let Some(request) = request {
            // The caller may have given up meanwhile.
            let _ = request.send(message::received(&mut delivery));
        }
    }
    // Their replies won't come.
    waiting.all().clear();
}

impl Reply {
    /// Waits for the reply.
    pub(super) async fn receive(&mut self) -> Result<BrokerMessage, String> {
        let received = (&mut self.receiver).await;
        received.map_err(|_| "the connection to the AMQP server was lost; try again".to_owned())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.waiting.all().remove(&self.id);
    }
}

impl Waiting {
    fn all(&self) -> MutexGuard<'_, HashMap<ShortString, oneshot::Sender<BrokerMessage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a number that others can't predict: a keyed hash, whose key the standard library draws
/// from the operating system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
