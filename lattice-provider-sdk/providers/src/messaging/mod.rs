//! Messaging: `wasmcloud:messaging@0.2.0`.
//!
//! An actor publishes over a link from itself to the provider, through
//! `wasmcloud:messaging/consumer`. It receives over a link from the provider to itself, through
//! `wasmcloud:messaging/handler`, whose config names the subjects. So what an actor receives is
//! declared like everything else that it may do.
//!
//! ```
//! use lattice_provider_sdk::{Call, Lattice, Link, Stateless, serve};
//! use lattice_providers::messaging::{LatticeMessaging, lattice::Subscription};
//! use tokio::sync::mpsc;
//!
//! // An actor that receives messages. Here it is native; guests export the same interface.
//! mod counter {
//!     lattice_provider_sdk::provider!({ inline: "
//!         package example:counter;
//!         world counter { export wasmcloud:messaging/handler@0.2.0; }
//!     " });
//! }
//! // One that sends them.
//! mod web {
//!     lattice_provider_sdk::client!({ inline: "
//!         package example:web;
//!         world web { import wasmcloud:messaging/consumer@0.2.0; }
//!     " });
//! }
//! use counter::wasmcloud::messaging::{handler::Handler, types::BrokerMessage};
//! use web::wasmcloud::messaging::{consumer::ConsumerClient, types};
//!
//! struct Counter(mpsc::Sender<String>);
//! impl Stateless for Counter { type World = counter::World; }
//! impl Handler for Counter {
//!     async fn handle_message(&self, _: &Call<Self>, new: BrokerMessage) -> Result<(), String> {
//!         self.0.send(new.subject).await.map_err(|error| error.to_string())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let (sender, mut received) = mpsc::channel(8);
//! let _messaging = serve(&lattice, "messaging", LatticeMessaging::default()).await?;
//! let _counter = serve(&lattice, "counter", Counter(sender)).await?;
//!
//! let link = Link::new("messaging", "wasmcloud:messaging/handler@0.2.0", "counter")?;
//! let clicks = Subscription::to(["clicks.*"]).map_err(|refusal| refusal.reason().to_owned())?;
//! lattice.links().put(link.config(&clicks)?).await?;
//! let link = Link::new("web", "wasmcloud:messaging/consumer@0.2.0", "messaging")?;
//! lattice.links().put(link).await?;
//!
//! let consumer = ConsumerClient::new(lattice.caller("web")?);
//! let click = types::BrokerMessage {
//!     subject: "clicks.home".to_owned(),
//!     body: "1".into(),
//!     reply_to: None,
//! };
//! # // The provider learns of a new link a moment after it was put.
//! # while received.is_empty() {
//! consumer.publish(&click).await??;
//! # tokio::time::sleep(std::time::Duration::from_millis(5)).await;
//! # }
//! assert_eq!(received.recv().await.as_deref(), Some("clicks.home"));
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! | | [`messaging-lattice`](lattice) | [`messaging-nats`](nats), subjects | [`messaging-nats`](nats), streams | [`messaging-amqp`](amqp) |
//! | --- | --- | --- | --- | --- |
//! | a message reaches | each matching link once, any replica of the actor | the same | the same | the same |
//! | delivery | at least once while the replica of the provider that took the message lives | at most once | at least once | at least once |
//! | lost when a host of the provider is killed | what waits there | what it was handling | nothing | nothing |
//! | lost when a host of the actor is killed | nothing: delivered to another replica | what it was handling | nothing | nothing |
//! | a handler that fails | delivered again after a growing pause, `max-deliver` times (3) | logged | delivered again after a growing pause, `max-deliver` times (5) | the same |
//! | set aside then | to `dead-letter`, with what it needs to be replayed, and with the reason if the link asks for a [record](lattice::DeadLetterContent) | to `dead-letter`, with the reason | to `dead-letter`, with the reason and what it needs to be replayed | the same |
//! | order | of one publisher on one replica of the provider, with `max-in-flight` 1 | of the server, with `max-in-flight` 1 and one replica of the provider | of the stream, with `max-in-flight` 1, except for messages that are delivered again | of the queue, with `max-in-flight` 1 |
//! | a full queue | `publish` fails, and no link gets the message | the server drops messages for the slow subscriber | the stream holds the messages | the queue holds the messages; `publish` fails if it refuses them |
//! | replies | `request` waits for one; several replicas of the provider pass it on to each other | by NATS | none: the handler gets no `reply-to` | by AMQP |
//! | fenced | no | no | no | no |
//!
//! # Traces
//!
//! Publishing a message, and each delivery, is a span, and the handler's calls belong to the trace
//! of the publisher. Over NATS and AMQP, the place in the trace is the header `traceparent` of the
//! message, so that other programs take part: subject, body and `reply-to` stay as they are. The
//! header of another program is used if it is valid, with its decision whether the trace is
//! sampled. Messages have none where no process has telemetry, and what isn't sampled has one that
//! says so. A message for which there is no room with the header is sent without it; where a stream
//! of NATS limits the size of its messages, the 82 bytes of the header count.
//!
//! A message that is delivered again may have been handled before: its handler succeeded, and its
//! host or the acknowledgement was lost. Handlers have to be idempotent, or `max-deliver` is 1.

#[cfg(feature = "messaging-amqp")]
pub mod amqp;
mod delivery;
mod kept;
pub mod lattice;
#[cfg(feature = "messaging-nats")]
pub mod nats;
mod spans;
mod subject;

#[cfg(feature = "messaging-amqp")]
pub use amqp::{AmqpMessaging, AmqpSettings};
pub use lattice::LatticeMessaging;
#[cfg(feature = "messaging-nats")]
pub use nats::NatsMessaging;
pub use subject::{Pattern, Patterns};

