//! Opening a bucket: finding or making it on a server that can carry it.

use super::{
    NatsStoreOptions,
    bucket::{Bucket, problems},
};
use crate::{nats::NatsConnection, store::StoreError};
use async_nats::{
    Client,
    jetstream::{
        Context, ErrorCode,
        context::{AccountErrorKind, ContextBuilder, CreateStreamErrorKind, GetStreamErrorKind},
        stream::{Info, Stream},
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

impl Bucket {
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
