//! The task of a link with a stream: pulls messages of a durable consumer, as many as it may handle
//! at once, and acknowledges each after its handler.

use super::{Connection, SYSTEM, Subscription, dead_letter, failed, headers, ready};
use crate::{
    messaging::{
        bindings::wasmcloud::messaging::types::BrokerMessage,
        delivery::{Delivered, deliver, pause},
        kept::Kept,
        spans::{Arrival, Way},
    },
    outgoing::OutgoingLink,
};
use async_nats::{
    connection::State,
    jetstream::{
        self, AckKind,
        consumer::{AckPolicy, Consumer, pull},
        message::Info,
        stream,
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use lattice_core::backoff::Backoff;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, interval_at, sleep, timeout},
};

/// How long the server holds a pull for messages that don't come. A pull that a server has lost is
/// noticed after that.
const EXPIRES: Duration = Duration::from_secs(10);
/// How often it is checked whether the connection, which the pull went over, is still there.
const CHECK: Duration = Duration::from_millis(250);
/// The pauses after failures of the server: the first, and the longest.
const AGAIN: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));

/// Runs until the link ends, and then until the messages are handled that were pulled.
pub(super) async fn run(
    connection: Arc<Connection>,
    name: String,
    link: OutgoingLink,
    subscription: Subscription,
) {
    let worker = Arc::new(Worker {
        connection,
        name,
        kept: Kept::of(&link.problem),
        link,
        subscription,
    });
    let mut handled = JoinSet::new();
    let mut failures = 0;
    loop {
        match worker.consume(&mut handled, &mut failures).await {
            Ok(()) => break,
            Err(reason) => worker.link.problem.set(reason),
        }
        failures += 1;
        tokio::select! {
            () = worker.link.ending.cancelled() => break,
            () = sleep(AGAIN.after(failures)) => {}
        }
    }
    while handled.join_next().await.is_some() {}
}

struct Worker {
    connection: Arc<Connection>,
    name: String,
    link: OutgoingLink,
    kept: Kept,
    subscription: Subscription,
}

