//! A native actor that receives messages.

use lattice_provider_sdk::{Bytes, Call, Instance, Refusal, Stateless};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

lattice_provider_sdk::provider!({ inline: "
    package test:actor;
    world actor {
        import wasmcloud:messaging/consumer@0.2.0;
        export wasmcloud:messaging/handler@0.2.0;
    }
" });

use wasmcloud::messaging::handler::Handler;
pub(crate) use wasmcloud::messaging::{
    consumer::{self, ConsumerClient},
    types::BrokerMessage,
};

/// The body of messages that only show that a subscription is there.
pub(crate) const PROBE: &[u8] = b"probe";

/// What the actor does with a message.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Handles it.
    Keep,
    /// Returns an error.
    Fail,
    /// Returns an error for a message with this body.
    FailAt(&'static str),
    /// Publishes its body where a reply is expected.
    Reply,
    /// Waits until it may go on.
    Wait(Arc<Semaphore>),
    /// Passes on the place in a trace that its call has, or nothing if that has none.
    Trace,
    /// Takes a moment with the only permit, and passes on [`TOGETHER`] if it isn't there.
    Alone(Arc<Semaphore>),
}

/// The body of a message that says that another one was handled at the same time.
const TOGETHER: &str = "two were handled at once";

/// The actor. It passes on all messages, before anything else.
pub(crate) struct Actor {
    behaviour: Behaviour,
    received: mpsc::UnboundedSender<BrokerMessage>,
    instance: OnceLock<Instance>,
}

/// The messages that an actor has received.
pub(crate) struct Received {
    messages: mpsc::UnboundedReceiver<BrokerMessage>,
    /// Those that came while a probe was waited for.
    before: VecDeque<BrokerMessage>,
}

impl Actor {
    pub(crate) fn new(behaviour: Behaviour) -> (Self, Received) {
        let (received, messages) = mpsc::unbounded_channel();
        let actor = Self {
            behaviour,
            received,
            instance: OnceLock::new(),
        };
        let before = VecDeque::new();
        (actor, Received { messages, before })
    }

    /// Returns another replica of it.
    pub(crate) fn replica(&self, behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            received: self.received.clone(),
            instance: OnceLock::new(),
        }
    }
}

impl Stateless for Actor {
    type World = World;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        // A second start of the same actor keeps the first instance.
        let _ = self.instance.set(instance.clone());
        Ok(())
    }
}

impl Handler for Actor {
    async fn handle_message(
        &self,
        call: &Call<Self>,
        message: BrokerMessage,
    ) -> Result<(), String> {
        // The test may have ended.
        let _ = self.received.send(message.clone());
        if message.body == PROBE {
            return Ok(());
        }
        match &self.behaviour {
            Behaviour::Keep => Ok(()),
            Behaviour::FailAt(body) if message.body != *body => Ok(()),
            Behaviour::Fail | Behaviour::FailAt(_) => Err("it always fails".to_owned()),
            Behaviour::Alone(permit) => {
                let Ok(_permit) = permit.try_acquire() else {
                    let body = TOGETHER.into();
                    let _ = self.received.send(BrokerMessage { body, ..message });
                    return Ok(());
                };
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Behaviour::Trace => {
                let trace = call.trace().map(|trace| trace.to_string());
                let body = trace.unwrap_or_default().into();
                let _ = self.received.send(BrokerMessage { body, ..message });
                Ok(())
            }
            Behaviour::Wait(go) => {
                go.acquire().await.expect("it is never closed").forget();
                Ok(())
            }
            Behaviour::Reply => {
                let instance = self.instance.get().ok_or("it has not started")?;
                let Some(subject) = message.reply_to else {
                    return Err("no reply is expected".to_owned());
                };
                let reply = BrokerMessage {
                    subject,
                    body: message.body,
                    reply_to: None,
                };
                let consumer = ConsumerClient::new(instance.caller());
                let published = consumer.publish(&reply).await;
                published.map_err(|error| error.to_string())?
            }
        }
    }
}

impl Received {
    /// Returns the next message that isn't a probe.
    pub(crate) async fn next(&mut self) -> BrokerMessage {
        if let Some(message) = self.before.pop_front() {
            return message;
        }
        loop {
            let message = super::soon("a message", self.messages.recv()).await;
            let message = message.expect("the actor is there");
            if message.body != PROBE {
                return message;
            }
        }
    }

    /// Returns the bodies of the next messages.
    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<Bytes> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            bodies.push(self.next().await.body);
        }
        bodies
    }

    /// Returns whether a probe has arrived, and waits a moment for one.
    pub(crate) async fn is_probed(&mut self) -> bool {
        let wait = tokio::time::timeout(Duration::from_millis(50), self.messages.recv());
        match wait.await {
            Ok(Some(message)) if message.body == PROBE => true,
            Ok(Some(message)) => {
                self.before.push_back(message);
                false
            }
            _ => false,
        }
    }

    /// Returns whether there is no further message but probes.
    pub(crate) fn is_empty(&mut self) -> bool {
        if !self.before.is_empty() {
            return false;
        }
        while let Ok(message) = self.messages.try_recv() {
            if message.body != PROBE {
                return false;
            }
        }
        true
    }
}
