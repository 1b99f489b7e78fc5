//! Messages that were not handled, as they are set aside.

use super::subscription::DeadLetterContent;
use crate::messaging::bindings::wasmcloud::messaging::types::BrokerMessage;
use data_encoding::BASE64;
use serde_json::json;

/// Longest reason in a record, in bytes. It is one line for a person, not a log.
const LONGEST_REASON: usize = 1_024;

/// What is known of a message that was not handled.
pub(super) struct Aside<'a> {
    pub(super) reason: &'a str,
    pub(super) deliveries: u32,
}

impl Aside<'_> {
    /// Returns the message that is published to the subject `to` in place of one that was not
    /// handled. It expects its reply at the subject of that one, where its body is replayed.
    pub(super) fn message(
        &self,
        message: BrokerMessage,
        (to, content): (&str, DeadLetterContent),
    ) -> BrokerMessage {
        let body = match content {
            DeadLetterContent::Body => message.body,
            DeadLetterContent::Record => self.record(&message).into(),
        };
        BrokerMessage {
            subject: to.to_owned(),
            body,
            reply_to: Some(message.subject),
        }
    }

    fn record(&self, message: &BrokerMessage) -> String {
        let end = self.reason.floor_char_boundary(LONGEST_REASON);
        let reason = &self.reason[..end];
        let record = json!({
            "subject": message.subject,
            "reply-to": message.reply_to,
            "reason": reason,
            "deliveries": self.deliveries,
            "body": BASE64.encode(&message.body),
        });
        record.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> BrokerMessage {
        BrokerMessage {
            subject: "orders.7".to_owned(),
            body: vec![0xff, 0].into(),
            reply_to: Some("_INBOX.1".to_owned()),
        }
    }

    #[test]
    fn a_message_that_is_set_aside_says_where_it_was_and_why() {
        let reason = format!("{}é", "x".repeat(LONGEST_REASON - 1));
        let aside = Aside {
            reason: &reason,
            deliveries: 3,
        };
        let body = aside.message(message(), ("dead", DeadLetterContent::Body));
        assert_eq!((&*body.subject, &*body.body), ("dead", &[0xff, 0][..]));
        assert_eq!(body.reply_to.as_deref(), Some("orders.7"));

        let record = aside.message(message(), ("dead", DeadLetterContent::Record));
        assert_eq!(record.subject, "dead");
        assert_eq!(record.reply_to.as_deref(), Some("orders.7"));
        let record: serde_json::Value = serde_json::from_slice(&record.body).expect("JSON");
        let expected = json!({
            "subject": "orders.7",
            "reply-to": "_INBOX.1",
            "reason": "x".repeat(LONGEST_REASON - 1),
            "deliveries": 3,
            "body": "/wA=",
        });
        assert_eq!(record, expected);
    }
}
