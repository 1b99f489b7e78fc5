//! The task of a link: receives from its queue, as many messages as may be handled at once, and
//! acknowledges each after its handler.

use super::{
    SYSTEM, Servers,
    again::Again,
    failed,
    message::{self, SetAside},
    session::{Outgoing, PublishError, Session},
    subscription::{Source, Subscription},
    topology::{self, Binding, Queue},
};
use crate::{
    messaging::{
        bindings::wasmcloud::messaging::types::BrokerMessage,
        delivery::{Delivered, deliver, pause},
        kept::Kept,
        spans::{Arrival, Way},
    },
    outgoing::OutgoingLink,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::{
    Acker, BasicProperties, Channel, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::{JoinSet, unconstrained},
    time::{sleep, timeout},
};

/// Runs until the link ends, and then until the messages are handled that have arrived.
pub(super) async fn run(
    servers: Arc<Servers>,
    link: OutgoingLink,
    subscription: Subscription,
    source: Source,
) {
    let worker = Arc::new(Worker {
        servers,
        kept: Kept::of(&link.problem),
        link,
        subscription,
        source,
    });
    let mut handled = JoinSet::new();
    let mut again = Again::default();
    loop {
        let mut receiving_since = None;
        match worker.consume(&mut handled, &mut receiving_since).await {
            Ok(()) => return,
            Err(reason) => worker.link.problem.set(reason),
        }
        // The server has taken their messages back, and delivers them again.
        handled.shutdown().await;
        let lasted = receiving_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
        tokio::select! {
            () = worker.link.ending.cancelled() => return,
            () = sleep(again.pause(lasted)) => {}
        }
    }
}

struct Worker {
    servers: Arc<Servers>,
    link: OutgoingLink,
    kept: Kept,
    subscription: Subscription,
    source: Source,
}

/// A message that is being handled, without its content.
struct Unanswered {
    acker: Acker,
    properties: BasicProperties,
    exchange: String,
    /// How often it was delivered without success.
    failures: u32,
}

/// What the server is told about a message.
enum Answer {
    Handled,
    /// Another replica of the provider gets it at once.
    Return,
    /// It goes to the dead-letter exchange of its queue, if that has one.
    GiveUp,
}

impl Worker {
    /// Handles messages until the link ends, or until the server fails. Says when it has begun to
    /// receive, if it has.
    async fn consume(
        self: &Arc<Self>,
        handled: &mut JoinSet<()>,
        receiving_since: &mut Option<Instant>,
    ) -> Result<(), String> {
        let session = self.servers.receiving.session()?;
        let patience = self.servers.receiving.patience();
        let late = || {
            format!(
                "no reply of the AMQP server within {} ms",
                patience.as_millis()
            )
        };
        let opened = timeout(patience, self.open(&session)).await;
        let (channel, mut consumer) = opened.unwrap_or_else(|_| Err(late()))?;
        self.link.problem.clear();
        *receiving_since = Some(Instant::now());
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.link.ending.cancelled() => {
                    self.leave(&channel, consumer).await;
                    while handled.join_next().await.is_some() {}
                    return Ok(());
                }
                Some(ended) = handled.join_next() => match ended {
                    Ok(()) => continue,
                    // With the channel, all that isn't acknowledged goes back to the queue.
                    Err(_) => return Err("the provider panicked at a message".to_owned()),
                },
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    handled.spawn(self.clone().handle(delivery));
                }
                Some(Err(error)) => return Err(failed(&error)),
                None => {
                    return Err(format!(
                        "the queue `{}` was deleted, or its server was stopped",
                        self.source.queue.name
                    ));
                }
            }
        }
    }

    /// Makes what the link's config names, and begins to receive.
    async fn open(&self, session: &Session) -> Result<(Channel, Consumer), String> {
        let Source {
            exchange,
            queue,
            bindings,
            dead_letter,
            dead_letter_queue,
        } = &self.source;
        topology::exchange(session.connection(), exchange).await?;
        let channel = session.connection().create_channel().await;
        let channel = channel.map_err(|error| failed(&error))?;
        if let (Some(subject), Some(keeper)) = (dead_letter, dead_letter_queue) {
            keeper.declare(&channel).await?;
            let binding = [(exchange.clone(), subject.clone())].into();
            self.bind(&channel, keeper, &binding).await?;
        }
        queue.declare(&channel).await?;
        self.bind(&channel, queue, bindings).await?;
        let consumer = async {
            let most = self.subscription.max_in_flight;
            channel.basic_qos(most, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let none = FieldTable::default();
            let consumer = channel.basic_consume(queue.name.clone(), "".into(), options, none);
            consumer.await
        };
        let consumer = consumer.await.map_err(|error| failed(&error))?;
        Ok((channel, consumer))
    }

    async fn bind(
        &self,
        channel: &Channel,
        queue: &Queue,
        wanted: &BTreeSet<Binding>,
    ) -> Result<(), String> {
        let all = &self.servers.bindings;
        all.bind(channel, &self.link, &queue.name, wanted).await
    }

    /// Stops receiving. What has just arrived goes to another replica at once.
    async fn leave(&self, channel: &Channel, mut consumer: Consumer) {
        let cancelled = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        if !matches!(
            timeout(self.servers.receiving.patience(), cancelled).await,
            Ok(Ok(()))
        ) {
            tracing::debug!(link = %self.link.link.key(), "the server has not stopped deliveries");
        }
        // The runtime's limit on what a task does at once would look like an empty queue.
        while let Some(Some(Ok(delivery))) = unconstrained(consumer.next()).now_or_never() {
            self.answer(&delivery.acker, Answer::Return).await;
        }
    }

    /// Handles a message, whatever its subject. One that isn't of the link's own subjects may be of
    /// a newer config than this one, or of another link with the same queue. This replica is the
    /// only one that gets it for now: left out, it would be lost, and put back, it would come again
    /// at once.
    async fn handle(self: Arc<Self>, mut delivery: Delivery) {
        let content = message::received(&mut delivery);
        let mut message = Unanswered {
            failures: message::returns(delivery.redelivered, &delivery.properties),
            acker: delivery.acker,
            properties: delivery.properties,
            exchange: delivery.exchange.into(),
        };
        let answer = self.deliver(&mut message, content).await;
        self.answer(&message.acker, answer).await;
    }

    /// Delivers a message until it is handled, or as often as allowed.
    async fn deliver(&self, message: &mut Unanswered, content: BrokerMessage) -> Answer {
        let Subscription {
            timeout,
            max_deliver,
            backoff,
            ..
        } = self.subscription;
        let exchange = message.exchange.clone();
        let arrival = Arrival {
            way: Way {
                exchange: Some(&exchange),
                receiver: Some(self.source.queue.name.as_str()),
                ..Way::through(SYSTEM)
            },
            subjects: &self.subscription.subjects,
            trace: message::trace_of(&message.properties),
        };
        loop {
            let reason = match deliver(&self.link, &content, &arrival, timeout).await {
                Delivered::Handled => return Answer::Handled,
                Delivered::NotTaken => return Answer::Return,
                Delivered::Failed(reason) => reason,
            };
            message.failures += 1;
            let (link, deliveries) = (self.link.link.key(), message.failures);
            let subject = &content.subject;
            tracing::warn!(%link, %subject, deliveries, reason, "a message was not handled");
            if deliveries >= max_deliver {
                return self.set_aside(message, content, &reason).await;
            }
            tokio::select! {
                () = self.link.ending.cancelled() => return Answer::Return,
                () = sleep(pause(backoff, deliveries)) => {}
            }
        }
    }

    /// Publishes a message to the subject for those that were not handled, until a queue has it.
    async fn set_aside(
        &self,
        message: &Unanswered,
        content: BrokerMessage,
        reason: &str,
    ) -> Answer {
        let Some(to) = &self.source.dead_letter else {
            let (link, subject) = (self.link.link.key(), &content.subject);
            tracing::error!(%link, %subject, "a message is given up; only a dead-letter exchange of its queue keeps it");
            return Answer::GiveUp;
        };
        let why = SetAside {
            reason,
            subject: &content.subject,
            exchange: &message.exchange,
            queue: self.source.queue.name.as_str(),
            deliveries: message.failures,
        };
        let properties = why.properties(&message.properties);
        let (mut kept, mut again) = (self.kept.message(), Again::default());
        loop {
            let Err(reason) = self.publish(&properties, &content.body).await else {
                return Answer::Handled;
            };
            kept.failed(format!("a message can't be set aside to `{to}`: {reason}"));
            tokio::select! {
                () = self.link.ending.cancelled() => return Answer::Return,
                () = sleep(again.pause(Duration::ZERO)) => {}
            }
        }
    }

    /// Publishes a message that is set aside.
    async fn publish(&self, properties: &BasicProperties, body: &Bytes) -> Result<(), String> {
        let sending = &self.servers.sending;
        let session = sending.session()?;
        let outgoing = Outgoing {
            exchange: self.source.exchange.clone(),
            key: self.source.dead_letter.clone().unwrap_or_default(),
            properties: properties.clone(),
            body: body.clone(),
            is_mandatory: true,
        };
        match timeout(sending.patience(), session.publish(outgoing)).await {
            Ok(Err(PublishError::Unroutable)) => Err(
                "no queue takes it; bind one to this subject, or set `dead-letter-queue`"
                    .to_owned(),
            ),
            Ok(published) => published.map_err(|error| error.to_string()),
            Err(_) => Err("the AMQP server did not confirm it in time".to_owned()),
        }
    }

    /// Acknowledges or rejects a message. If that is lost, the server delivers the message again.
    async fn answer(&self, acker: &Acker, answer: Answer) {
        let answered = async {
            match answer {
                Answer::Handled => acker.ack(BasicAckOptions::default()).await,
                Answer::Return => {
                    let options = BasicNackOptions {
                        requeue: true,
                        multiple: false,
                    };
                    acker.nack(options).await
                }
                Answer::GiveUp => acker.reject(BasicRejectOptions { requeue: false }).await,
            }
        };
        let sent = timeout(self.servers.receiving.patience(), answered).await;
        if !matches!(sent, Ok(Ok(true))) {
            tracing::debug!(link = %self.link.link.key(), "an acknowledgement was not sent");
        }
    }
}
