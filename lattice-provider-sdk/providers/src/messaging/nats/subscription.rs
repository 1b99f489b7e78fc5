//! The config of a link from `messaging-nats` to an actor.

use crate::{messaging::Patterns, period::Period};
use lattice_core::link::LinkKey;
use lattice_provider_sdk::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds of the settings that are numbers.
const MOST_IN_FLIGHT: usize = 1_000;
const MOST_DELIVERIES: u32 = 1_000;
/// Longest name of a stream, a consumer or a queue group in bytes, as servers recommend.
const LONGEST_NAME: usize = 255;

/// The config of a link from `messaging-nats` to an actor: which messages it receives, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subscription {
    /// The subjects: a pattern, or a list of them.
    #[serde(alias = "subject")]
    #[schemars(with = "Vec<String>")]
    pub subjects: Patterns,
    /// The queue group without a stream. All replicas of the provider share one, so that a link
    /// receives each message once; subscriptions of other programs can join it. By default it is
    /// named after the lattice and the link.
    #[serde(default)]
    pub queue_group: Option<String>,
    /// The stream to receive from. None by default: messages come without one, at most once.
    #[serde(default)]
    pub stream: Option<String>,
    /// Whether the stream is created when there is none with this name, for `subjects` and
    /// `dead-letter`. Off by default.
    #[serde(default)]
    pub create_stream: bool,
    /// The durable consumer of the stream, which all replicas of the provider share. By default it
    /// is named after the lattice and the link.
    #[serde(default)]
    pub durable: Option<String>,
    /// How many messages are handled at once: with a stream, of all replicas of the provider
    /// together. 16 by default; with 1, they are handled in order.
    #[serde(default = "default::max_in_flight")]
    pub max_in_flight: usize,
    /// How long the handler may take. `30s` by default.
    #[serde(default = "default::timeout")]
    pub timeout: Period,
    /// How long after the last sign of life of a replica of the provider its messages are delivered
    /// to another one. Only with a stream. `30s` by default.
    #[serde(default = "default::ack_wait")]
    pub ack_wait: Period,
    /// How often a message is delivered at most while its handler fails. Only with a stream. 5 by
    /// default.
    #[serde(default = "default::max_deliver")]
    pub max_deliver: u32,
    /// The pause before the second delivery, which doubles with each further one. Only with a
    /// stream. `1s` by default.
    #[serde(default = "default::backoff")]
    pub backoff: Period,
    /// The subject to which a message is published that was delivered as often as allowed. With a
    /// stream, it has to be a subject of a stream, too. None by default: the message is logged, and
    /// stays in its stream if that keeps handled messages.
    #[serde(default)]
    pub dead_letter: Option<String>,
}

mod default {
    use super::Period;

    pub(super) fn max_in_flight() -> usize {
        16
    }

    pub(super) fn timeout() -> Period {
        Period::seconds(30)
    }

    pub(super) fn ack_wait() -> Period {
        Period::seconds(30)
    }

    pub(super) fn max_deliver() -> u32 {
        5
    }

    pub(super) fn backoff() -> Period {
        Period::seconds(1)
    }
}

impl Subscription {
    /// Receives messages with these subjects, which are patterns. The rest has its defaults.
    ///
    /// # Errors
    /// Fails with what is wrong with a pattern.
    pub fn to<T: Into<String>>(subjects: impl IntoIterator<Item = T>) -> Result<Self, Refusal> {
        Ok(Self {
            subjects: Patterns::new(subjects)?,
            queue_group: None,
            stream: None,
            create_stream: false,
            durable: None,
            max_in_flight: default::max_in_flight(),
            timeout: default::timeout(),
            ack_wait: default::ack_wait(),
            max_deliver: default::max_deliver(),
            backoff: default::backoff(),
            dead_letter: None,
        })
    }

    /// Receives from this stream.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Returns the name that the link has on the server by default, for its queue group and its
    /// durable consumer.
    pub(super) fn name_of(lattice: &str, link: &LinkKey) -> String {
        // Names of lattices, components and links have neither dots nor spaces.
        format!("{lattice}_{}_{}", link.source, link.name)
    }

