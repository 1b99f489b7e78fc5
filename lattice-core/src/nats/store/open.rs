//! Opens a bucket: finds or creates it on a server that supports it.

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

/// The first server version that commits several keys at once, and the level of the `JetStream` API
/// that it has.
const NEEDED_SERVER: &str = "2.12";
const NEEDED_LEVEL: usize = 2;
/// The server's error when two clients create one stream at once with different settings.
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
    /// The server has `JetStream`, but this account does not.
    #[error(
        "the NATS account has no JetStream, where a lattice keeps its state; enable it for the account"
    )]
    AccountWithoutJetStream,
    /// No server responds for this domain.
    #[error(
        "no JetStream is reachable in domain `{domain}`; check its name, and that a leaf node connects to it"
    )]
    NoSuchDomain {
        /// The domain.
        domain: String,
    },
    /// The text isn't a valid domain.
    #[error("`{given}` isn't a valid JetStream domain: use letters, digits, `-` and `_`")]
    InvalidDomain {
        /// The given text, cut to 80 characters.
        given: String,
    },
    /// The server can't commit several keys at once.
    #[error("the NATS server is {found} and Lattice needs {needed} or newer; update it")]
    ServerTooOld {
        /// The server's version, or the API level of the domain.
        found: String,
        /// The first version that works.
        needed: &'static str,
    },
    /// The bucket exists with other settings.
    #[error("stream `{stream}` exists, but {}; change it, or delete it to lose what it holds", problems.join(", "))]
    WrongConfig {
        /// The stream's name.
        stream: String,
        /// Each wrong setting, with its value and the required one.
        problems: Vec<String>,
    },
    /// The server refused, because of the user's permissions, the limits of the account, or
    /// replicas without a cluster.
    #[error("the NATS server refused the bucket: {reason}")]
    Refused {
        /// The server's error.
        reason: String,
    },
    /// `JetStream` did not respond; it may be starting.
    #[error("JetStream is out of reach: {reason}")]
    Unavailable {
        /// The attempted operation, and its result.
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

    /// Checks the server before anything is created: an old server would create a bucket and ignore
    /// the settings that it does not know.
    async fn check_server(&self, client: &Client, jetstream: &Context) -> Result<(), OpenError> {
        let account = match jetstream.query_account().await {
            Ok(account) => account,
            Err(error) => {
                return Err(match error.kind() {
                    AccountErrorKind::JetStreamUnavailable => self.no_responders(client),
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
                // The server that serves a domain may be another one than the connected
                // server.
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
                    self.existing(jetstream).await?.ok_or_else(|| {
                        OpenError::unavailable("the bucket was created and deleted meanwhile")
                    })
                }
                CreateStreamErrorKind::JetStream(error) => Err(refusal(&error)),
                _ => Err(OpenError::unavailable(error)),
            },
        }
    }

    fn no_responders(&self, client: &Client) -> OpenError {
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
