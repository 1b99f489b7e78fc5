//! Spans of messages, with the attributes of OpenTelemetry's conventions for messaging.
//!
//! | span | kind | lasts |
//! | --- | --- | --- |
//! | `publish orders.*` | producer | until the message has been taken, by the server or by the queues of links |
//! | `request orders.price` | producer | until the reply |
//! | `process orders.*` | consumer | for one delivery, with the time for which no host can take it |
//!
//! A name has the pattern of the link that the subject matches. A subject itself may have an id in
//! it, and there would be no end to the names: under a link for all subjects, which is the default
//! for publishing, spans are named by the operation alone. Their attributes have the subject.
//!
//! A message carries its place in the trace of its publisher: the header `traceparent` over NATS
//! and AMQP, a field over the lattice. The spans of its deliveries, and the calls of handlers,
//! belong to that trace, with the decision whether it is sampled. What another program has put
//! into the header is used in the same way if it is valid.

use super::{INBOX, Patterns, bindings::wasmcloud::messaging::types::BrokerMessage};
use lattice_core::{call::Context, id::TraceContext};
use lattice_provider_sdk::{Call, Provider, WorkSpan};
use std::time::Duration;
use tracing::{Level, Span, field::Empty};

const LEVEL: Level = Level::DEBUG;

/// The header with the place in a trace.
#[cfg(any(feature = "messaging-amqp", feature = "messaging-nats"))]
pub(super) const TRACEPARENT: &str = "traceparent";
/// Longest value of that header that is read, in bytes. Those of today's version have 55, and later
/// ones may be longer.
#[cfg(any(feature = "messaging-amqp", feature = "messaging-nats"))]
const LONGEST: usize = 256;

/// What a message goes through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'w> {
    /// The value of `messaging.system`.
    pub(super) system: &'static str,
    /// The exchange, if the system has any.
    pub(super) exchange: Option<&'w str>,
    /// The queue, queue group or durable consumer at which a message has arrived.
    pub(super) receiver: Option<&'w str>,
    /// What the subjects start with at which replies are expected, beside those of all.
    pub(super) inboxes: Option<&'w str>,
}

/// How a message has come to a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) way: Way<'a>,
    /// The subjects of the link.
    pub(super) subjects: &'a Patterns,
    /// The place in the trace of its publisher.
    pub(super) trace: Option<TraceContext>,
}

/// Begins the span of a call that publishes a message, or makes a request, as `operation` says.
pub(super) fn publishing<P: Provider>(
    call: &Call<P>,
    operation: &'static str,
    (way, allowed): (Way<'_>, &Patterns),
    (subject, body): (&str, &[u8]),
) -> WorkSpan {
    call.begin_span(|| {
        let shown = Shown::new(way, allowed, subject);
        shown.span(("producer", operation, "send"), body.len())
    })
}

/// Begins the span of a delivery that may take this long.
pub(super) fn processing(
    message: &BrokerMessage,
    arrival: &Arrival<'_>,
    within: Duration,
) -> WorkSpan {
    let mut context = Context::new(within);
    context.trace = arrival.trace;
    WorkSpan::start(context, || {
        let shown = Shown::new(arrival.way, arrival.subjects, &message.subject);
        shown.span(("consumer", "process", "process"), message.body.len())
    })
}

/// Returns the place in a trace that a header names, or `None` if its value isn't one.
#[cfg(any(feature = "messaging-amqp", feature = "messaging-nats"))]
pub(super) fn position(header: &str) -> Option<TraceContext> {
    let is_bounded = header.len() <= LONGEST;
    is_bounded.then(|| header.parse().ok())?
}

/// A destination, as spans show it.
struct Shown<'s> {
    way: Way<'s>,
    subject: &'s str,
    /// The pattern of the link that the subject matches, unless it matches all.
    template: Option<&'s str>,
    /// Whether it is where one reply is expected.
    is_temporary: bool,
}

impl<'s> Shown<'s> {
    fn new(way: Way<'s>, patterns: &'s Patterns, subject: &'s str) -> Self {
        let is_temporary = way.is_inbox(subject);
        let template = patterns.narrow(subject);
        Self {
            way,
            subject,
            template: template.filter(|_| !is_temporary),
            is_temporary,
        }
    }

    /// Returns the name of a span. Names are few, so there is no subject in any, but only what the
    /// link's settings say.
    fn name(&self, operation: &str) -> String {
        match self.template {
            Some(template) => format!("{operation} {template}"),
            None => operation.to_owned(),
        }
    }

