//! The headers and subjects in which `JetStream` describes a message.

use async_nats::{HeaderMap, HeaderValue};

/// On every member of an atomic batch, and stored with it.
pub(super) const BATCH_ID: &str = "Nats-Batch-Id";
/// The member's place in the batch, from 1.
pub(super) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
/// On the last member of a batch.
pub(super) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// Identifies the write of a single message, as `Nats-Batch-Id` does for a batch. It is Lattice's
/// own header, which the server only stores.
pub(super) const WRITE_ID: &str = "Lattice-Write";
/// The expected sequence of the key's last message, 0 for none.
pub(super) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// Seconds until the message expires.
pub(super) const TTL: &str = "Nats-TTL";
/// `DEL` or `PURGE`, in a marker that a client wrote.
pub(super) const OPERATION: &str = "KV-Operation";
/// In a marker that the server wrote.
const MARKER_REASON: &str = "Nats-Marker-Reason";
const ROLLUP: &str = "Nats-Rollup";

/// Makes `headers` those of a purge marker, as every NATS key-value tool writes it.
pub(super) fn make_marker(headers: &mut HeaderMap, ttl_seconds: u64) {
    headers.insert(OPERATION, "PURGE");
    headers.insert(ROLLUP, "sub");
    headers.insert(TTL, ttl_seconds.to_string());
}

/// Returns whether the message is a marker: its key has no value.
pub(super) fn is_marker(headers: &HeaderMap) -> bool {
    headers.get(MARKER_REASON).is_some()
        || headers
            .get(OPERATION)
            .is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
}

/// Returns whether the message removed every other one of its stream.
pub(super) fn wiped_the_stream(headers: &HeaderMap) -> bool {
    headers
        .get(ROLLUP)
        .is_some_and(|rollup| rollup.as_str().eq_ignore_ascii_case("all"))
}

/// Returns the id of the write that put this message.
pub(super) fn write_id(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(BATCH_ID)
        .or_else(|| headers.get(WRITE_ID))
        .map(HeaderValue::as_str)
}

/// Returns the id of the commit that the message is a part of, if that has several changes.
pub(super) fn batch_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(BATCH_ID).map(HeaderValue::as_str)
}

/// Returns whether the rest of its commit follows this message.
pub(super) fn is_within_commit(headers: &HeaderMap) -> bool {
    headers.get(BATCH_ID).is_some() && headers.get(BATCH_COMMIT).is_none()
}

/// The position of a delivered message, from its reply subject:
///
/// ```text
/// $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>
///     .<stream sequence>.<consumer sequence>.<time>.<pending>[.<random>]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// In the stream. This is the key's revision.
    pub(super) sequence: u64,
    /// Among the messages that this consumer was sent, from 1, without gaps.
    pub(super) delivered: u64,
    /// How many more messages the consumer had to send at that time.
    pub(super) pending: u64,
}

impl Position {
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let counts = match tokens.len() {
            7 => &tokens[2..],
            9.. => &tokens[4..],
            _ => return None,
        };
        let count = |at: usize| counts.get(at)?.parse().ok();
        Some(Self {
            sequence: count(1)?,
            delivered: count(2)?,
            pending: count(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_have_two_formats() {
        let expected = Some(Position {
            sequence: 17,
            delivered: 3,
            pending: 9,
        });
        for reply in [
            "$JS.ACK.KV_x.abc.1.17.3.1700000000.9",
            "$JS.ACK.hub.hash.KV_x.abc.1.17.3.1700000000.9",
            "$JS.ACK._.hash.KV_x.abc.1.17.3.1700000000.9.random",
        ] {
            assert_eq!(Position::parse(reply), expected, "{reply}");
        }
        for bad in [
            "",
            "$JS.ACK.",
            "$JS.ACK.KV_x.abc.1.17.3.1700000000",
            "$JS.ACK.KV_x.abc.1.x.3.1700000000.9",
            "$JS.ACK.KV_x.abc.1.-1.3.1700000000.9",
            "_INBOX.a.b",
        ] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_kind_of_marker_is_read() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            headers
        };
        assert!(is_marker(&with(OPERATION, "DEL")));
        assert!(is_marker(&with(OPERATION, "PURGE")));
        assert!(is_marker(&with(MARKER_REASON, "MaxAge")));
        assert!(!is_marker(&with(OPERATION, "PUT")));
        assert!(!is_marker(&HeaderMap::new()));
        let mut made = HeaderMap::new();
        make_marker(&mut made, 5);
        assert!(is_marker(&made) && !wiped_the_stream(&made));
        assert!(wiped_the_stream(&with(ROLLUP, "all")));
    }
}
