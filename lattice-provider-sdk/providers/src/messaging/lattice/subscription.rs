//! The config of a link from `messaging-lattice` to an actor.

use crate::{messaging::Patterns, period::Period};
use lattice_provider_sdk::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds of the settings that are numbers.
const MOST_QUEUED: usize = 100_000;
const MOST_IN_FLIGHT: usize = 1_000;
const MOST_DELIVERIES: u32 = 1_000;

/// The config of a link from `messaging-lattice` to an actor: which messages it receives, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subscription {
    /// The subjects: a pattern, or a list of them.
    #[serde(alias = "subject")]
    #[schemars(with = "Vec<String>")]
    pub subjects: Patterns,
    /// How many messages may wait, per replica of the provider. 1,000 by default. Together with
    /// those that are being handled, they may have 64 MiB. Publishing fails while it is full.
    #[serde(default = "default::queue")]
    pub queue: usize,
    /// How many messages are handled at once, per replica of the provider. 16 by default; with 1,
    /// they are handled in order.
    #[serde(default = "default::max_in_flight")]
    pub max_in_flight: usize,
    /// How long the handler may take. `30s` by default.
    #[serde(default = "default::timeout")]
    pub timeout: Period,
    /// How often a message is delivered at most while its handler fails. 3 by default.
    #[serde(default = "default::max_deliver")]
    pub max_deliver: u32,
    /// The pause before the second delivery, which doubles with each further one. `1s` by default.
    #[serde(default = "default::backoff")]
    pub backoff: Period,
    /// The subject to which a message is published that was delivered as often as allowed. None by
    /// default: it is logged.
    #[serde(default)]
    pub dead_letter: Option<String>,
    /// What that message has as its body. `body` by default.
    #[serde(default)]
    #[schemars(with = "String", extend("enum" = ["body", "record"]))]
    pub dead_letter_content: DeadLetterContent,
}

/// What the body of a message is that is set aside. Its `reply-to` is the subject of the message
/// that was not handled, in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadLetterContent {
    /// `body`: the body of the message that was not handled.
    #[default]
    Body,
    /// `record`: a JSON object with the message and why it was not handled. It has `subject`,
    /// `reply-to` (or null), `reason` (at most 1,024 bytes), `deliveries` (a number), and `body`
    /// (in Base64).
    Record,
}

mod default {
    use super::Period;

    pub(super) fn queue() -> usize {
        1_000
    }

    pub(super) fn max_in_flight() -> usize {
        16
    }

    pub(super) fn timeout() -> Period {
        Period::seconds(30)
    }

    pub(super) fn max_deliver() -> u32 {
        3
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
            queue: default::queue(),
            max_in_flight: default::max_in_flight(),
            timeout: default::timeout(),
            max_deliver: default::max_deliver(),
            backoff: default::backoff(),
            dead_letter: None,
            dead_letter_content: DeadLetterContent::default(),
        })
    }

    /// Checks the bounds.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let (queue, in_flight) = (self.queue, self.max_in_flight);
        for (name, value, most) in [
            ("queue", queue, MOST_QUEUED),
            ("max-in-flight", in_flight, MOST_IN_FLIGHT),
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
        let milli = Duration::from_millis(1);
        self.timeout
            .check("timeout", milli, Duration::from_hours(1))?;
        self.backoff
            .check("backoff", milli, Duration::from_hours(1))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_needs_only_subjects() {
        let parsed: Subscription = serde_json::from_str(r#"{"subject": "a.*"}"#).expect("valid");
        assert_eq!(parsed, Subscription::to(["a.*"]).expect("valid"));
        parsed.check().expect("defaults are within bounds");
        assert_eq!(parsed.dead_letter_content, DeadLetterContent::Body);
        let text = serde_json::to_string(&parsed).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Subscription>(&text).expect("JSON"),
            parsed
        );
    }

    #[test]
    fn a_wrong_config_is_refused_by_name() {
        for (text, expected) in [
            (r#"{"subjects": "a", "queue": 0}"#, "`queue` is 0"),
            (
                r#"{"subjects": "a", "max-in-flight": 1001}"#,
                "`max-in-flight` is 1001",
            ),
            (
                r#"{"subjects": "a", "max-deliver": 0}"#,
                "`max-deliver` is 0",
            ),
            (r#"{"subjects": "a", "timeout": "0s"}"#, "`timeout` is 0ms"),
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
        for text in [
            "{}",
            r#"{"subjects": "a", "cron": "* * * * *"}"#,
            r#"{"subjects": "a", "dead-letter-content": "headers"}"#,
            "null",
        ] {
            assert!(
                serde_json::from_str::<Subscription>(text).is_err(),
                "{text}"
            );
        }
    }
}
