//! The config of a link from `messaging-amqp` to an actor.

use super::{
    message,
    settings::exchange,
    topology::{Binding, Queue},
};
use crate::{
    messaging::{Patterns, delivery::pause},
    period::Period,
};
use lapin::types::ShortString;
use lattice_core::link::LinkKey;
use lattice_provider_sdk::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// Bounds of the settings that are numbers.
const MOST_IN_FLIGHT: u16 = 1_000;
const MOST_DELIVERIES: u32 = 1_000;
/// Longest time that the handler and the pauses between deliveries may take together. A server
/// takes a message back whose receiver has it for longer than its `consumer_timeout`, half an hour
/// by default. A handler that takes longer would never end a delivery, so none would count.
const LONGEST_WAIT: Duration = Duration::from_mins(20);

/// The config of a link from `messaging-amqp` to an actor: which messages it receives, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subscription {
    /// The subjects: a pattern, or a list of them. They are routing keys of an exchange for topics.
    #[serde(alias = "subject")]
    #[schemars(with = "Vec<String>")]
    pub subjects: Patterns,
    /// The exchange. That of the provider by default. It is created, as a durable one for topics,
    /// if there is none with this name.
    #[serde(default)]
    pub exchange: Option<String>,
    /// The queue, which all replicas of the provider share. By default it is named after the
    /// lattice and the link. All that comes into it is handled: links that name the same one share
    /// its messages, whatever their subjects.
    #[serde(default)]
    pub queue: Option<String>,
    /// Whether the queue stays while no replica of the provider receives from it, with its
    /// messages, on several servers of a cluster. On by default. Without, it is deleted then.
    #[serde(default = "default::durable")]
    pub durable: bool,
    /// How long the queue stays while no replica of the provider receives from it. As long as its
    /// server by default.
    #[serde(default)]
    pub expires: Option<Period>,
    /// How many messages are handled at once, of all replicas of the provider together. 16 by
    /// default; with 1, they are handled in order.
    #[serde(default = "default::max_in_flight")]
    pub max_in_flight: u16,
    /// How long the handler may take. `30s` by default. Together with the pauses between all
    /// deliveries, at most 20 minutes.
    #[serde(default = "default::timeout")]
    pub timeout: Period,
    /// How often a message is delivered at most while its handler fails. 5 by default.
    #[serde(default = "default::max_deliver")]
    pub max_deliver: u32,
    /// The pause before the second delivery, which doubles with each further one. `1s` by default.
    #[serde(default = "default::backoff")]
    pub backoff: Period,
    /// The subject to which a message is published that was delivered as often as allowed. A queue
    /// has to receive it there. None by default: the message is logged, and rejected, so that it
    /// goes to the dead-letter exchange of its queue if a policy of the server gives it one.
    #[serde(default)]
    pub dead_letter: Option<String>,
    /// A durable queue that keeps what is published to `dead-letter`. It is created if there is
    /// none with this name. None by default.
    #[serde(default)]
    pub dead_letter_queue: Option<String>,
}

mod default {
    use super::Period;

    pub(super) fn durable() -> bool {
        true
    }

    pub(super) fn max_in_flight() -> u16 {
        16
    }

    pub(super) fn timeout() -> Period {
        Period::seconds(30)
    }

    pub(super) fn max_deliver() -> u32 {
        5
    }

    pub(super) fn backoff() -> Period {
        Period::seconds(1)
    }
}

/// Where the messages of a link come from, and where those go that it can't handle.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) exchange: ShortString,
    pub(super) queue: Queue,
    pub(super) bindings: BTreeSet<Binding>,
    /// The subject for messages that were not handled.
    pub(super) dead_letter: Option<ShortString>,
    /// What keeps them.
    pub(super) dead_letter_queue: Option<Queue>,
}

