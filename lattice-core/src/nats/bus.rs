//! The bus over NATS: core messages on a shared [`NatsConnection`].
//!
//! The server meets the contract of [`Bus`], except for three things done here: the capacity of a
//! subscription and its count of drops, `subscribe` and `flush` that wait for the server, and
//! `publish` that fails while disconnected, where the client would queue the message for later.

use super::{
    NatsConnection,
    tap::{Sink, TapHandle},
};
use crate::{
    bus::{
        Body, Bus, BusError, BusState, Message, Subscription, checked_group,
        queue::{ITEM, QueueReader, QueueWriter, Weighed, queue},
    },
    quantity::ByteSize,
    subject::Subject,
    watch::Watch,
};
use async_nats::{StatusCode, SubscribeError, client::PublishErrorKind};
use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture, poll};
use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// A [`Bus`] over NATS. Cheap to clone; created by [`NatsConnection::bus`].
#[derive(Debug, Clone)]
pub struct NatsBus {
    connection: NatsConnection,
}

/// A message, and when the client has got it.
struct Arrived(async_nats::Message, Instant);

impl Weighed for Arrived {
    fn weight(&self) -> usize {
        ITEM + self.0.payload.len()
    }
}

/// Most bytes of large payloads that the client has taken and not yet written to its socket. Small
/// ones are bounded by the number of commands that the client queues.
const UNWRITTEN: ByteSize = ByteSize::mib(64);
/// What counts as a large payload. The commands that the client queues, 2,048, are at most 16 MiB
/// of small ones. Chunks of sessions and full frames of coalesced calls are large.
const LARGE: usize = 8 * 1024;

/// Permits for large payloads, one for each KiB.
pub(super) fn permits_for_large_payloads() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(UNWRITTEN.as_usize() / 1024))
}

/// A payload that the client has not written yet. The client drops it once it has.
struct Unwritten {
    payload: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

/// The stream of a subscription: converts the messages that the client's task has put into the
/// queue.
struct Reader {
    items: QueueReader<Arrived>,
    _tap: TapHandle,
    /// Keeps the connection alive while the subscription is read.
    _connection: NatsConnection,
}

impl NatsBus {
    pub(crate) fn new(connection: NatsConnection) -> Self {
        Self { connection }
    }

    async fn send(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> Result<(), BusError> {
        self.connection.check()?;
        let (size, limit) = (payload.len(), self.max_payload());
        if size > limit {
            return Err(BusError::TooLarge { size, limit });
        }
        let client = self.connection.client();
        let to = async_nats::Subject::from(to.as_str());
        let reply = reply.map(|reply| async_nats::Subject::from(reply.as_str()));
        let mut send = pin!(async move {
            let payload = if size > LARGE {
                self.once_there_is_room(payload).await
            } else {
                payload
            };
            match reply {
                None => client.publish(to, payload).await,
                Some(reply) => client.publish_with_reply(to, reply, payload).await,
            }
            .map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge {
                    size,
                    limit: self.max_payload(),
                },
                PublishErrorKind::InvalidSubject => BusError::Refused(error.to_string()),
                PublishErrorKind::Send => BusError::Closed,
            })
        });
        match poll!(send.as_mut()) {
            Poll::Ready(result) => result,
            // The client's own queue is full. Either it empties or the connection breaks.
            Poll::Pending => self.connection.unless_lost(send).await,
        }
    }

    /// Waits until the client has written enough of the large payloads before this one.
    async fn once_there_is_room(&self, payload: Bytes) -> Bytes {
        let most = UNWRITTEN.as_usize() / 1024;
        let permits = payload.len().div_ceil(1024).min(most) as u32;
        let room = self.connection.large_payloads().clone();
        match room.acquire_many_owned(permits).await {
            Ok(permit) => Bytes::from_owner(Unwritten {
                payload,
                _permit: permit,
            }),
            // It is never closed.
            Err(_) => payload,
        }
    }

