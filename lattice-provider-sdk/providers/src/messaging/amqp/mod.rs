//! `messaging-amqp`: messages over AMQP 0-9-1, as RabbitMQ speaks it (3.10 or newer).
//!
//! Messages are published to an exchange for topics, with their subjects as routing keys. Each link
//! to an actor has a queue, which all replicas of the provider share. A message stays in the queue
//! until its handler has succeeded, or has failed `max-deliver` times.
//!
//! The settings of an instance are [`AmqpSettings`], the config of a link to an actor is a
//! [`Subscription`], and that of a link from an actor is
//! [`Publishing`].
//!
//! # Deliveries
//!
//! ```text
//! queue ──► handler ──► ok ──────────────────────► acknowledged
//!             ▲  │
//!             │  └──► error, or it may have run ──► deliveries < max-deliver?
//!             │                                        │ yes           │ no
//!             └───────────── after a pause ────────────┘               ▼
//!                                             dead-letter, then acknowledged
//! ```
//!
//! * Queues are quorum queues: a cluster keeps them on several servers, and a server counts how
//!   often it delivered a message whose replica of the provider was lost. A queue with `durable`
//!   off is of one server, and is deleted when no replica of the provider receives from it.
//! * A queue gives its messages to one replica of the provider at a time. That replica keeps those
//!   of at most `max-in-flight` that fail, during their pauses. So with 1, messages are handled in
//!   order, and one that fails holds up the others.
//! * A durable queue stays on the server when its link is deleted, and goes on filling, so that
//!   nothing is lost by a link that is put again: delete it with the tools of the server, or set
//!   `expires`.
//! * All that comes into a queue is handled, whatever its subject, so that nothing is lost while
//!   replicas learn of a change one after the other. When a link changes its subjects, its queue is
//!   no longer bound to the earlier ones, and their messages that are in it already are handled. A
//!   change that is made while the provider doesn't run undoes no binding: do that with the tools
//!   of the server. Links with the same `queue` share its messages: each goes to one of them.
//! * While no host can take a message, it waits and isn't counted as delivered, and the provider's
//!   health says so. A server takes back what waits for longer than its `consumer_timeout`, half an
//!   hour by default, and delivers it again.
//! * When the connection is lost, the calls of handlers that run are given up, and their messages
//!   are delivered again.
//! * Messages survive a server that is killed and started again. RabbitMQ may forget a queue that
//!   was made in the last second before, with all that is in it; it is made again, and empty.
//! * A message that was set aside has the headers `Lattice-Reason`, `Lattice-Subject`,
//!   `Lattice-Exchange`, `Lattice-Queue` and `Lattice-Deliveries`. To replay it, publish its body
//!   to the exchange with the subject that `Lattice-Subject` has.
//! * If setting it aside fails, the message isn't acknowledged, it is tried again, and the
//!   provider's health says so.
//!
//! # Publishing
//!
//! * `publish` waits for the server's confirm: the message is in every queue that takes it, on disk
//!   where that is durable. If none does, it is dropped; over a link with `stored`, that fails.
//! * A queue that is full and refuses messages fails `publish`, and so does a server without memory
//!   or disk space. Queues are received from over a connection of their own meanwhile.
//! * A subject has at most 255 bytes, and `#` as a token of a pattern is refused.
//!
//! # Replies
//!
//! * `request` expects its reply at a queue of the connection, with a correlation id. It fails at
//!   once when no queue takes it, and expires in its queue when its time is over.
//! * A handler gets the `reply-to` of a message that another program has sent as a subject that
//!   starts with `_INBOX.`, with the correlation id in it. What it publishes there goes to that
//!   queue, with that id, over any of its links. A queue that the server has not named itself
//!   counts as a subject, which `publish` in the link's config has to allow.
//! * The `reply-to` of a message that an actor publishes is in the header `Lattice-Reply-To`, for
//!   handlers: it is a subject, and not the name of a queue.

mod again;
mod connection;
mod message;
mod replies;
mod session;
mod settings;
mod subscription;
mod topology;
mod transport;
mod worker;

pub use settings::AmqpSettings;
pub use subscription::Subscription;

use super::{
    INBOX, Publishing,
    bindings::{
        World,
        wasmcloud::messaging::{consumer::Consumer, types::BrokerMessage},
    },
    handler_interface, handler_schema,
    spans::{self, Way},
};
use crate::{
    outgoing::{Outgoing, OutgoingLink},
    patience::patience,
};
use bytes::Bytes;
use connection::Connection;
use lapin::types::ShortString;
use lattice_core::name::InterfaceName;
use lattice_provider_sdk::{Call, Instance, Link, Provider, Refusal, WorkSpan};
use message::Address;
use session::PublishError;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use topology::Bindings;

