//! `messaging-nats`: messages over NATS, with and without streams.
//!
//! Without a stream, messages are those of core NATS: delivered at most once, to those who listen.
//! With a stream of `JetStream`, each message is delivered until its handler has succeeded, or has
//! failed `max-deliver` times. All replicas of the provider share one durable consumer per link, so
//! what a killed one was handling is delivered to another.
//!
//! The settings of an instance are [`NatsSettings`], the config of a link to an actor is a
//! [`Subscription`], and that of a link from an actor is
//! [`Publishing`].
//!
//! # Streams
//!
//! ```text
//! delivered ──► handler ──► ok ─────────────────► acknowledged
//!     ▲            │
//!     │            └──► error, or it may have run ──► deliveries < max-deliver? ──► after a pause ─┐
//!     │                                                        │ no                                │
//!     │                                                        ▼                                   │
//!     │                                              dead-letter, then acknowledged                │
//!     └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! * The consumer is created on the server, and updated when the link's config changes. It stays
//!   there when the link is deleted, so that nothing is lost by a link that is put again: delete it
//!   with the tools of NATS.
//! * While no host can take a message, it waits and isn't counted as delivered, and the provider's
//!   health says so.
//! * A message that was set aside has the headers `Lattice-Reason`, `Lattice-Subject`,
//!   `Lattice-Stream`, `Lattice-Sequence` and `Lattice-Deliveries`. To replay it, publish its body
//!   to the subject that `Lattice-Subject` has.
//! * If setting it aside fails, the message isn't acknowledged, it is tried again, and the
//!   provider's health says so.
//! * Messages of one subject are handled in their order with `max-in-flight` 1. One that is
//!   delivered again comes after those that were delivered meanwhile.

mod dead_letter;
mod headers;
mod streams;
mod subjects;
mod subscription;

pub use subscription::Subscription;

use super::{
    Publishing,
    bindings::{
        World,
        wasmcloud::messaging::{consumer::Consumer, types::BrokerMessage},
    },
    handler_interface, handler_schema,
    spans::{self, Way},
    subject,
};
use crate::{
    nats::{Connection, NatsSettings},
    outgoing::{Outgoing, OutgoingLink},
    patience::patience,
};
use async_nats::{Client, HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use lattice_core::name::InterfaceName;
use lattice_provider_sdk::{Call, Instance, Link, Provider, Refusal, WorkSpan};
use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// How long a check of the server's health may take.
const HEALTH: Duration = Duration::from_secs(3);
/// Messages of one subscription without a stream that may wait in this process. The server's
/// messages beyond that are dropped.
const WAITING: usize = 4_096;

/// The value of `messaging.system`.
const SYSTEM: &str = "nats";

/// The provider; see the [module](self).
#[derive(Debug)]
pub struct NatsMessaging {
    settings: NatsSettings,
    running: Mutex<Option<Arc<Running>>>,
}

/// The provider between its start and its stop.
#[derive(Debug)]
struct Running {
    instance: Instance,
    connection: Arc<Connection>,
    outgoing: Outgoing,
}

impl NatsMessaging {
    /// Creates the provider.
    pub fn new(settings: NatsSettings) -> Self {
        Self {
            settings,
            running: Mutex::default(),
        }
    }

    fn running(&self) -> Result<Arc<Running>, String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.clone();
        running.ok_or_else(|| "the messaging provider has stopped here; try again".to_owned())
    }

    /// Begins the span of a message that is published.
    fn publishing(
        &self,
        call: &Call<Self>,
        operation: &'static str,
        message: (&str, &[u8]),
    ) -> WorkSpan {
        let way = Way {
            inboxes: self.settings.inbox_prefix.as_deref(),
            ..Way::through(SYSTEM)
        };
        spans::publishing(call, operation, (way, &call.binding().publish), message)
    }

    /// Checks that a link may publish to `subject`, which may be where this or another program
    /// expects a reply.
    fn check(&self, config: &Publishing, subject: &str) -> Result<(), String> {
        let inboxes = self.settings.inbox_prefix.as_deref();
        let rest = inboxes.and_then(|inboxes| subject.strip_prefix(inboxes));
        if rest.is_some_and(|rest| rest.starts_with('.')) {
            return subject::check(subject);
        }
        config.check(subject)
    }
}