    async fn open(
        &self,
        subject: Subject,
        group: Option<Box<str>>,
        capacity: usize,
    ) -> Result<Subscription, BusError> {
        let mut complaints = self.connection.server_errors();
        let client = self.connection.client();
        let name = subject.as_str().to_owned();
        let subscribe = async {
            match group {
                None => client.subscribe(name).await,
                Some(group) => client.queue_subscribe(name, group.into()).await,
            }
            .map_err(subscribe_error)
        };
        let patient = self.connection.keeps_subscriptions_while_disconnected();
        let source = if patient {
            self.connection.in_time(subscribe).await?
        } else {
            self.connection.unless_lost(subscribe).await?
        };
        let (writer, items) = queue(capacity);
        let tap = TapHandle::new(source, writer);
        self.connection.ends_with(&tap);
        match self.confirm().await {
            // The client sends the subscription to the server once it is connected.
            Err(BusError::Disconnected) if patient => {}
            confirmed => confirmed?,
        }
        while let Ok(complaint) = complaints.try_recv() {
            if complaint.contains("Subscription") && names(&complaint, subject.as_str()) {
                return Err(BusError::Refused(complaint.as_ref().to_owned()));
            }
        }
        let (dropped, bound) = (items.dropped(), items.bound());
        let reader = Reader {
            items,
            _tap: tap,
            _connection: self.connection.clone(),
        };
        Ok(Subscription::new(reader, dropped).bounded_by(bound))
    }
}

impl NatsBus {
    /// Waits until the server has seen a subscription and has reported whether it refused it.
    async fn confirm(&self) -> Result<(), BusError> {
        self.connection.round_trip().await?;
        // The complaint arrives before the answer to the first round trip, but another task of the
        // client forwards it. A second round trip leaves that task the time.
        self.connection.round_trip().await
    }
}

impl Bus for NatsBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(self.send(to, reply, payload))
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        Box::pin(self.open(subject, None, capacity))
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let group = checked_group(group);
        Box::pin(async move { self.open(subject, Some(group?), capacity).await })
    }

    fn watch_state(&self) -> Watch<BusState> {
        self.connection.watch_state()
    }

    fn max_payload(&self) -> usize {
        self.connection.max_payload()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(self.connection.round_trip())
    }
}

impl Sink for QueueWriter<Arrived> {
    fn message(&self, message: async_nats::Message) {
        // The queue counts messages that don't fit.
        let _ = self.push(Arrived(message, Instant::now()));
    }

    fn end(&self) {
        QueueWriter::end(self);
    }
}

impl Stream for Reader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let message = ready!(Pin::new(&mut self.items).poll_next(cx));
        Poll::Ready(message.map(converted))
    }
}

fn converted(Arrived(message, received): Arrived) -> Message {
    let no_responders = message.status == Some(StatusCode::NO_RESPONDERS);
    Message {
        subject: Subject::from_wire(&message.subject),
        reply: message.reply.map(|reply| Subject::from_wire(&reply)),
        body: if no_responders {
            Body::NoResponders
        } else {
            Body::Payload(message.payload)
        },
        received,
    }
}

fn subscribe_error(error: SubscribeError) -> BusError {
    use async_nats::client::SubscribeErrorKind;
    match error.kind() {
        SubscribeErrorKind::Other => BusError::Closed,
        _ => BusError::Refused(error.to_string()),
    }
}

/// Returns whether a complaint is about `subject`, which the server quotes.
fn names(complaint: &str, subject: &str) -> bool {
    complaint.split('"').any(|quoted| quoted == subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nats::NatsOptions, wire::MAX_COALESCED};
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    const INFO: &str = "INFO {\"server_id\":\"s\",\"server_name\":\"s\",\"version\":\"2.12.0\",\
        \"go\":\"go\",\"host\":\"h\",\"port\":1,\"headers\":true,\"max_payload\":1048576,\
        \"proto\":1,\"client_id\":1}\r\n";

    /// A connection to a server that reads nothing once it has greeted. Its socket keeps it open.
    async fn unread() -> (NatsBus, BufReader<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = async {
            let (socket, _) = listener.accept().await.expect("a client");
            let mut socket = BufReader::new(socket);
            let greeting = INFO.as_bytes();
            socket.get_mut().write_all(greeting).await.expect("open");
            let mut line = String::new();
            while !line.starts_with("PING") {
                line.clear();
                socket.read_line(&mut line).await.expect("open");
            }
            socket.get_mut().write_all(b"PONG\r\n").await.expect("open");
            socket
        };
        let options = NatsOptions::new(address.to_string());
        let (connection, socket) = tokio::join!(options.connect(), server);
        (connection.expect("it connects").bus(), socket)
    }

    #[tokio::test]
    async fn frames_of_chunks_that_are_not_written_are_bounded_in_bytes() {
        let (bus, _socket) = unread().await;
        let most = UNWRITTEN.as_usize() / 1024;
        let subject = Subject::from_wire("chunks");
        // Far more than the buffers of a socket.
        for _ in 0..1_000 {
            let payload = Bytes::from(vec![7; MAX_COALESCED + 200]);
            bus.publish(subject.clone(), None, payload)
                .await
                .expect("room");
        }
        let taken = most - bus.connection.large_payloads().available_permits();
        assert!(taken > 16 * 1024, "only {taken} KiB are counted");
    }
}
