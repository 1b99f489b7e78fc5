//! The bucket: its names, how it is made, and what an existing one must be like.

use super::NatsStoreOptions;
use crate::{
    name::LatticeName,
    nats::NatsConnection,
    store::{Incarnation, MARKER_TTL, MAX_VALUE, StoreError, StoreKey},
};
use async_nats::{
    Client,
    jetstream::{
        Context, ErrorCode,
        context::{AccountErrorKind, ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind},
        stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream},
    },
};
use std::num::NonZeroUsize;
use tokio::sync::broadcast::error::RecvError;

/// The first server that commits several keys at once, and the level of `JetStream`'s API that says so.
const NEEDED_SERVER: &str = "2.12";
const NEEDED_LEVEL: usize = 2;
/// The answer when two create one stream at once with different settings.
const NAME_IN_USE: ErrorCode = ErrorCode(10058);

/// Why a bucket could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server runs without `JetStream`.
    #[error(
        "the NATS server runs without JetStream, where a lattice keeps its state; start it with `-js`"
    )]
    JetStreamOff,
    /// The server has `JetStream`, but not for this account.
    #[error(
        "the NATS account has no JetStream, where a lattice keeps its state; enable it for the account"
    )]
    AccountWithoutJetStream,
    /// Nothing answers for this domain.
    #[error(
        "no JetStream answers for domain `{domain}`; check its name, and that a leaf node connects to it"
    )]
    NoSuchDomain {
        /// The domain.
        domain: String,
    },
    /// The text can't be a domain.
    #[error("`{given}` is no JetStream domain: use letters, digits, `-` and `_`")]
    InvalidDomain {
        /// What was given, cut to 80 characters.
        given: String,
    },
    /// The server can't commit several keys at once.
    #[error("the NATS server is {found} and Lattice needs {needed} or newer; update it")]
    ServerTooOld {
        /// What was found.
        found: String,
        /// The first version that will do.
        needed: &'static str,
    },
    /// The bucket exists with other settings.
    #[error("stream `{stream}` exists, but {}; change it, or delete it to lose what it holds", problems.join(", "))]
    WrongConfig {
        /// The stream's name.
        stream: String,
        /// Each setting that is wrong: what it is and what it must be.
        problems: Vec<String>,
    },
    /// The server refused: permissions of the user, limits of the account, or replicas without a cluster.
    #[error("the NATS server refused the bucket: {reason}")]
    Refused {
        /// What the server said.
        reason: String,
    },
    /// `JetStream` did not answer; it may be starting.
    #[error("JetStream is out of reach: {reason}")]
    Unavailable {
        /// What was tried and what came of it.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable {
            reason: reason.to_string(),
        }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unavailable { reason } => Self::Unavailable(reason),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

/// What a lattice's bucket is called.
pub(super) struct Bucket {
    pub(super) name: String,
    /// Before a key in the subject of a delivered message.
    prefix: String,
    /// Before that where messages are published: a domain's own way in.
    entrance: String,
    domain: Option<String>,
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

