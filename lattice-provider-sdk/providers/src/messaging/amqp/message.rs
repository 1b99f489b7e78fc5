//! Messages of handlers and of the server.
//!
//! | a handler's message | of the server |
//! | --- | --- |
//! | `subject` | the routing key |
//! | `reply-to`, a subject | the header `Lattice-Reply-To`: a reply is published to that subject |
//! | `reply-to`, `_INBOX.<queue>.<correlation>` | the properties `reply-to` and `correlation-id`: a reply is sent to that queue |
//!
//! The place of a message in a trace is the header `traceparent`.
//!
//! Queue and correlation id are in Base64, so that any of them makes a subject.

use super::session::Outgoing;
use crate::messaging::{
    INBOX,
    bindings::wasmcloud::messaging::types::BrokerMessage,
    spans::{TRACEPARENT, position},
    subject,
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use lattice_core::id::TraceContext;
use std::mem;

/// The header with the subject to which a reply is published.
const REPLY_TO: &str = "Lattice-Reply-To";
/// The header in which the server counts how often a message came back to its queue.
const RETURNS: &str = "x-delivery-count";
/// The mode of messages that the server keeps on its disk, and of those that it doesn't.
const LASTING: u8 = 2;
const PASSING: u8 = 1;
/// Longest reason in a header, in bytes. It is one line for a person, not a log.
const LONGEST_REASON: usize = 1_024;
/// What the names of queues start with that the server has named.
const NAMED_BY_SERVER: &str = "amq.";

/// Where a reply goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) queue: ShortString,
    pub(super) correlation: Option<ShortString>,
}

impl Address {
    /// Parses the subject of a reply to another program.
    pub(super) fn parse(subject: &str) -> Result<Self, String> {
        let parsed = || {
            let mut tokens = subject.strip_prefix(INBOX)?.split('.');
            let queue = decode(tokens.next()?)?;
            let correlation = match tokens.next() {
                Some(token) => Some(decode(token)?),
                None => None,
            };
            let address = Self { queue, correlation };
            tokens.next().is_none().then_some(address)
        };
        parsed().ok_or_else(|| format!("`{}` isn't where a reply goes", subject.escape_debug()))
    }

    /// Returns whether the server has named the queue. Only those know it who were told.
    pub(super) fn is_private(&self) -> bool {
        self.queue.as_str().starts_with(NAMED_BY_SERVER)
    }

    /// Returns the subject of a reply.
    fn subject(&self) -> String {
        let queue = encode(&self.queue);
        match &self.correlation {
            Some(correlation) => format!("{INBOX}{queue}.{}", encode(correlation)),
            None => format!("{INBOX}{queue}"),
        }
    }

    fn properties(self, properties: BasicProperties) -> BasicProperties {
        let properties = properties.with_reply_to(self.queue);
        match self.correlation {
            Some(correlation) => properties.with_correlation_id(correlation),
            None => properties,
        }
    }
}

fn encode(text: &ShortString) -> String {
    BASE64URL_NOPAD.encode(text.as_str().as_bytes())
}

fn decode(token: &str) -> Option<ShortString> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    present(ShortString::try_new(String::from_utf8(bytes).ok()?).ok())
}

/// Returns a property that isn't empty.
fn present(property: Option<ShortString>) -> Option<ShortString> {
    property.filter(|text| !text.as_str().is_empty())
}

/// Returns a subject as a routing key.
pub(super) fn key(subject: &str) -> Result<ShortString, String> {
    ShortString::try_new(subject).map_err(|_| {
        format!(
            "a subject has at most 255 bytes on AMQP, and this one has {}",
            subject.len()
        )
    })
}

/// Returns a message of the server as handlers and requests get it.
pub(super) fn received(delivery: &mut Delivery) -> BrokerMessage {
    let properties = &delivery.properties;
    let reply_to = match present(properties.reply_to().clone()) {
        Some(queue) => {
            let correlation = present(properties.correlation_id().clone());
            Some(Address { queue, correlation }.subject())
        }
        None => header(properties, REPLY_TO)
            .and_then(text)
            .filter(|subject| subject::check(subject).is_ok()),
    };
    BrokerMessage {
        subject: delivery.routing_key.as_str().to_owned(),
        body: mem::take(&mut delivery.data).into(),
        reply_to,
    }
}

/// Returns the properties of a message that expects replies at `reply_to`.
pub(super) fn properties(reply_to: Option<String>) -> Result<BasicProperties, String> {
    let properties = BasicProperties::default().with_delivery_mode(LASTING);
    match reply_to {
        None => Ok(properties),
        Some(subject) if subject.starts_with(INBOX) => {
            Ok(Address::parse(&subject)?.properties(properties))
        }
        Some(subject) => {
            let mut headers = FieldTable::default();
            insert(&mut headers, REPLY_TO, &subject);
            Ok(properties.with_headers(headers))
        }
    }
}

