//! Exchanges, queues and bindings.

use super::failed;
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often a message may come back to its queue before the server gives it up. The provider does
/// that by `max-deliver`, so this is out of reach. Servers from 4.0 on have 20 by default.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// A queue that a link receives from, or that keeps messages.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: ShortString,
    /// Whether it stays without receivers, on several servers of a cluster.
    pub(super) is_durable: bool,
    /// Whether only one of its receivers gets messages at a time.
    pub(super) has_one_receiver: bool,
    /// How long it stays without receivers.
    pub(super) expires: Option<Duration>,
}

/// What binds a queue: an exchange, and a routing key or a pattern of them.
pub(super) type Binding = (ShortString, ShortString);

/// Which bindings this process has made, by queue.
#[derive(Debug, Default)]
pub(super) struct Bindings(Mutex<HashMap<ShortString, BTreeSet<Binding>>>);

/// Creates an exchange for topics, unless there is one with this name.
pub(super) async fn exchange(connection: &Connection, name: &ShortString) -> Result<(), String> {
    let unusable =
        |error: lapin::Error| format!("the exchange `{name}` can't be used: {}", failed(&error));
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    match declare(connection, name, passive).await {
        Err(error) if is_missing(&error) => {}
        found => return found.map_err(unusable),
    }
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    declare(connection, name, durable).await.map_err(unusable)
}

async fn declare(
    connection: &Connection,
    name: &ShortString,
    options: ExchangeDeclareOptions,
) -> lapin::Result<()> {
    // A server closes the channel of an operation that it refuses.
    let channel = connection.create_channel().await?;
    let none = FieldTable::default();
    let declared = channel.exchange_declare(name.clone(), ExchangeKind::Topic, options, none);
    declared.await
}

fn is_missing(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

impl Queue {
    /// A queue that keeps messages until other programs take them.
    pub(super) fn keeping(name: ShortString) -> Self {
        Self {
            name,
            is_durable: true,
            has_one_receiver: false,
            expires: None,
        }
    }

    /// Creates the queue, unless there is one with this name and the same arguments.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), String> {
        let mut arguments = FieldTable::default();
        let mut set = |name: &str, value| {
            arguments.insert(name.into(), value);
        };
        if self.has_one_receiver {
            set("x-single-active-consumer", AMQPValue::Boolean(true));
        }
        if self.is_durable {
            set("x-queue-type", AMQPValue::LongString("quorum".into()));
            set("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT));
        }
        if let Some(expires) = self.expires {
            let millis = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
            set("x-expires", AMQPValue::LongLongInt(millis));
        }
        let options = QueueDeclareOptions {
            durable: true,
            auto_delete: !self.is_durable,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(self.name.clone(), options, arguments);
        declared.await.map(drop).map_err(|error| {
            format!(
                "the queue `{}` can't be used: {}; if it was made with other settings, delete it \
                 with the tools of the server, or name another one in the link's config",
                self.name,
                failed(&error)
            )
        })
    }
}

impl Bindings {
    /// Binds a queue, and undoes what this process has bound it to before.
    pub(super) async fn bind(
        &self,
        channel: &Channel,
        queue: &ShortString,
        wanted: BTreeSet<Binding>,
    ) -> Result<(), String> {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default);
        for (exchange, key) in &wanted {
            let (exchange, key) = (exchange.clone(), key.clone());
            let bound = channel.queue_bind(queue.clone(), exchange, key, options, none());
            bound.await.map_err(|error| {
                format!("the queue `{queue}` can't be bound: {}", failed(&error))
            })?;
        }
        let before = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(queue.clone(), wanted.clone())
        };
        for (exchange, key) in before.unwrap_or_default().difference(&wanted) {
            let (exchange, key) = (exchange.clone(), key.clone());
            let unbound = channel.queue_unbind(queue.clone(), exchange, key, none());
            unbound.await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}
