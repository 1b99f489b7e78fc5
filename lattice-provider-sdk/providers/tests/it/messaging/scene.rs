//! A lattice with a messaging provider, and actors that are linked to it.

use super::{
    actor::{Actor, Behaviour, BrokerMessage, ConsumerClient, PROBE, Received},
    eventually,
};
use crate::{
    nats::{NatsConfig, NatsServer},
    servers,
};
use lattice_core::serve::Service;
use lattice_provider_sdk::{Bytes, Caller, IntoService, Lattice, Link, ServeHandle, serve};
use lattice_providers::{
    messaging::{AmqpMessaging, AmqpSettings, CONSUMER, HANDLER, LatticeMessaging, NatsMessaging},
    nats::NatsSettings,
};
use lattice_test_servers::RabbitServer;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long publishing may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is between the provider's two sides.
pub(crate) enum Backend {
    Lattice,
    Subjects(NatsServer),
    Streams(NatsServer),
    Amqp(RabbitServer),
}

impl Backend {
    pub(crate) async fn subjects() -> Self {
        Self::Subjects(NatsServer::start().await)
    }

    pub(crate) async fn streams() -> Self {
        Self::Streams(NatsConfig::default().jetstream().start().await)
    }

    /// Returns none, and prints why, if there is no server.
    pub(crate) async fn amqp() -> Option<Self> {
        servers::shared_rabbitmq().await.map(Self::Amqp)
    }

    /// Returns a new replica of the provider.
    pub(crate) fn provider(&self) -> Arc<dyn Service> {
        match self {
            Self::Lattice => LatticeMessaging::default().into_service(),
            Self::Subjects(server) | Self::Streams(server) => {
                NatsMessaging::new(NatsSettings::new(server.url())).into_service()
            }
            Self::Amqp(server) => AmqpMessaging::new(Self::amqp_settings(server)).into_service(),
        }
    }

    /// The settings of a provider whose exchange no other test has.
    pub(crate) fn amqp_settings(server: &RabbitServer) -> AmqpSettings {
        AmqpSettings {
            exchange: server.name().to_owned(),
            ..AmqpSettings::new(server.url())
        }
    }

    /// Returns the name of the lattice, after which queues are named.
    fn lattice(&self) -> &str {
        match self {
            Self::Amqp(server) => server.name(),
            _ => "test",
        }
    }

    /// Returns the config of a link to an actor: subjects, and more.
    pub(crate) fn config(&self, subjects: &[&str], more: &Value) -> Value {
        let mut config = json!({ "subjects": subjects });
        if let Self::Streams(_) = self {
            config["stream"] = "TEST".into();
            config["create-stream"] = true.into();
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            let is_known = match self {
                Self::Lattice | Self::Amqp(_) => name != "ack-wait",
                Self::Subjects(_) => !matches!(&**name, "ack-wait" | "max-deliver" | "backoff"),
                Self::Streams(_) => true,
            };
            if is_known {
                config[name] = value.clone();
            }
        }
        config
    }

    /// Returns how often a message is delivered whose handler fails, of three times at most.
    pub(crate) fn deliveries(&self) -> usize {
        match self {
            Self::Lattice | Self::Streams(_) | Self::Amqp(_) => 3,
            Self::Subjects(_) => 1,
        }
    }
}

/// A lattice with the provider as `messaging`, to which `web` is linked.
pub(crate) struct Scene {
    pub(crate) backend: Backend,
    pub(crate) lattice: Lattice,
    pub(crate) provider: Arc<dyn Service>,
    _serving: Option<ServeHandle>,
}

impl Scene {
    /// A scene around a provider that is served already.
    pub(crate) fn around(backend: Backend, lattice: Lattice, provider: Arc<dyn Service>) -> Self {
        Self {
            backend,
            lattice,
            provider,
            _serving: None,
        }
    }

    pub(crate) async fn new(backend: Backend) -> Self {
        let lattice = Lattice::in_memory(backend.lattice()).await.expect("opens");
        let provider = backend.provider();
        let serving = serve(&lattice, "messaging", provider.clone()).await;
        let link = Link::new("web", CONSUMER, "messaging").expect("valid");
        lattice.links().put(link).await.expect("put");
        Self {
            backend,
            lattice,
            provider,
            _serving: Some(serving.expect("serves")),
        }
    }

    /// Starts an actor.
    pub(crate) async fn actor(&self, name: &str, behaviour: Behaviour) -> (ServeHandle, Received) {
        let (actor, received) = Actor::new(behaviour);
        let serving = serve(&self.lattice, name, actor).await;
        (serving.expect("serves"), received)
    }

    /// Links the provider to an actor, under the actor's name.
    pub(crate) async fn subscribe(&self, actor: &str, config: &Value) {
        let link = Link::new("messaging", HANDLER, actor).and_then(|link| link.named(actor));
        let link = link.expect("valid").config(config).expect("JSON");
        self.lattice.links().replace(link).await.expect("put");
    }

    /// Waits until messages with this subject reach an actor.
    pub(crate) async fn reaches(&self, subject: &str, received: &mut Received) {
        eventually(subject, async || {
            // The server may be busy with the stream.
            let _ = self.publish(subject, PROBE).await;
            received.is_probed().await
        })
        .await;
    }

    pub(crate) fn web(&self) -> ConsumerClient<Caller> {
        ConsumerClient::new(self.lattice.caller("web").expect("valid"))
    }

    /// Publishes a message as `web`.
    pub(crate) async fn publish(
        &self,
        subject: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<(), String> {
        let message = BrokerMessage {
            subject: subject.to_owned(),
            body: Bytes::copy_from_slice(body.as_ref()),
            reply_to: None,
        };
        // A server on a busy machine may take longer than calls have by default.
        let published = self.web().publish(&message).timeout(PATIENCE).await;
        published.map_err(|error| error.to_string())?
    }

    /// Waits until the provider's health says this, or that all is well.
    pub(crate) async fn health(&self, expected: Option<&str>) {
        let what = expected.unwrap_or("well");
        eventually(what, async || {
            match (self.provider.health().await, expected) {
                (Ok(()), None) => true,
                (Err(reason), Some(expected)) => reason.contains(expected),
                _ => false,
            }
        })
        .await;
    }
}
