//! `messaging-lattice`: messages over the lattice itself, without a broker.
//!
//! The replica of the provider that an actor publishes to passes the message to every link whose
//! subjects match, and each link has a bounded queue there. Nothing is stored: what waits in a
//! replica of the provider is gone when its host is killed. Where messages must not be lost, use
//! [streams of NATS](crate::messaging::nats), or [AMQP](crate::messaging::amqp).
//!
//! | setting of the instance | default | meaning |
//! | --- | --- | --- |
//! | `requests` | `1000` | requests that may wait for their reply at once, per replica |
//!
//! The config of a link to an actor is a [`Subscription`], that of a link from an actor is
//! [`Publishing`].
//!
//! # Messages that were set aside
//!
//! * A message that is published to `dead-letter` has the subject of the one that was not handled
//!   as its `reply-to`: its handler replays it by publishing the body there. With
//!   `dead-letter-content` set to `record`, its body is a JSON object with the message, its own
//!   `reply-to`, and the reason.
//! * While no link receives `dead-letter`, or the queue of one that does is full, the message is
//!   kept in place of one of `max-in-flight`, it is tried again, and the provider's health says so.
//!   It is lost, and logged, if its link ends meanwhile.

mod aside;
mod requests;
mod router;
mod subscription;
mod worker;

pub use subscription::{DeadLetterContent, Subscription};

use super::{
    INBOX, Patterns, Publishing,
    bindings::{
        World,
        wasmcloud::messaging::{
            consumer::{self, Consumer},
            types::BrokerMessage,
        },
    },
    handler_interface, handler_schema,
    spans::{self, Way},
};
use crate::{outgoing::Outgoing, patience::patience};
use bytes::Bytes;
use lattice_core::{call::FunctionRef, id::Origin, name::InterfaceName};
use lattice_provider_sdk::{Call, Context, Instance, Link, Provider, Refusal, WorkSpan};
use requests::Requests;
use router::Router;
use serde::Deserialize;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The most requests that a setting allows to wait at once.
const MOST_REQUESTS: usize = 1_000_000;
/// How long a reply may take on its way to another replica of the provider.
const FORWARD: Duration = Duration::from_secs(2);

/// The value of `messaging.system`.
const SYSTEM: &str = "lattice";

/// The settings of an instance of `messaging-lattice`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How many requests may wait for their reply at once. 1,000 by default.
    pub requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { requests: 1_000 }
    }
}

/// The provider; see the [module](self).
#[derive(Debug, Default)]
pub struct LatticeMessaging {
    settings: Settings,
    running: Mutex<Option<Arc<Running>>>,
}

/// The provider between its start and its stop.
#[derive(Debug)]
struct Running {
    instance: Instance,
    router: Arc<Router>,
    requests: Requests,
    outgoing: Outgoing,
}

