//! What is done over one connection, until that is lost.

use super::{failed, replies::Replies, topology, transport::Connected};
use bytes::Bytes;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions},
    types::ShortString,
};
use std::{
    fmt,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};
use tokio_util::sync::DropGuard;

/// Most messages that are on their way at once. Others wait for their turn. A server has room for
/// some 2,000 channels in a connection.
const MOST_PUBLISHING: usize = 256;
/// Most channels that are kept for the next messages.
const MOST_IDLE: usize = 32;
/// How long closing a connection in order may take.
const CLOSING: Duration = Duration::from_millis(500);

/// An open connection.
pub(super) struct Session {
    connection: Connection,
    /// Channels with confirms on which nothing is on its way.
    idle: StdMutex<Vec<Channel>>,
    room: Semaphore,
    replies: Mutex<Option<Arc<Replies>>>,
    /// Cuts the connection when this is dropped.
    _line: DropGuard,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("status", self.connection.status())
            .finish_non_exhaustive()
    }
}

/// A message on its way to the server.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// Whether a queue has to take it.
    pub(super) is_mandatory: bool,
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// No queue takes it, and it is mandatory.
    #[error("no queue takes it")]
    Unroutable,
    /// A queue doesn't take it: it is full, or its server fails.
    #[error("a queue for it is full, or fails")]
    Rejected,
    /// The server has no memory or no room on its disk.
    #[error("the AMQP server takes no messages: it is short of memory or disk space")]
    Blocked,
    /// The server refused it, or the connection was lost.
    #[error("{0}")]
    Failed(String),
}

impl From<lapin::Error> for PublishError {
    fn from(error: lapin::Error) -> Self {
        Self::Failed(failed(&error))
    }
}

impl Session {
    /// Makes a session of a connection, on whose server the exchange is created if it isn't there.
    pub(super) async fn open(connected: Connected, exchange: &ShortString) -> Result<Self, String> {
        let Connected { connection, line } = connected;
        topology::exchange(&connection, exchange).await?;
        Ok(Self {
            connection,
            idle: StdMutex::default(),
            room: Semaphore::new(MOST_PUBLISHING),
            replies: Mutex::default(),
            _line: line,
        })
    }

    /// Returns whether the connection is still there.
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    /// Returns the connection, for channels.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits for a reply of the server.
    pub(super) async fn check(&self) -> Result<(), PublishError> {
        if self.connection.status().blocked() {
            return Err(PublishError::Blocked);
        }
        let channel = self.channel().await?;
        // It changes nothing where nothing is received.
        channel.basic_qos(0, BasicQosOptions::default()).await?;
        self.keep(channel);
        Ok(())
    }

    /// Publishes a message, and waits until the server has it in the queues that take it.
    ///
    /// A message has a channel for itself meanwhile: a server tells only by their order to which
    /// message a return belongs, and ends the channel of one that it refuses.
    ///
    /// # Cancel safety
    /// The message may be published when the future is dropped.
    pub(super) async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        if self.connection.status().blocked() {
            return Err(PublishError::Blocked);
        }
        // It is never closed.
        let _turn = self.room.acquire().await;
        let channel = self.channel().await?;
        let Outgoing {
            exchange,
            key,
            properties,
            body,
            is_mandatory,
        } = message;
        let options = BasicPublishOptions {
            mandatory: is_mandatory,
            immediate: false,
        };
        let sent = channel.basic_publish(exchange, key, options, &body, properties);
        let confirmation = sent.await?.await?;
        self.keep(channel);
        match confirmation {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Ack(Some(_)) => Err(PublishError::Unroutable),
            Confirmation::Nack(_) => Err(PublishError::Rejected),
        }
    }

    /// Returns the replies to requests over this connection. Their queue is made with the first.
    pub(super) async fn replies(&self) -> Result<Arc<Replies>, String> {
        let mut replies = self.replies.lock().await;
        if let Some(open) = replies.as_ref().filter(|replies| replies.is_open()) {
            return Ok(open.clone());
        }
        let opened = Replies::open(&self.connection).await;
        let opened = Arc::new(opened.map_err(|error| failed(&error))?);
        *replies = Some(opened.clone());
        Ok(opened)
    }

    /// Closes the connection in order.
    pub(super) async fn close(&self) {
        let closed = self.connection.close(200, "the provider stops".into());
        if !matches!(timeout(CLOSING, closed).await, Ok(Ok(()))) {
            tracing::debug!("the AMQP server has not closed the connection in order");
        }
    }

    /// Returns a channel with confirms on which nothing is on its way.
    async fn channel(&self) -> Result<Channel, lapin::Error> {
        while let Some(channel) = self.take_idle() {
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.connection.create_channel().await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await?;
        Ok(channel)
    }

    fn take_idle(&self) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn keep(&self, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(channel);
        }
    }
}