/// How long a check of the server's health may take.
const HEALTH: Duration = Duration::from_secs(3);

/// The value of `messaging.system`: the conventions have no other one for AMQP 0-9-1.
const SYSTEM: &str = "rabbitmq";

/// The provider; see the [module](self).
#[derive(Debug)]
pub struct AmqpMessaging {
    settings: AmqpSettings,
    running: Mutex<Option<Arc<Running>>>,
}

/// The provider between its start and its stop.
#[derive(Debug)]
struct Running {
    instance: Instance,
    servers: Arc<Servers>,
    outgoing: Outgoing,
}

/// The connections to the servers. A server that is short of memory stops those that publish, and
/// messages have to be acknowledged meanwhile.
#[derive(Debug)]
struct Servers {
    sending: Connection,
    receiving: Connection,
    exchange: ShortString,
    bindings: Bindings,
}

impl AmqpMessaging {
    /// Creates the provider.
    pub fn new(settings: AmqpSettings) -> Self {
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
}

impl Provider for AmqpMessaging {
    type World = World;
    type Config = Publishing;
    type Binding = Publishing;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        let lattice = instance.lattice().name().to_string();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*running {
            return Err(Refusal::new(format!(
                "this provider is served as `{}` already; make another one",
                before.instance.id()
            )));
        }
        let open = |what: &str| {
            let name = format!("{lattice}/{} ({what})", instance.id());
            Connection::open(&self.settings, name)
        };
        let servers = Arc::new(Servers {
            sending: open("sends")?,
            receiving: open("receives")?,
            exchange: self.settings.exchange()?,
            bindings: Bindings::default(),
        });
        let shared = servers.clone();
        let run = move |link: OutgoingLink, subscription: Subscription| {
            receive(shared.clone(), lattice.clone(), link, subscription)
        };
        *running = Some(Arc::new(Running {
            instance: instance.clone(),
            servers,
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
            // Acknowledgements that were just sent leave before the connections end.
            let Servers {
                sending, receiving, ..
            } = &*running.servers;
            tokio::join!(receiving.close(), sending.close());
        }
    }

    async fn health(&self) -> Result<(), Refusal> {
        let Ok(running) = self.running() else {
            return Ok(());
        };
        let Servers {
            sending, receiving, ..
        } = &*running.servers;
        for connection in [sending, receiving] {
            let session = connection.session().map_err(Refusal::new)?;
            match timeout(HEALTH, session.check()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Refusal::new(error.to_string())),
                Err(_) => return Err(Refusal::new("the AMQP server doesn't reply")),
            }
        }
        running.outgoing.health()
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
    servers: Arc<Servers>,
    lattice: String,
    link: OutgoingLink,
    subscription: Subscription,
) -> Result<(), Refusal> {
    let name = Subscription::name_of(&lattice, &link.link.key());
    let source = subscription.source(&name, &servers.exchange)?;
    worker::run(servers, link, subscription, source).await;
    Ok(())
}

impl Consumer for AmqpMessaging {
    async fn request(
        &self,
        call: &Call<Self>,
        subject: String,
        body: Bytes,
        timeout_ms: u32,
    ) -> Result<BrokerMessage, String> {
        call.binding().check(&subject)?;
        if subject.starts_with(INBOX) {
            return Err(format!(
                "`{subject}` is where a reply goes; publish it there"
            ));
        }
        let running = self.running()?;
        let servers = &running.servers;
        let session = servers.sending.session()?;
        let key = message::key(&subject)?;
        let patience = Duration::from_millis(timeout_ms.into()).min(patience(call));
        let span = servers.publishing(call, "request", (&subject, &body));
        let answered = async {
            let replies = session.replies().await?;
            let mut reply = replies.expect();
            let address = Address {
                queue: replies.queue().clone(),
                correlation: Some(reply.id.clone()),
            };
            let outgoing = session::Outgoing {
                exchange: servers.exchange.clone(),
                key,
                properties: message::traced(
                    message::request(address, patience.as_millis()),
                    span.context().trace,
                ),
                body,
                is_mandatory: true,
            };
            match session.publish(outgoing).await {
                Ok(()) => reply.receive().await,
                Err(PublishError::Unroutable) => Err(format!("nothing listens at `{subject}`")),
                Err(error) => Err(error.to_string()),
            }
        };
        let in_time = async {
            let late = |_| Err(format!("no reply within {} ms", patience.as_millis()));
            timeout(patience, answered).await.unwrap_or_else(late)
        };
        span.attempt(in_time).await
    }

