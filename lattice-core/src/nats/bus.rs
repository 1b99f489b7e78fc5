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
        queue::{Inlet, Outlet, queue},
    },
    subject::Subject,
};
use async_nats::{StatusCode, SubscribeError, client::PublishErrorKind};
use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture, poll};
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::{sync::watch, time::Instant};

/// A [`Bus`] over NATS. Cheap to clone; created by [`NatsConnection::bus`].
#[derive(Debug, Clone)]
pub struct NatsBus {
    connection: NatsConnection,
}

/// A message, and when the client has got it.
struct Arrived(async_nats::Message, Instant);

/// The stream of a subscription: converts the messages that the client's task has put into the
/// queue.
struct Reader {
    outlet: Outlet<Arrived>,
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
            match reply {
                None => client.publish(to, payload).await,
                Some(reply) => client.publish_with_reply(to, reply, payload).await,
            }
            .map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge {
                    size,
                    limit: client.max_payload(),
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
        let (inlet, outlet) = queue(capacity);
        let tap = TapHandle::new(source, inlet);
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
        let dropped = outlet.dropped();
        let reader = Reader {
            outlet,
            _tap: tap,
            _connection: self.connection.clone(),
        };
        Ok(Subscription::new(reader, dropped))
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

    fn state(&self) -> watch::Receiver<BusState> {
        self.connection.state()
    }

    fn max_payload(&self) -> usize {
        self.connection.client().max_payload()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(self.connection.round_trip())
    }
}

impl Sink for Inlet<Arrived> {
    fn message(&self, message: async_nats::Message) {
        // The queue counts messages that don't fit.
        let _ = self.push(Arrived(message, Instant::now()));
    }

    fn end(&self) {
        Inlet::end(self);
    }
}

impl Stream for Reader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let message = ready!(Pin::new(&mut self.outlet).poll_next(cx));
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