    /// A key's subject as the bucket keeps it.
    pub(super) fn subject(&self, key: &StoreKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Where a key's messages are published.
    pub(super) fn publish_subject(&self, key: &str) -> String {
        format!("{}{}{key}", self.entrance, self.prefix)
    }

    /// The key in a delivered message's subject, whoever wrote it.
    pub(super) fn key(&self, subject: &str) -> Option<StoreKey> {
        Some(StoreKey::from_store(subject.strip_prefix(&self.prefix)?))
    }

    pub(super) fn every_subject(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Where the server tells of what happens to the stream.
    pub(super) fn advisories(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.*.{}", self.name)
    }

    /// Finds the stream, or creates it.
    pub(super) async fn open(
        &self,
        connection: &NatsConnection,
        options: &NatsStoreOptions,
    ) -> Result<(Stream<()>, Info), OpenError> {
        let context = ContextBuilder::new();
        let context = match &self.domain {
            Some(domain) => context.domain(domain),
            None => context.api_prefix("$JS.API"),
        };
        let client = connection.client();
        let jetstream = context.timeout(options.timeout).build(client.clone());
        let mut complaints = connection.server_errors();
        let refused = async {
            loop {
                match complaints.recv().await {
                    Ok(complaint) if complaint.contains("$JS.") => return complaint.to_string(),
                    Err(RecvError::Closed) => std::future::pending().await,
                    _ => {}
                }
            }
        };
        let connects = connection.connects();
        connection.check().map_err(OpenError::unavailable)?;
        tokio::select! {
            biased;
            stream = self.find(client, &jetstream, options.replicas) => stream,
            reason = refused => Err(OpenError::Refused { reason }),
            error = connection.lost(connects) => Err(OpenError::unavailable(error)),
            () = tokio::time::sleep(options.timeout) => {
                Err(OpenError::unavailable("no answer in time"))
            }
        }
    }

    async fn find(
        &self,
        client: &Client,
        jetstream: &Context,
        replicas: NonZeroUsize,
    ) -> Result<(Stream<()>, Info), OpenError> {
        self.check_server(client, jetstream).await?;
        let info = match self.existing(jetstream).await? {
            Some(info) => info,
            None => self.create(jetstream, replicas).await?,
        };
        let problems = problems(&info.config, &self.config(replicas));
        if !problems.is_empty() {
            return Err(OpenError::WrongConfig {
                stream: self.name.clone(),
                problems,
            });
        }
        let stream = jetstream.get_stream_no_info(&self.name).await;
        Ok((stream.map_err(OpenError::unavailable)?, info))
    }

    /// Asks before anything is created: an old server would create a bucket without what it does not know.
    async fn check_server(&self, client: &Client, jetstream: &Context) -> Result<(), OpenError> {
        let account = match jetstream.query_account().await {
            Ok(account) => account,
            Err(error) => {
                return Err(match error.kind() {
                    AccountErrorKind::JetStreamUnavailable => self.nobody_answers(client),
                    AccountErrorKind::JetStream(error) => refusal(&error),
                    _ => OpenError::unavailable(error),
                });
            }
        };
        if account.requests.level >= NEEDED_LEVEL {
            return Ok(());
        }
        let version = client.server_info().version;
        Err(OpenError::ServerTooOld {
            found: match &self.domain {
                None => version,
                // Another server may answer for a domain than the one at the other end of this connection.
                Some(domain) => format!(
                    "at level {} of JetStream's API in domain `{domain}` (the connected one is {version})",
                    account.requests.level
                ),
            },
            needed: NEEDED_SERVER,
        })
    }

    async fn existing(&self, jetstream: &Context) -> Result<Option<Info>, OpenError> {
        match jetstream.get_stream(&self.name).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                GetStreamErrorKind::JetStream(error) => Err(refusal(&error)),
                _ => Err(OpenError::unavailable(error)),
            },
        }
    }

    async fn create(&self, jetstream: &Context, replicas: NonZeroUsize) -> Result<Info, OpenError> {
        match jetstream.create_stream(self.config(replicas)).await {
            Ok(stream) => Ok(stream.cached_info().clone()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(error) if error.error_code() == NAME_IN_USE => {
                    self.existing(jetstream)
                        .await?
                        .ok_or_else(|| OpenError::unavailable("the bucket came and went"))
                }
                CreateStreamErrorKind::JetStream(error) => Err(refusal(&error)),
                _ => Err(OpenError::unavailable(error)),
            },
        }
    }

    fn config(&self, replicas: NonZeroUsize) -> Config {
        Config {
            name: self.name.clone(),
            description: Some("desired state of a lattice".into()),
            subjects: vec![self.every_subject()],
            max_messages_per_subject: 1,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: replicas.get(),
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            allow_atomic_publish: true,
            // Without markers an expired lease would vanish without a word to the watches.
            subject_delete_marker_ttl: Some(MARKER_TTL),
            ..Config::default()
        }
    }

    fn nobody_answers(&self, client: &Client) -> OpenError {
        match &self.domain {
            Some(domain) => OpenError::NoSuchDomain {
                domain: domain.clone(),
            },
            None if client.server_info().jetstream => OpenError::AccountWithoutJetStream,
            None => OpenError::JetStreamOff,
        }
    }
}

fn refusal(error: &async_nats::jetstream::Error) -> OpenError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED => OpenError::JetStreamOff,
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => OpenError::AccountWithoutJetStream,
        _ if error.code() == 503 => OpenError::unavailable(error),
        _ => OpenError::Refused {
            reason: error.to_string(),
        },
    }
}

/// Which life of the bucket `info` tells of.
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

/// What in `found` would break the store's contract.
fn problems(found: &Config, ours: &Config) -> Vec<String> {
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
        format!("its messages end after {:?} and must stay", found.max_age),
    );
    let largest = usize::try_from(found.max_message_size).unwrap_or(usize::MAX);
    need(
        largest == 0 || largest >= MAX_VALUE + super::HEADERS,
        format!(
            "its messages end at {largest} bytes and values have up to {MAX_VALUE}, headers beside"
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
    fn a_bucket_as_we_make_it_has_no_problems_and_every_other_says_which() {
        let ours = bucket(None).config(NonZeroUsize::MIN);
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
}