impl Provider for NatsMessaging {
    type World = World;
    type Config = Publishing;
    type Binding = Publishing;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        let lattice = instance.lattice().name().to_string();
        let name = format!("{lattice}/{}", instance.id());
        let connection = Connection::open(&self.settings, &name, Some(WAITING)).await?;
        let connection = Arc::new(connection);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*running {
            return Err(Refusal::new(format!(
                "this provider is served as `{}` already; make another one",
                before.instance.id()
            )));
        }
        let shared = connection.clone();
        let run = move |link: OutgoingLink, subscription: Subscription| {
            receive(shared.clone(), lattice.clone(), link, subscription)
        };
        *running = Some(Arc::new(Running {
            instance: instance.clone(),
            connection,
            outgoing: Outgoing::follow(instance, handler_interface(), run),
        }));
        Ok(())
    }

    async fn stop(&self) {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.take()
        };
        if let Some(running) = running {
            running.outgoing.stop().await;
            // Acknowledgements that were just sent leave before the connection ends.
            drop(timeout(HEALTH, running.connection.client().flush()).await);
        }
    }

    async fn health(&self) -> Result<(), Refusal> {
        let Ok(running) = self.running() else {
            return Ok(());
        };
        let checked = async {
            let client = ready(&running.connection).await?;
            client.flush().await.map_err(failed)
        };
        match timeout(HEALTH, checked).await {
            Ok(Ok(())) => running.outgoing.health(),
            Ok(Err(reason)) => Err(Refusal::new(reason)),
            Err(_) => Err(Refusal::new("the NATS server doesn't take messages")),
        }
    }

    async fn link(&self, _: &Link, config: Publishing) -> Result<Publishing, Refusal> {
        Ok(config)
    }

    /// Operators may publish to any subject.
    async fn operator(&self) -> Option<Publishing> {
        Some(Publishing::default())
    }

    fn config_schema() -> Option<String> {
        Publishing::schema()
    }

    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        handler_schema::<Subscription>(interface)
    }
}

async fn receive(
    connection: Arc<Connection>,
    lattice: String,
    link: OutgoingLink,
    subscription: Subscription,
) -> Result<(), Refusal> {
    subscription.check()?;
    let name = Subscription::name_of(&lattice, &link.link.key());
    if subscription.stream.is_some() {
        streams::run(connection, name, link, subscription).await;
    } else {
        subjects::run(connection, name, link, subscription).await;
    }
    Ok(())
}

impl Consumer for NatsMessaging {
    async fn request(
        &self,
        call: &Call<Self>,
        subject: String,
        body: Bytes,
        timeout_ms: u32,
    ) -> Result<BrokerMessage, String> {
        self.check(call.binding(), &subject)?;
        let running = self.running()?;
        let patience = Duration::from_millis(timeout_ms.into()).min(patience(call));
        let span = self.publishing(call, "request", (&subject, &body));
        let answered = async {
            let client = ready(&running.connection).await?;
            // One subscription per request, because the client's own requests keep an entry for
            // each reply that never comes.
            let inbox = client.new_inbox();
            let mut replies = client.subscribe(inbox.clone()).await.map_err(failed)?;
            let request = BrokerMessage {
                subject: subject.clone(),
                body,
                reply_to: Some(inbox),
            };
            send(client, request, &span).await?;
            let reply = replies.next().await;
            let reply =
                reply.ok_or_else(|| "the connection to the NATS server was closed".to_owned())?;
            if reply.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(format!("nothing listens at `{subject}`"));
            }
            Ok(message(reply))
        };
        let in_time = async {
            let late = |_| format!("no reply within {} ms", patience.as_millis());
            timeout(patience, answered).await.map_err(late)?
        };
        span.attempt(in_time).await
    }

    async fn publish(&self, call: &Call<Self>, message: BrokerMessage) -> Result<(), String> {
        let config = call.binding();
        self.check(config, &message.subject)?;
        // Other programs publish their replies there, with rights of their own.
        if let Some(reply_to) = &message.reply_to {
            self.check(config, reply_to)?;
        }
        let running = self.running()?;
        let connection = &running.connection;
        let patience = connection.timeout().min(patience(call));
        let span = self.publishing(call, "publish", (&message.subject, &message.body));
        let published = async {
            let client = ready(connection).await?;
            if config.stored {
                return store(connection, message, &span).await;
            }
            send(client, message, &span).await?;
            client.flush().await.map_err(failed)
        };
        let late = || "the NATS server did not take the message in time; try again".to_owned();
        let in_time = async {
            let published = timeout(patience, published).await;
            published.unwrap_or_else(|_| Err(late()))
        };
        span.attempt(in_time).await
    }
}

