//! The bucket: its names, its settings, and the check of an existing bucket's settings.

use super::OpenError;
use crate::{
    name::LatticeName,
    quantity::ByteSize,
    store::{Incarnation, MARKER_TTL, MAX_VALUE, StoreKey},
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use std::num::NonZeroUsize;

/// The names of a lattice's bucket.
pub(super) struct Bucket {
    pub(super) name: String,
    /// Precedes a key in the subject of a delivered message.
    prefix: String,
    /// Precedes `prefix` in a subject that is published to: the route into a domain.
    entrance: String,
    pub(super) domain: Option<String>,
}

impl Bucket {
    pub(super) fn new(lattice: &LatticeName, domain: Option<&str>) -> Result<Self, OpenError> {
        let domain = domain.map(check_domain).transpose()?;
        Ok(Self {
            name: format!("KV_LATTICE_{lattice}"),
            prefix: format!("$KV.LATTICE_{lattice}."),
            entrance: domain.map_or_else(String::new, |domain| format!("$JS.{domain}.API.")),
            domain: domain.map(str::to_owned),
        })
    }

    /// Returns the subject of a key as the bucket stores it.
    pub(super) fn subject(&self, key: &StoreKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Returns the subject that messages of a key are published to.
    pub(super) fn publish_subject(&self, key: &str) -> String {
        format!("{}{}{key}", self.entrance, self.prefix)
    }

    /// Returns the key in a delivered message's subject, which any client may have written.
    pub(super) fn key(&self, subject: &str) -> Option<StoreKey> {
        Some(StoreKey::from_store(subject.strip_prefix(&self.prefix)?))
    }

    pub(super) fn every_subject(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Returns the subject of the server's advisories about the stream.
    pub(super) fn advisories(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.*.{}", self.name)
    }

    /// Returns the settings of the stream. Without a size, it may have as much as its account.
    pub(super) fn config(&self, replicas: NonZeroUsize, size: Option<ByteSize>) -> Config {
        let size = size.map(|size| i64::try_from(size.as_u64()).unwrap_or(i64::MAX));
        Config {
            name: self.name.clone(),
            description: Some("desired state of a lattice".into()),
            subjects: vec![self.every_subject()],
            max_messages_per_subject: 1,
            max_bytes: size.unwrap_or_default(),
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: replicas.get(),
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            allow_atomic_publish: true,
            // Without markers, watches would not report that a lease has expired.
            subject_delete_marker_ttl: Some(MARKER_TTL),
            ..Config::default()
        }
    }
}

/// Returns the cluster that keeps the bucket, if only one of its servers does.
pub(super) fn lone_copy(info: &Info) -> Option<&str> {
    let cluster = info.cluster.as_ref()?.name.as_deref()?;
    (info.config.num_replicas <= 1 && !cluster.is_empty()).then_some(cluster)
}

/// Returns the incarnation of the bucket that `info` describes.
pub(super) fn created(info: &Info) -> Incarnation {
    Incarnation(u64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default())
}

fn check_domain(domain: &str) -> Result<&str, OpenError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !domain.is_empty() && domain.bytes().all(fine) {
        return Ok(domain);
    }
    Err(OpenError::InvalidDomain {
        given: domain.chars().take(80).collect(),
    })
}

/// Returns the settings in `found` that would break the store's contract.
pub(super) fn problems(found: &Config, ours: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let mut need = |holds: bool, what: String| {
        if !holds {
            problems.push(what);
        }
    };
    need(
        found.subjects == ours.subjects,
        format!(
            "its subjects are {:?} and must be {:?}",
            found.subjects, ours.subjects
        ),
    );
    need(
        found.max_messages_per_subject == 1,
        format!(
            "it keeps {} messages a subject (max_msgs_per_subject) and must keep 1",
            found.max_messages_per_subject
        ),
    );
    need(
        found.storage == StorageType::File,
        "it is in memory and must be in files".into(),
    );
    need(
        found.discard == DiscardPolicy::New,
        "it discards old messages when full and must refuse new ones".into(),
    );
    need(
        found.retention == RetentionPolicy::Limits,
        "its retention is not by limits".into(),
    );
    need(
        found.max_age.is_zero(),
        format!(
            "its messages expire after {:?} and must stay",
            found.max_age
        ),
    );
    let largest = usize::try_from(found.max_message_size).unwrap_or(usize::MAX);
    need(
        largest == 0 || largest >= MAX_VALUE + super::HEADERS,
        format!(
            "its messages have at most {largest} bytes and values have up to {MAX_VALUE}, plus headers"
        ),
    );
    need(
        found.mirror.is_none() && found.sources.as_ref().is_none_or(Vec::is_empty),
        "it copies another stream".into(),
    );
    need(!found.sealed, "it is sealed".into());
    need(!found.no_ack, "it acknowledges nothing (no_ack)".into());
    for (holds, name) in [
        (found.allow_atomic_publish, "allow_atomic"),
        (found.allow_message_ttl, "allow_msg_ttl"),
        (found.allow_direct, "allow_direct"),
        (found.allow_rollup, "allow_rollup_hdrs"),
        (
            found.subject_delete_marker_ttl.is_some(),
            "subject_delete_marker_ttl",
        ),
    ] {
        need(holds, format!("it lacks `{name}`"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(domain: Option<&str>) -> Bucket {
        Bucket::new(&LatticeName::new("dev").expect("valid"), domain).expect("a domain")
    }

    #[test]
    fn subjects_and_keys_round_trip() {
        let key = StoreKey::for_test("a:b");
        let plain = bucket(None);
        assert_eq!(plain.subject(&key), "$KV.LATTICE_dev.test.a=3ab");
        assert_eq!(plain.publish_subject(key.as_str()), plain.subject(&key));
        assert_eq!(plain.key(&plain.subject(&key)), Some(key.clone()));
        assert_eq!(plain.key("$KV.LATTICE_other.a"), None);
        let there = bucket(Some("hub"));
        assert_eq!(
            there.publish_subject(key.as_str()),
            "$JS.hub.API.$KV.LATTICE_dev.test.a=3ab"
        );
        assert_eq!(there.subject(&key), plain.subject(&key));
    }

    #[test]
    fn a_bucket_created_by_us_has_no_problems_and_each_other_configuration_is_reported() {
        let ours = bucket(None).config(NonZeroUsize::MIN, None);
        assert_eq!(problems(&ours, &ours), Vec::<String>::new());
        let bare = Config {
            max_messages_per_subject: 5,
            storage: StorageType::Memory,
            discard: DiscardPolicy::Old,
            max_message_size: 1000,
            ..Config::default()
        };
        let found = problems(&bare, &ours).join("; ");
        for word in [
            "subjects",
            "max_msgs_per_subject",
            "in memory",
            "discards old",
            "1000 bytes",
            "allow_atomic",
            "allow_msg_ttl",
            "allow_direct",
            "allow_rollup_hdrs",
            "subject_delete_marker_ttl",
        ] {
            assert!(found.contains(word), "{word}: {found}");
        }
    }

    #[test]
    fn a_domain_is_one_token() {
        assert!(check_domain("hub_1-b").is_ok());
        for bad in ["", "a.b", "a b", "*", ">", "é"] {
            assert!(check_domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_single_copy_in_a_cluster_is_a_lone_one() {
        // As servers report a stream: outside of a cluster they name themselves as its leader.
        let info = |copies: usize, cluster: serde_json::Value| -> Info {
            let copies = NonZeroUsize::new(copies).expect("not zero");
            let config = bucket(None).config(copies, None);
            let info = serde_json::json!({
                "config": config,
                "created": "2026-01-01T00:00:00Z",
                "state": {
                    "messages": 0,
                    "bytes": 0,
                    "first_seq": 0,
                    "first_ts": "0001-01-01T00:00:00Z",
                    "last_seq": 0,
                    "last_ts": "0001-01-01T00:00:00Z",
                    "consumer_count": 0,
                },
                "cluster": cluster,
            });
            serde_json::from_str(&info.to_string()).expect("a stream's description")
        };
        let of = |name: &str| serde_json::json!({ "name": name, "leader": "s0" });
        let outside = serde_json::json!({ "leader": "s0" });
        assert_eq!(lone_copy(&info(1, of("c"))), Some("c"));
        assert_eq!(lone_copy(&info(3, of("c"))), None);
        assert_eq!(lone_copy(&info(1, outside)), None);
        assert_eq!(lone_copy(&info(1, of(""))), None);
        assert_eq!(lone_copy(&info(1, serde_json::Value::Null)), None);
    }
}