/// Returns the properties of a request that expires after some milliseconds.
pub(super) fn request(address: Address, millis: u128) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(PASSING)
        .with_expiration(millis.to_string().into());
    address.properties(properties)
}

/// Returns a reply, as it is sent to the queue of its address.
pub(super) fn reply(address: Address, body: Bytes) -> Outgoing {
    let mut properties = BasicProperties::default().with_delivery_mode(PASSING);
    if let Some(correlation) = address.correlation {
        properties = properties.with_correlation_id(correlation);
    }
    Outgoing {
        exchange: "".into(),
        key: address.queue,
        properties,
        body,
        is_mandatory: false,
    }
}

/// Returns the properties with the place of their message in a trace, if it has one.
pub(super) fn traced(properties: BasicProperties, trace: Option<TraceContext>) -> BasicProperties {
    let Some(trace) = trace else {
        return properties;
    };
    let mut headers = properties.headers().clone().unwrap_or_default();
    insert(&mut headers, TRACEPARENT, &trace.to_string());
    properties.with_headers(headers)
}

/// Returns the place in a trace that a message has, if its header is valid.
pub(super) fn trace_of(properties: &BasicProperties) -> Option<TraceContext> {
    let value = header(properties, TRACEPARENT)?.as_long_string()?;
    position(str::from_utf8(value.as_bytes()).ok()?)
}

/// Returns how often a message came back to its queue. Publishers can't set it.
pub(super) fn returns(is_redelivered: bool, properties: &BasicProperties) -> u32 {
    if !is_redelivered {
        return 0;
    }
    let counted = header(properties, RETURNS).and_then(number);
    // Queues without a count tell only that it did.
    counted.unwrap_or(1).max(1)
}

/// What is known of a message that was not handled.
pub(super) struct SetAside<'a> {
    pub(super) reason: &'a str,
    pub(super) subject: &'a str,
    pub(super) exchange: &'a str,
    pub(super) queue: &'a str,
    pub(super) deliveries: u32,
}

impl SetAside<'_> {
    /// Returns the properties of a message that is set aside: its own, as far as they describe its
    /// content, and why it was not handled.
    pub(super) fn properties(&self, original: &BasicProperties) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (name, value) in original.headers().iter().flatten() {
            // The others are the server's own.
            if !name.as_str().starts_with("x-") {
                headers.insert(name.clone(), value.clone());
            }
        }
        let end = self.reason.floor_char_boundary(LONGEST_REASON);
        for (name, value) in [
            ("Lattice-Reason", &self.reason[..end]),
            ("Lattice-Subject", self.subject),
            ("Lattice-Exchange", self.exchange),
            ("Lattice-Queue", self.queue),
            ("Lattice-Deliveries", &self.deliveries.to_string()),
        ] {
            insert(&mut headers, name, value);
        }
        let mut properties = BasicProperties::default()
            .with_delivery_mode(LASTING)
            .with_headers(headers);
        if let Some(value) = original.content_type().clone() {
            properties = properties.with_content_type(value);
        }
        if let Some(value) = original.content_encoding().clone() {
            properties = properties.with_content_encoding(value);
        }
        if let Some(value) = original.message_id().clone() {
            properties = properties.with_message_id(value);
        }
        if let Some(value) = *original.timestamp() {
            properties = properties.with_timestamp(value);
        }
        if let Some(value) = original.kind().clone() {
            properties = properties.with_type(value);
        }
        if let Some(value) = original.app_id().clone() {
            properties = properties.with_app_id(value);
        }
        properties
    }
}