impl LatticeMessaging {
    /// Creates the provider.
    pub fn new(settings: Settings) -> Self {
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

impl Provider for LatticeMessaging {
    type World = World;
    type Config = Publishing;
    type Binding = Publishing;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        let most = self.settings.requests;
        if !(1..=MOST_REQUESTS).contains(&most) {
            return Err(Refusal::new(format!(
                "`requests` is {most}; it must be from 1 to {MOST_REQUESTS}"
            )));
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*running {
            return Err(Refusal::new(format!(
                "this provider is served as `{}` already; make another one",
                before.instance.id()
            )));
        }
        let router = Arc::new(Router::default());
        let subscriptions = router.clone();
        let run = move |link, subscription: Subscription| {
            worker::run(subscriptions.clone(), link, subscription)
        };
        *running = Some(Arc::new(Running {
            instance: instance.clone(),
            router,
            requests: Requests::new(most),
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
        }
    }

    async fn health(&self) -> Result<(), Refusal> {
        self.running()
            .map_or(Ok(()), |running| running.outgoing.health())
    }

    async fn link(&self, _: &Link, config: Publishing) -> Result<Publishing, Refusal> {
        if config.stored {
            return Err(Refusal::new(
                "`stored` needs a stream or a queue, which `messaging-lattice` doesn't have; link to \
                 `messaging-nats` or `messaging-amqp`, or leave it out",
            ));
        }
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

    /// Replicas pass each other replies, and nothing else.
    async fn replica(&self) -> Option<Publishing> {
        let replies = Patterns::new([format!("{INBOX}>")]).ok()?;
        Some(Publishing {
            publish: replies,
            stored: false,
        })
    }
}

impl Consumer for LatticeMessaging {
    async fn request(
        &self,
        call: &Call<Self>,
        subject: String,
        body: Bytes,
        timeout_ms: u32,
    ) -> Result<BrokerMessage, String> {
        call.binding().check(&subject)?;
        let running = self.running()?;
        let origin = running.origin()?;
        let (inbox, reply) = running.requests.open(&origin)?;
        let span = publishing(call, "request", (&subject, &body));
        let message = BrokerMessage {
            subject,
            body,
            reply_to: Some(inbox),
        };
        let answered = async {
            if running.router.publish(&message, span.context().trace)? == 0 {
                return Err(format!(
                    "no actor has a subscription to `{}`; link the messaging provider to one",
                    message.subject
                ));
            }
            reply.within(call, timeout_ms).await
        };
        span.attempt(answered).await
    }

    async fn publish(&self, call: &Call<Self>, message: BrokerMessage) -> Result<(), String> {
        call.binding().check(&message.subject)?;
        let running = self.running()?;
        let span = publishing(call, "publish", (&message.subject, &message.body));
        let published = async {
            let context = span.context();
            if message.subject.starts_with(INBOX) {
                let within = FORWARD.min(patience(call));
                let context = context.nested().shrunk(within);
                return running.reply(message, context).await;
            }
            running.router.publish(&message, context.trace).map(drop)
        };
        span.attempt(published).await
    }
}

/// Begins the span of a message that is published.
fn publishing(
    call: &Call<LatticeMessaging>,
    operation: &'static str,
    message: (&str, &[u8]),
) -> WorkSpan {
    let way = Way::through(SYSTEM);
    spans::publishing(call, operation, (way, &call.binding().publish), message)
}

impl Running {
    /// Returns the node on which this replica runs, as inboxes name it.
    fn origin(&self) -> Result<Origin, String> {
        let caller = self.instance.caller();
        let origin = caller.origin().cloned();
        origin.ok_or_else(|| "this replica has not joined the lattice yet; try again".to_owned())
    }

    /// Passes a reply to the replica that made the request. A reply that comes too late is dropped.
    async fn reply(&self, reply: BrokerMessage, context: Context) -> Result<(), String> {
        let Some(to) = requests::origin_of(&reply.subject) else {
            return Err(format!("`{}` isn't where a reply goes", reply.subject));
        };
        if to == self.origin()? {
            self.requests.resolve(reply);
            return Ok(());
        }
        let peers = self.instance.lattice().peers();
        let is_listed = peers.serving(self.instance.id()).contains(&to);
        let args = lattice_core::value::to_bytes(&(&reply,)).map_err(|error| error.to_string())?;
        let caller = self.instance.caller();
        let function = publish_function();
        let passed = caller.invoke_replica(&to, &function, args, context);
        match passed.await {
            Ok(answer) => lattice_core::value::from_bytes::<Result<(), String>>(&answer)
                .map_err(|error| error.to_string())?,
            Err(error) if is_listed => Err(error.to_string()),
            // The request has ended with its replica. One that is only leaving has taken it.
            Err(_) => Ok(()),
        }
    }
}

/// Returns the function by which a replica passes a reply to another.
fn publish_function() -> FunctionRef {
    let mut functions = consumer::INTERFACE.functions().iter();
    let publish = functions.find(|function| function.name == "publish");
    let publish = publish.expect("the interface has this function");
    let interface = consumer::INTERFACE.name().parse();
    FunctionRef::new(
        interface.expect("the macro has checked the name"),
        publish
            .name
            .parse()
            .expect("the macro has checked the name"),
        publish.signature,
    )
}