impl Worker {
    /// Handles messages until the link ends, or until the server fails.
    async fn consume(
        self: &Arc<Self>,
        handled: &mut JoinSet<()>,
        failures: &mut u32,
    ) -> Result<(), String> {
        let ending = &self.link.ending;
        let client = tokio::select! {
            () = ending.cancelled() => return Ok(()),
            client = ready(&self.connection) => client?,
        };
        let consumer = self.consumer().await?;
        self.link.problem.clear();
        *failures = 0;
        let most = self.subscription.max_in_flight;
        let mut check = interval(CHECK);
        loop {
            if handled.len() >= most {
                tokio::select! {
                    () = ending.cancelled() => return Ok(()),
                    _ = handled.join_next() => continue,
                }
            }
            let pull = consumer.batch().max_messages(most - handled.len());
            let mut messages = pull.expires(EXPIRES).messages().await.map_err(failed)?;
            loop {
                let message = tokio::select! {
                    biased;
                    () = ending.cancelled() => {
                        // What has just arrived goes to another replica at once.
                        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
                            self.answer(&message, AckKind::Nak(None)).await;
                        }
                        return Ok(());
                    }
                    Some(_) = handled.join_next() => continue,
                    message = messages.next() => message,
                    _ = check.tick() => {
                        if client.connection_state() == State::Connected {
                            continue;
                        }
                        return Err("the connection to the NATS server was lost".to_owned());
                    }
                };
                match message {
                    None => break,
                    Some(Ok(message)) => {
                        handled.spawn(self.clone().handle(message));
                    }
                    Some(Err(error)) => return Err(failed(error)),
                }
            }
        }
    }

    /// Returns the name of the consumer of the link.
    fn durable(&self) -> &str {
        self.subscription.durable.as_ref().unwrap_or(&self.name)
    }

    /// Returns the consumer of the link, and makes it as the link's config says.
    async fn consumer(&self) -> Result<Consumer<pull::Config>, String> {
        let Subscription {
            stream,
            subjects,
            ack_wait,
            max_in_flight,
            ..
        } = &self.subscription;
        let name = stream.as_deref().unwrap_or_default();
        let (mut filter_subject, mut filter_subjects) = (String::new(), subjects.texts());
        if filter_subjects.len() == 1 {
            filter_subject = filter_subjects.pop().unwrap_or_default();
        }
        let config = pull::Config {
            durable_name: Some(self.durable().to_owned()),
            description: Some(format!("the link {}", self.link.link.key())),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ack_wait.length(),
            max_ack_pending: i64::try_from(*max_in_flight).unwrap_or(i64::MAX),
            filter_subject,
            filter_subjects,
            ..pull::Config::default()
        };
        let stream = self.stream(name).await?;
        let consumer = stream.create_consumer(config).await;
        consumer.map_err(|error| format!("the consumer of stream `{name}` can't be made: {error}"))
    }

    async fn stream(&self, name: &str) -> Result<stream::Stream, String> {
        let streams = self.connection.jetstream();
        if !self.subscription.create_stream {
            let found = streams.get_stream(name).await;
            return found.map_err(|error| {
                format!(
                    "stream `{name}` can't be used: {error}; create it, or set `create-stream` in \
                     the link's config"
                )
            });
        }
        let mut subjects = self.subscription.subjects.texts();
        subjects.extend(self.subscription.dead_letter.clone());
        let config = stream::Config {
            name: name.to_owned(),
            subjects,
            ..stream::Config::default()
        };
        let created = streams.get_or_create_stream(config).await;
        created.map_err(|error| format!("stream `{name}` can't be made: {error}"))
    }

    async fn handle(self: Arc<Self>, message: jetstream::Message) {
        let info = match message.info() {
            Ok(info) => info,
            Err(error) => {
                // It can't be acknowledged; a server delivers one of its own again.
                tracing::warn!(link = %self.link.link.key(), %error, "a message without an origin");
                return;
            }
        };
        let content = BrokerMessage {
            subject: message.subject.to_string(),
            body: message.payload.clone(),
            reply_to: None,
        };
        let arrival = Arrival {
            way: Way {
                receiver: Some(self.durable()),
                ..Way::through(SYSTEM)
            },
            subjects: &self.subscription.subjects,
            trace: headers::trace_of(message.headers.as_ref()),
        };
        let delivery = deliver(&self.link, &content, &arrival, self.subscription.timeout);
        let delivered = self.holding(&message, delivery).await;
        let answer = match delivered {
            Delivered::Handled => AckKind::Ack,
            // Another replica of the provider gets it at once.
            Delivered::NotTaken => AckKind::Nak(None),
            Delivered::Failed(reason) => self.failed(&message, &info, &reason).await,
        };
        self.answer(&message, answer).await;
    }

    /// Returns the answer to a message whose handler has failed.
    async fn failed(&self, message: &jetstream::Message, info: &Info<'_>, reason: &str) -> AckKind {
        let deliveries = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let (link, sequence) = (self.link.link.key(), info.stream_sequence);
        let stream = info.stream;
        tracing::warn!(%link, stream, sequence, deliveries, reason, "a message was not handled");
        if deliveries < self.subscription.max_deliver {
            return AckKind::Nak(Some(pause(self.subscription.backoff, deliveries)));
        }
        let Some(to) = &self.subscription.dead_letter else {
            tracing::error!(%link, stream, sequence, "a message is given up; it stays in its stream if that keeps it");
            return AckKind::Term;
        };
        let headers = dead_letter::headers_of(reason, message, info);
        let set_aside = self.set_aside(to, headers, message);
        self.holding(message, set_aside).await
    }

    /// Publishes a message to the subject for those that were not handled, until a stream has
    /// stored it there.
    async fn set_aside(
        &self,
        to: &str,
        headers: async_nats::HeaderMap,
        message: &jetstream::Message,
    ) -> AckKind {
        let (mut kept, mut failures) = (self.kept.message(), 0);
        loop {
            let streams = self.connection.jetstream();
            let (headers, body) = (headers.clone(), message.payload.clone());
            let stored = async {
                let sent = streams.publish_with_headers(to.to_owned(), headers, body);
                sent.await.map_err(failed)?.await.map_err(failed)
            };
            let reason = match timeout(self.connection.timeout(), stored).await {
                Ok(Ok(_)) => return AckKind::Ack,
                Ok(Err(reason)) => reason,
                Err(_) => "no answer in time".to_owned(),
            };
            kept.failed(format!(
                "a message can't be set aside to `{to}`, which has to be a subject of a stream: \
                 {reason}"
            ));
            failures += 1;
            tokio::select! {
                () = self.link.ending.cancelled() => return AckKind::Nak(None),
                () = sleep(AGAIN.after(failures)) => {}
            }
        }
    }

    /// Waits for `work`, and tells the server meanwhile that the message is being handled.
    async fn holding<T>(&self, message: &jetstream::Message, work: impl Future<Output = T>) -> T {
        let often = self.subscription.ack_wait.length() / 3;
        let mut progress = interval_at(Instant::now() + often, often);
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = progress.tick() => self.answer(message, AckKind::Progress).await,
            }
        }
    }

    /// Acknowledges or rejects a message. If that is lost, the server delivers the message again.
    async fn answer(&self, message: &jetstream::Message, answer: AckKind) {
        let sent = timeout(CHECK, message.ack_with(answer)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(link = %self.link.link.key(), "an acknowledgement was not sent");
        }
    }
}