fn insert(headers: &mut FieldTable, name: &str, value: &str) {
    headers.insert(name.into(), AMQPValue::LongString(value.into()));
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn text(value: &AMQPValue) -> Option<String> {
    let bytes = value.as_long_string()?.as_bytes();
    String::from_utf8(bytes.to_vec()).ok()
}

fn number(value: &AMQPValue) -> Option<u32> {
    let number = match *value {
        AMQPValue::LongLongInt(number) => number,
        AMQPValue::LongInt(number) => number.into(),
        AMQPValue::LongUInt(number) => number.into(),
        AMQPValue::ShortInt(number) => number.into(),
        AMQPValue::ShortUInt(number) => number.into(),
        AMQPValue::ShortShortInt(number) => number.into(),
        AMQPValue::ShortShortUInt(number) => number.into(),
        _ => return None,
    };
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(queue: &str, correlation: Option<&str>) -> Address {
        Address {
            queue: queue.into(),
            correlation: correlation.map(Into::into),
        }
    }

    #[test]
    fn every_address_makes_a_subject_and_comes_back() {
        let long = "é".repeat(127);
        for address in [
            address("amq.gen-1.2", None),
            address("a b*>é\n", Some("*")),
            address(&long, Some(&long)),
        ] {
            let subject = address.subject();
            subject::check(&subject).expect("a subject");
            assert_eq!(Address::parse(&subject), Ok(address), "{subject}");
        }
        assert!(address("amq.gen-1", None).is_private());
        assert!(!address("orders", None).is_private());
    }

    #[test]
    fn other_subjects_are_no_addresses() {
        for subject in [
            "_INBOX.",
            "_INBOX..YQ",
            "_INBOX.YQ.YQ.YQ",
            "_INBOX.*",
            "_INBOX._w",
            "a",
        ] {
            let refusal = Address::parse(subject).expect_err(subject);
            assert!(refusal.contains("isn't where a reply goes"), "{refusal}");
        }
    }

    #[test]
    fn a_message_says_where_its_reply_goes() {
        let delivered = |properties| {
            let mut delivery = Delivery::mock(1, "x".into(), "a.b".into(), false, vec![7]);
            delivery.properties = properties;
            received(&mut delivery)
        };
        let plain = delivered(properties(None).expect("valid"));
        assert_eq!((&*plain.subject, &*plain.body), ("a.b", &[7][..]));
        assert_eq!(plain.reply_to, None);
        let subject = delivered(properties(Some("a.reply".to_owned())).expect("valid"));
        assert_eq!(subject.reply_to.as_deref(), Some("a.reply"));
        let inbox = address("amq.gen-1", Some("7")).subject();
        let program = delivered(properties(Some(inbox.clone())).expect("valid"));
        assert_eq!(program.reply_to, Some(inbox));
        properties(Some("_INBOX.*".to_owned())).expect_err("no address");
    }

    #[test]
    fn a_message_has_its_place_in_a_trace_beside_other_headers() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = trace.parse::<TraceContext>().expect("a traceparent");
        let untraced = properties(Some("a.reply".to_owned())).expect("valid");
        assert_eq!(traced(untraced.clone(), None), untraced);
        let properties = traced(untraced, Some(trace));
        assert_eq!(trace_of(&properties), Some(trace));
        let reply = header(&properties, REPLY_TO).and_then(text);
        assert_eq!(reply.as_deref(), Some("a.reply"));
        for value in [
            AMQPValue::LongString("broken".into()),
            AMQPValue::LongString("0".repeat(1_000).as_str().into()),
            AMQPValue::LongInt(1),
        ] {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.into(), value);
            let wrong = BasicProperties::default().with_headers(headers);
            assert_eq!(trace_of(&wrong), None);
        }
    }

    #[test]
    fn only_the_server_counts_deliveries() {
        let mut headers = FieldTable::default();
        headers.insert(RETURNS.into(), AMQPValue::LongLongInt(7));
        let counted = BasicProperties::default().with_headers(headers);
        assert_eq!(returns(true, &counted), 7);
        assert_eq!(returns(false, &counted), 0, "a publisher has set it");
        assert_eq!(returns(true, &BasicProperties::default()), 1);
    }

    #[test]
    fn what_is_set_aside_says_why_and_keeps_what_it_was() {
        let mut headers = FieldTable::default();
        headers.insert("mine".into(), AMQPValue::LongInt(1));
        headers.insert(RETURNS.into(), AMQPValue::LongLongInt(7));
        let original = BasicProperties::default()
            .with_headers(headers)
            .with_content_type("text/plain".into())
            .with_user_id("ada".into())
            .with_expiration("5".into());
        let reason = format!("{}é", "x".repeat(LONGEST_REASON - 1));
        let aside = SetAside {
            reason: &reason,
            subject: "a.b",
            exchange: "amq.topic",
            queue: "q",
            deliveries: 3,
        };
        let properties = aside.properties(&original);
        let of = |name: &str| header(&properties, name).and_then(text);
        assert_eq!(
            of("Lattice-Reason").map(|text| text.len()),
            Some(LONGEST_REASON - 1)
        );
        assert_eq!(of("Lattice-Subject").as_deref(), Some("a.b"));
        assert_eq!(of("Lattice-Deliveries").as_deref(), Some("3"));
        assert!(header(&properties, "mine").is_some());
        assert!(header(&properties, RETURNS).is_none(), "it is the server's");
        assert!(properties.user_id().is_none() && properties.expiration().is_none());
        assert_eq!(
            properties.content_type().as_ref().map(ShortString::as_str),
            Some("text/plain")
        );
    }

    #[test]
    fn a_long_subject_is_refused() {
        let refusal = key(&"a".repeat(256)).expect_err("too long");
        assert!(refusal.contains("at most 255 bytes"), "{refusal}");
    }
}