impl Subscription {
    /// Receives messages with these subjects, which are patterns. The rest has its defaults.
    ///
    /// # Errors
    /// Fails with what is wrong with a pattern.
    pub fn to<T: Into<String>>(subjects: impl IntoIterator<Item = T>) -> Result<Self, Refusal> {
        Ok(Self {
            subjects: Patterns::new(subjects)?,
            exchange: None,
            queue: None,
            durable: default::durable(),
            expires: None,
            max_in_flight: default::max_in_flight(),
            timeout: default::timeout(),
            max_deliver: default::max_deliver(),
            backoff: default::backoff(),
            dead_letter: None,
            dead_letter_queue: None,
        })
    }

    /// Returns the name that the link's queue has by default. Actors may not send to it: its first
    /// token is that of lattices.
    pub(super) fn name_of(lattice: &str, link: &LinkKey) -> String {
        // Names of lattices, components and links have neither dots nor spaces.
        format!("lattice.{lattice}_{}_{}", link.source, link.name)
    }

    /// Checks the config, and returns what it names on the server. `name` is that of the queue by
    /// default, and `provider` the exchange.
    pub(super) fn source(&self, name: &str, provider: &ShortString) -> Result<Source, Refusal> {
        self.check()?;
        let queue = queue("queue", self.queue.as_deref().unwrap_or(name))?;
        let exchange = match &self.exchange {
            Some(name) => exchange(name)?,
            None => provider.clone(),
        };
        let keys = self.subjects.texts().into_iter().map(|text| binding(&text));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let (mut dead_letter, mut keeper) = (None, None);
        if let Some(subject) = &self.dead_letter {
            crate::messaging::subject::check(subject).map_err(Refusal::new)?;
            if self.subjects.matches(subject) {
                return Err(Refusal::new(
                    "`dead-letter` is one of the link's own subjects; give it another one",
                ));
            }
            dead_letter = Some(message::key(subject).map_err(Refusal::new)?);
        }
        if let Some(name) = &self.dead_letter_queue {
            if dead_letter.is_none() {
                return Err(Refusal::new(
                    "`dead-letter-queue` needs the subject of its messages; set `dead-letter`, too",
                ));
            }
            let name = self::queue("dead-letter-queue", name)?;
            if name == queue {
                return Err(Refusal::new(
                    "`dead-letter-queue` is the link's own queue; give it another name",
                ));
            }
            keeper = Some(Queue::keeping(name));
        }
        Ok(Source {
            bindings: keys
                .into_iter()
                .map(|key| (exchange.clone(), key))
                .collect(),
            exchange,
            queue: Queue {
                name: queue,
                is_durable: self.durable,
                has_one_receiver: true,
                expires: self.expires.map(Period::length),
            },
            dead_letter,
            dead_letter_queue: keeper,
        })
    }