    async fn publish(&self, call: &Call<Self>, message: BrokerMessage) -> Result<(), String> {
        let config = call.binding();
        check(config, &message.subject)?;
        // Other programs publish their replies there, with rights of their own.
        if let Some(reply_to) = &message.reply_to {
            check(config, reply_to)?;
        }
        let running = self.running()?;
        let servers = &running.servers;
        let session = servers.sending.session()?;
        let subject = message.subject.clone();
        let mut outgoing = outgoing(servers, message, config.stored)?;
        let patience = servers.sending.patience().min(patience(call));
        let span = servers.publishing(call, "publish", (&subject, &outgoing.body));
        outgoing.properties = message::traced(outgoing.properties, span.context().trace);
        let published = async {
            let published = timeout(patience, session.publish(outgoing)).await;
            match published {
                Ok(Ok(())) => Ok(()),
                Ok(Err(PublishError::Unroutable)) => Err(format!(
                    "no queue takes messages to `{subject}`, so this one was not stored; link the \
                     messaging provider to an actor, or bind a queue"
                )),
                Ok(Err(error)) => Err(format!("the message was not published: {error}")),
                Err(_) => Err(
                    "the AMQP server did not confirm the message in time; it may have been \
                     published"
                        .to_owned(),
                ),
            }
        };
        span.attempt(published).await
    }
}

impl Servers {
    /// Begins the span of a message that is published. A reply goes to a queue, without the
    /// exchange.
    fn publishing(
        &self,
        call: &Call<AmqpMessaging>,
        operation: &'static str,
        message: (&str, &[u8]),
    ) -> WorkSpan {
        let is_reply = message.0.starts_with(INBOX);
        let exchange = if is_reply { "" } else { self.exchange.as_str() };
        let way = Way {
            exchange: Some(exchange),
            ..Way::through(SYSTEM)
        };
        spans::publishing(call, operation, (way, &call.binding().publish), message)
    }
}

/// Checks that a link may publish to a subject, which may be where a reply is expected.
fn check(config: &Publishing, subject: &str) -> Result<(), String> {
    config.check(subject)?;
    if !subject.starts_with(INBOX) {
        return Ok(());
    }
    let address = Address::parse(subject)?;
    let queue = address.queue.as_str();
    if address.is_private() || config.publish.permit(queue) {
        return Ok(());
    }
    Err(format!(
        "this link may not publish to the queue `{}`; add its name to `publish` in its config",
        queue.escape_debug()
    ))
}

/// Returns a message as it is sent to the server.
fn outgoing(
    servers: &Servers,
    message: BrokerMessage,
    is_stored: bool,
) -> Result<session::Outgoing, String> {
    if message.subject.starts_with(INBOX) {
        return Ok(message::reply(
            Address::parse(&message.subject)?,
            message.body,
        ));
    }
    Ok(session::Outgoing {
        exchange: servers.exchange.clone(),
        key: message::key(&message.subject)?,
        properties: message::properties(message.reply_to)?,
        body: message.body,
        is_mandatory: is_stored,
    })
}

/// Returns the text of an error of the client. They name exchanges and queues, and no login.
fn failed(error: &lapin::Error) -> String {
    format!("AMQP: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::Patterns;

    #[test]
    fn a_link_replies_to_private_queues_and_to_those_that_it_may_publish_to() {
        let config = Publishing {
            publish: Patterns::new(["a.*"]).expect("valid"),
            stored: false,
        };
        let [private, named, other] = ["amq.gen-1", "a.b", "lattice.test_a_b"].map(|queue| {
            let mut delivery =
                lapin::message::Delivery::mock(1, "".into(), "x".into(), false, Vec::new());
            delivery.properties = delivery.properties.with_reply_to(queue.into());
            message::received(&mut delivery).reply_to.expect("a reply")
        });
        check(&config, &private).expect("only those know it who were told");
        check(&config, &named).expect("allowed by its name");
        let refusal = check(&config, &other).expect_err("another queue");
        assert!(
            refusal.contains("may not publish to the queue"),
            "{refusal}"
        );
        let refusal = check(&Publishing::default(), &other).expect_err("of a lattice");
        assert!(refusal.contains("`lattice.test_a_b`"), "{refusal}");
        let refusal = check(&config, "_INBOX.7.7.7.7").expect_err("no address");
        assert!(refusal.contains("isn't where a reply goes"), "{refusal}");
    }
}