/// Returns the client, if it is connected.
async fn ready(connection: &Connection) -> Result<&Client, String> {
    connection.ready().await.map_err(|away| away.to_string())
}

/// Returns the headers of a message that is published within a span, if it has any.
fn headers_of(client: &Client, body: &Bytes, span: &WorkSpan) -> Option<HeaderMap> {
    headers::traced(span.context().trace, (body.len(), client.max_payload()))
}

/// Passes a message to the server's connection.
async fn send(client: &Client, message: BrokerMessage, span: &WorkSpan) -> Result<(), String> {
    let BrokerMessage {
        subject,
        body,
        reply_to,
    } = message;
    let sent = match (reply_to, headers_of(client, &body, span)) {
        (None, None) => client.publish(subject, body).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, body).await,
        (Some(reply_to), None) => client.publish_with_reply(subject, reply_to, body).await,
        (Some(reply_to), Some(headers)) => {
            let sent = client.publish_with_reply_and_headers(subject, reply_to, headers, body);
            sent.await
        }
    };
    sent.map_err(failed)
}

/// Publishes a message, and waits until a stream has stored it.
async fn store(
    connection: &Connection,
    message: BrokerMessage,
    span: &WorkSpan,
) -> Result<(), String> {
    if message.reply_to.is_some() {
        return Err(
            "a message that a stream stores has no `reply-to`; publish it over a link without \
             `stored`"
                .to_owned(),
        );
    }
    let streams = connection.jetstream();
    let BrokerMessage { subject, body, .. } = message;
    let sent = match headers_of(connection.client(), &body, span) {
        None => streams.publish(subject, body).await,
        Some(headers) => streams.publish_with_headers(subject, headers, body).await,
    };
    sent.map_err(failed)?.await.map_err(failed)?;
    Ok(())
}

/// Returns the text of an error of the client. They name subjects and streams, and no login.
fn failed(error: impl Display) -> String {
    format!("NATS: {error}")
}

/// Returns a message of the server as handlers and requests get it.
fn message(message: async_nats::Message) -> BrokerMessage {
    BrokerMessage {
        subject: message.subject.to_string(),
        body: message.payload,
        reply_to: message.reply.map(|reply| reply.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::Patterns;

    #[test]
    fn replies_are_published_to_the_inboxes_of_the_settings() {
        let mut settings = NatsSettings::new("a:1");
        settings.inbox_prefix = Some("_SHOP".to_owned());
        let provider = NatsMessaging::new(settings);
        let config = Publishing {
            publish: Patterns::new(["a"]).expect("valid"),
            stored: false,
        };
        for subject in ["a", "_SHOP.1.2", "_INBOX.1.2"] {
            provider.check(&config, subject).expect(subject);
        }
        for subject in ["b", "_SHOP", "_SHOPS.1", "_SHOP.*", "_SHOP."] {
            provider.check(&config, subject).expect_err(subject);
        }
    }
}