    /// Checks the bounds.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for (name, value, most) in [
            ("max-in-flight", self.max_in_flight, MOST_IN_FLIGHT),
            (
                "max-deliver",
                self.max_deliver as usize,
                MOST_DELIVERIES as usize,
            ),
        ] {
            if !(1..=most).contains(&value) {
                return Err(Refusal::new(format!(
                    "`{name}` is {value}; it must be from 1 to {most}"
                )));
            }
        }
        let (milli, hour) = (Duration::from_millis(1), Duration::from_hours(1));
        self.timeout.check("timeout", milli, hour)?;
        self.backoff.check("backoff", milli, hour)?;
        self.ack_wait
            .check("ack-wait", Duration::from_millis(100), hour)?;
        for (setting, name) in [
            ("stream", &self.stream),
            ("durable", &self.durable),
            ("queue-group", &self.queue_group),
        ] {
            check_name(setting, name.as_deref())?;
        }
        if self.stream.is_none() && (self.create_stream || self.durable.is_some()) {
            return Err(Refusal::new(
                "`create-stream` and `durable` belong to a stream; set `stream`, too",
            ));
        }
        if self.stream.is_some() && self.queue_group.is_some() {
            return Err(Refusal::new(
                "`queue-group` is for messages without a stream; replicas share the consumer of a \
                 stream, which `durable` names",
            ));
        }
        if let Some(subject) = &self.dead_letter {
            crate::messaging::subject::check(subject).map_err(Refusal::new)?;
            if self.subjects.matches(subject) {
                return Err(Refusal::new(
                    "`dead-letter` is one of the link's own subjects; give it another one",
                ));
            }
        }
        Ok(())
    }
}

fn check_name(setting: &str, name: Option<&str>) -> Result<(), Refusal> {
    let Some(name) = name else { return Ok(()) };
    let is_allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '.' | '*' | '>' | '/' | '\\');
    if (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{setting}` isn't a name: it has from 1 to {LONGEST_NAME} visible ASCII characters \
         without `.`, `*`, `>` and slashes"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_needs_only_subjects() {
        let parsed: Subscription = serde_json::from_str(r#"{"subject": "a.*"}"#).expect("valid");
        assert_eq!(parsed, Subscription::to(["a.*"]).expect("valid"));
        parsed.check().expect("defaults are within bounds");
        let text = serde_json::to_string(&parsed.clone().stream("A")).expect("JSON");
        let again: Subscription = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again.stream.as_deref(), Some("A"));
    }

    #[test]
    fn a_wrong_config_is_refused_by_name() {
        for (text, expected) in [
            (
                r#"{"subjects": "a", "max-in-flight": 0}"#,
                "`max-in-flight` is 0",
            ),
            (
                r#"{"subjects": "a", "max-deliver": 0}"#,
                "`max-deliver` is 0",
            ),
            (
                r#"{"subjects": "a", "ack-wait": "1ms"}"#,
                "`ack-wait` is 1ms",
            ),
            (
                r#"{"subjects": "a", "stream": "a.b"}"#,
                "`stream` isn't a name",
            ),
            (r#"{"subjects": "a", "durable": "d"}"#, "belong to a stream"),
            (
                r#"{"subjects": "a", "stream": "A", "queue-group": "q"}"#,
                "`queue-group` is",
            ),
            (
                r#"{"subjects": "a", "queue-group": "q q"}"#,
                "`queue-group` isn't a name",
            ),
            (
                r#"{"subjects": "a", "dead-letter": "b.*"}"#,
                "isn't a subject",
            ),
            (
                r#"{"subjects": "a.>", "dead-letter": "a.dead"}"#,
                "own subjects",
            ),
        ] {
            let parsed: Subscription = serde_json::from_str(text).expect(text);
            let refusal = parsed.check().expect_err(text);
            assert!(refusal.reason().contains(expected), "{refusal}");
        }
    }
}