    fn span(&self, (kind, operation, kind_of): (&str, &str, &str), size: usize) -> Span {
        tracing::span!(
            target: WorkSpan::TARGET,
            LEVEL,
            "message",
            otel.name = self.name(operation),
            otel.kind = kind,
            otel.status_description = Empty,
            messaging.system = self.way.system,
            messaging.operation.name = operation,
            "messaging.operation.type" = kind_of,
            messaging.destination.name = self.way.destination(self.subject),
            messaging.destination.template = self.template,
            messaging.destination.temporary = self.is_temporary.then_some(true),
            messaging.consumer.group.name = self.way.group(),
            messaging.rabbitmq.destination.routing_key = self.way.exchange.map(|_| self.subject),
            // Signed, as attributes of OpenTelemetry are: other numbers would become text.
            messaging.message.body.size = i64::try_from(size).unwrap_or(i64::MAX),
            "error.type" = Empty,
        )
    }
}

impl Way<'_> {
    /// A system without exchanges and queues.
    pub(super) const fn through(system: &'static str) -> Self {
        Self {
            system,
            exchange: None,
            receiver: None,
            inboxes: None,
        }
    }

    fn is_inbox(&self, subject: &str) -> bool {
        let rest = self
            .inboxes
            .and_then(|inboxes| subject.strip_prefix(inboxes));
        subject.starts_with(INBOX) || rest.is_some_and(|rest| rest.starts_with('.'))
    }

    /// Returns what the conventions of the system call the destination: with an exchange, that, the
    /// subject and the queue.
    fn destination(&self, subject: &str) -> String {
        let Some(exchange) = self.exchange else {
            return subject.to_owned();
        };
        let queue = self.receiver.filter(|queue| *queue != subject);
        let mut parts = vec![exchange, subject, queue.unwrap_or_default()];
        parts.retain(|part| !part.is_empty());
        parts.join(":")
    }

    /// Returns the group of receivers that share messages, if it isn't a part of the destination.
    fn group(&self) -> Option<&str> {
        self.receiver.filter(|_| self.exchange.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATS: Way<'_> = Way::through("nats");

    fn name(subjects: &[&str], subject: &str) -> String {
        let patterns = Patterns::new(subjects.iter().copied()).expect("valid");
        Shown::new(NATS, &patterns, subject).name("process")
    }

    #[test]
    fn names_are_those_of_patterns_and_never_of_subjects() {
        assert_eq!(name(&["a", "a.*"], "a.7"), "process a.*");
        assert_eq!(name(&["a.b"], "a.b"), "process a.b");
        assert_eq!(name(&[">"], "users.4711"), "process");
        assert_eq!(name(&[">", "users.*"], "users.4711"), "process users.*");
        assert_eq!(name(&[">"], "_INBOX.1.2"), "process");
        assert_eq!(name(&["_INBOX.1.*"], "_INBOX.1.2"), "process");
        let own = Way {
            inboxes: Some("_SHOP"),
            ..NATS
        };
        assert!(own.is_inbox("_SHOP.1") && own.is_inbox("_INBOX.1"));
        assert!(!own.is_inbox("_SHOPS.1"));
    }

    #[test]
    fn a_destination_of_amqp_has_exchange_key_and_queue() {
        let way = |exchange, receiver| Way {
            exchange: Some(exchange),
            receiver,
            ..Way::through("rabbitmq")
        };
        assert_eq!(way("x", None).destination("a"), "x:a");
        assert_eq!(way("x", Some("q")).destination("a"), "x:a:q");
        assert_eq!(way("", Some("a")).destination("a"), "a");
        assert_eq!(way("x", Some("q")).group(), None);
        let shared = Way {
            receiver: Some("g"),
            ..NATS
        };
        assert_eq!(
            (&*shared.destination("a"), shared.group()),
            ("a", Some("g"))
        );
    }

    #[cfg(any(feature = "messaging-amqp", feature = "messaging-nats"))]
    #[test]
    fn only_a_valid_header_of_bounded_size_counts() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            position(valid).map(|trace| trace.to_string()),
            Some(valid.to_owned())
        );
        let later = valid.replacen("00", "01", 1);
        assert!(position(&format!("{later}-{}", "x".repeat(LONGEST - 56))).is_some());
        for wrong in [
            "",
            "broken",
            &format!("{later}-{}", "x".repeat(LONGEST - 55)),
        ] {
            assert_eq!(position(wrong), None, "{wrong}");
        }
    }
}