use crate::Builtin;
use lattice_core::name::InterfaceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) mod bindings {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:messaging-provider;
        world messaging {
            import wasmcloud:messaging/handler@0.2.0;
            export wasmcloud:messaging/consumer@0.2.0;
        }
    " });
}

/// The interface of those who receive messages.
pub const HANDLER: &str = "wasmcloud:messaging/handler@0.2.0";
/// The interface of those who send messages.
pub const CONSUMER: &str = "wasmcloud:messaging/consumer@0.2.0";

/// Returns the providers of this module that manifests can name.
pub(crate) fn builtins() -> Vec<Builtin> {
    Vec::from([
        #[cfg(feature = "messaging-amqp")]
        Builtin::new("messaging-amqp", AmqpMessaging::new),
        Builtin::new("messaging-lattice", LatticeMessaging::new),
        #[cfg(feature = "messaging-nats")]
        Builtin::new("messaging-nats", NatsMessaging::new),
    ])
}

/// The config of a link from an actor to a messaging provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Publishing {
    /// The subjects to which it may publish, and at which its messages may expect replies: a
    /// pattern or a list of them. By default all but those of the server and of lattices, which
    /// start with `$` and are below `lattice`: they are allowed only by a pattern that names their
    /// first token. Replies to requests that it was sent are always allowed.
    #[schemars(with = "Vec<String>")]
    pub publish: Patterns,
    /// Whether publishing fails unless the message is stored: by a stream with `messaging-nats`, in
    /// a queue with `messaging-amqp`. Not for `messaging-lattice`. Off by default.
    pub stored: bool,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            publish: Patterns::all(),
            stored: false,
        }
    }
}

impl Publishing {
    /// Returns the JSON schema of the config.
    fn schema() -> Option<String> {
        serde_json::to_string(&schemars::schema_for!(Self)).ok()
    }

    /// Checks that the link may publish to `subject`, which may be where a reply is expected.
    fn check(&self, subject: &str) -> Result<(), String> {
        subject::check(subject)?;
        if subject.starts_with(INBOX) || self.publish.permit(subject) {
            return Ok(());
        }
        Err(format!(
            "this link may not publish to `{subject}`; add the subject to `publish` in its config"
        ))
    }
}

/// The beginning of the subjects at which requests expect their replies.
const INBOX: &str = "_INBOX.";

/// Returns the JSON schema of the config `C` of links to those who receive messages, if these are
/// what `interface` is about.
fn handler_schema<C: JsonSchema>(interface: &InterfaceName) -> Option<String> {
    let is_handler = interface.compat() == handler_interface().compat();
    is_handler.then(|| serde_json::to_string(&schemars::schema_for!(C)).ok())?
}

/// Returns the name of the handler interface.
fn handler_interface() -> InterfaceName {
    InterfaceName::new(HANDLER).expect("a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_publishes_to_its_subjects_and_replies_to_all() {
        let config = Publishing {
            publish: Patterns::new(["a.*"]).expect("valid"),
            stored: false,
        };
        config.check("a.b").expect("allowed");
        config.check("_INBOX.1.2").expect("a reply");
        let refusal = config.check("b").expect_err("another subject");
        assert!(refusal.contains("may not publish to `b`"), "{refusal}");
        assert!(Publishing::default().check("a.*").is_err(), "no subject");
        Publishing::default().check("b").expect("all by default");
        let refusal = Publishing::default().check("$JS.API.STREAM.LIST");
        assert!(refusal.is_err(), "the server's own");
    }

    /// Checks that a schema has these fields, each with a description, and with a default that is
    /// the one of `whole`.
    fn check_schema<C: JsonSchema + Serialize>(whole: &C, expected: &[&str]) {
        let schema = serde_json::to_value(schemars::schema_for!(C)).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let fields = schema["properties"].as_object().expect("fields");
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        let whole = serde_json::to_value(whole).expect("JSON");
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{name}");
            let is_required = schema["required"]
                .as_array()
                .is_some_and(|required| required.iter().any(|one| one == name));
            if !is_required {
                assert_eq!(field["default"], whole[name], "{name}");
            }
            // A page shows a field for it, and not bare JSON.
            assert!(
                field["type"].is_string() || field["type"].is_array(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_schema_of_publishing_has_every_field_with_its_default() {
        check_schema(&Publishing::default(), &["publish", "stored"]);
        let schema = serde_json::to_value(schemars::schema_for!(Publishing)).expect("JSON");
        assert_eq!(schema["properties"]["publish"]["items"]["type"], "string");
    }

    #[test]
    fn the_schemas_of_subscriptions_have_every_field_with_its_default() {
        let common = [
            "backoff",
            "dead-letter",
            "max-deliver",
            "max-in-flight",
            "subjects",
            "timeout",
        ];
        let with = |more: &[&'static str]| {
            let mut all = [&common[..], more].concat();
            all.sort_unstable();
            all
        };
        let own = lattice::Subscription::to(["a"]).expect("valid");
        check_schema(&own, &with(&["dead-letter-content", "queue"]));
        #[cfg(feature = "messaging-nats")]
        check_schema(
            &nats::Subscription::to(["a"]).expect("valid"),
            &with(&[
                "ack-wait",
                "create-stream",
                "durable",
                "queue-group",
                "stream",
            ]),
        );
        #[cfg(feature = "messaging-amqp")]
        check_schema(
            &amqp::Subscription::to(["a"]).expect("valid"),
            &with(&[
                "dead-letter-queue",
                "durable",
                "exchange",
                "expires",
                "queue",
            ]),
        );
    }
}
