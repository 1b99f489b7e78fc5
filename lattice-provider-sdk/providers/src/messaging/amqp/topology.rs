//! Exchanges, queues and bindings.

use super::failed;
use crate::outgoing::OutgoingLink;
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
};
use lattice_core::link::LinkKey;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::sync::Mutex;

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

/// Which bindings the links of this process have made. Locked while one of them changes its own, so
/// that the task of an earlier config undoes nothing of a later one.
#[derive(Debug, Default)]
pub(super) struct Bindings(Mutex<Made>);

/// Bindings, by the link that needs them, and by queue.
type Made = HashMap<(LinkKey, ShortString), BTreeSet<Binding>>;

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
    /// Binds a queue for a link, and undoes what this process has bound it to before for the same
    /// link, unless another link needs it. Fails if the link has ended, because its next task may
    /// have bound the queue already.
    pub(super) async fn bind(
        &self,
        channel: &Channel,
        link: &OutgoingLink,
        queue: &ShortString,
        wanted: &BTreeSet<Binding>,
    ) -> Result<(), String> {
        let mut made = self.0.lock().await;
        if link.ending.is_cancelled() {
            return Err("the link was changed or deleted".to_owned());
        }
        let own = (link.link.key(), queue.clone());
        let outdated = outdated(&made, &own, wanted);
        // If this fails in between, what is bound by then is undone later.
        let own_bindings = made.entry(own.clone()).or_default();
        own_bindings.extend(wanted.iter().cloned());
        let (options, none) = (QueueBindOptions::default(), FieldTable::default);
        for (exchange, key) in wanted {
            let (exchange, key) = (exchange.clone(), key.clone());
            let bound = channel.queue_bind(queue.clone(), exchange, key, options, none());
            bound.await.map_err(|error| {
                format!("the queue `{queue}` can't be bound: {}", failed(&error))
            })?;
        }
        for (exchange, key) in outdated {
            let unbound = channel.queue_unbind(queue.clone(), exchange, key, none());
            unbound.await.map_err(|error| failed(&error))?;
        }
        made.insert(own, wanted.clone());
        Ok(())
    }
}

/// Returns the bindings of a queue that neither its link nor another one needs any more.
fn outdated(made: &Made, own: &(LinkKey, ShortString), wanted: &BTreeSet<Binding>) -> Vec<Binding> {
    let before = made.get(own).into_iter().flatten();
    let is_needed = |binding: &Binding| {
        let mut others = made.iter().filter(|(other, _)| *other != own);
        wanted.contains(binding)
            || others.any(|((_, queue), its)| *queue == own.1 && its.contains(binding))
    };
    before
        .filter(|&binding| !is_needed(binding))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_provider_sdk::Link;

    fn own(target: &str, queue: &str) -> (LinkKey, ShortString) {
        let link = Link::new("messaging", crate::messaging::HANDLER, target).expect("valid");
        let link = link.named(target).expect("valid");
        (link.key(), queue.into())
    }

    fn bindings(keys: &[&str]) -> BTreeSet<Binding> {
        let of = |key: &&str| (ShortString::from("x"), ShortString::from(*key));
        keys.iter().map(of).collect()
    }

    #[test]
    fn a_link_undoes_its_own_bindings_and_not_those_of_others() {
        let made = Made::from([
            (own("a", "dead"), bindings(&["a.dead", "both.dead"])),
            (own("b", "dead"), bindings(&["b.dead", "both.dead"])),
            (own("b", "q"), bindings(&["a.dead"])),
        ]);
        let undone = |own, wanted: &[&str]| outdated(&made, &own, &bindings(wanted));
        let expected: Vec<_> = bindings(&["a.dead"]).into_iter().collect();
        assert_eq!(undone(own("a", "dead"), &["new.dead"]), expected);
        assert!(undone(own("a", "dead"), &["a.dead", "more"]).is_empty());
        assert!(undone(own("c", "dead"), &["c.dead"]).is_empty());
    }
}