    /// Checks the bounds.
    fn check(&self) -> Result<(), Refusal> {
        for (name, value, most) in [
            (
                "max-in-flight",
                u32::from(self.max_in_flight),
                u32::from(MOST_IN_FLIGHT),
            ),
            ("max-deliver", self.max_deliver, MOST_DELIVERIES),
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
        if let Some(expires) = self.expires {
            let month = Duration::from_hours(30 * 24);
            expires.check("expires", Duration::from_secs(1), month)?;
        }
        let pauses = (1..self.max_deliver).map(|failures| pause(self.backoff, failures));
        let wait = pauses.sum::<Duration>() + self.timeout.length();
        if wait > LONGEST_WAIT {
            return Err(Refusal::new(format!(
                "`timeout` and the pauses between `max-deliver` deliveries take {} min, and servers \
                 take messages back after half an hour; lower `max-deliver` or `backoff`, or \
                 `timeout`, so that they take {} min at most",
                wait.as_secs() / 60,
                LONGEST_WAIT.as_secs() / 60
            )));
        }
        Ok(())
    }
}

/// Checks the name of a queue.
fn queue(setting: &str, name: &str) -> Result<ShortString, Refusal> {
    let is_allowed = !name.is_empty() && !name.starts_with("amq.");
    let checked = ShortString::try_new(name).ok();
    checked.filter(|_| is_allowed).ok_or_else(|| {
        Refusal::new(format!(
            "`{setting}` isn't a name: it has from 1 to 255 bytes, and doesn't start with `amq.`; \
             name the queue in the link's config"
        ))
    })
}

/// Returns a pattern as exchanges for topics have it: `#` stands for zero or more tokens.
fn binding(pattern: &str) -> Result<ShortString, Refusal> {
    if pattern.split('.').any(|token| token == "#") {
        return Err(Refusal::new(
            "`#` in `subjects` is a wildcard of AMQP; write `>` at the end, for one or more tokens",
        ));
    }
    let key = match pattern.strip_suffix('>') {
        Some(rest) => format!("{rest}*.#"),
        None => pattern.to_owned(),
    };
    message::key(&key).map_err(Refusal::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Result<Source, Refusal> {
        let parsed: Subscription = serde_json::from_str(text).expect(text);
        parsed.source("lattice.q", &"amq.topic".into())
    }

    #[test]
    fn a_config_needs_only_subjects() {
        let parsed: Subscription = serde_json::from_str(r#"{"subject": "a.*"}"#).expect("valid");
        assert_eq!(parsed, Subscription::to(["a.*"]).expect("valid"));
        let text = serde_json::to_string(&parsed).expect("JSON");
        let again: Subscription = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, parsed);
        let source = source(&text).expect("valid");
        assert_eq!(source.queue.name.as_str(), "lattice.q");
        assert!(source.queue.is_durable && source.dead_letter.is_none());
    }

    #[test]
    fn patterns_are_those_of_an_exchange_for_topics() {
        let source = source(r#"{"subjects": ["a.*", "a.>", ">", "a#.b"], "exchange": "x"}"#);
        let bindings = source.expect("valid").bindings;
        let bindings: Vec<_> = bindings
            .iter()
            .map(|(exchange, key)| (exchange.as_str(), key.as_str()))
            .collect();
        let expected = ["*.#", "a#.b", "a.*", "a.*.#"].map(|key| ("x", key));
        assert_eq!(bindings, expected);
    }

    #[test]
    fn a_wrong_config_is_refused_by_name() {
        for (more, expected) in [
            (r#""max-in-flight": 0"#, "`max-in-flight` is 0"),
            (r#""max-in-flight": 1001"#, "`max-in-flight` is 1001"),
            (r#""max-deliver": 0"#, "`max-deliver` is 0"),
            (r#""timeout": "0s""#, "`timeout` is 0ms"),
            (r#""max-deliver": 40"#, "lower `max-deliver` or `backoff`"),
            (r#""timeout": "31m""#, "`timeout` and the pauses"),
            (r#""expires": "1ms""#, "`expires` is 1ms"),
            (r#""exchange": """#, "`exchange` isn't a name"),
            (r#""queue": "amq.q""#, "`queue` isn't a name"),
            (r#""dead-letter": "b.*""#, "isn't a subject"),
            (r#""dead-letter": "a.dead""#, "own subjects"),
            (r#""dead-letter-queue": "d""#, "set `dead-letter`"),
            (
                r#""dead-letter": "d", "queue": "q", "dead-letter-queue": "q""#,
                "own queue",
            ),
        ] {
            let text = format!(r#"{{"subjects": "a.>", {more}}}"#);
            let refusal = source(&text).expect_err(more);
            assert!(refusal.reason().contains(expected), "{refusal}");
        }
        let refusal = source(r#"{"subjects": "a.#"}"#).expect_err("a wildcard");
        assert!(refusal.reason().contains("wildcard of AMQP"), "{refusal}");
        let long = format!(r#"{{"subjects": "{}"}}"#, "a".repeat(256));
        let refusal = source(&long).expect_err("too long");
        assert!(refusal.reason().contains("at most 255 bytes"), "{refusal}");
    }
}
