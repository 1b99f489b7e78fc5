//! Opens a bucket: finds or creates it on a server that supports it.

use super::{
    NatsStoreOptions, REPLICAS,
    bucket::{Bucket, problems},
    refusal::{is_about_replicas, open_error},
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
    /// The account requires a size for every stream.
    #[error(
        "the NATS account requires a size for every stream; set the size of the store, such as 64MiB, with `Connect::store_max_bytes`"
    )]
    NeedsSize,
    /// A limit of the server, the account or the stream was reached.
    #[error("the NATS server has no room for the lattice's store: {reason}")]
    Limit {
        /// The server's error, and what to raise.
        reason: String,
    },
    /// The server refused, because of the user's permissions, or replicas without a cluster.
    #[error("the NATS server refused the bucket: {reason}")]
    Refused {
        /// The server's error.
        reason: String,
    },
    /// `JetStream` did not respond; it may be starting, or the server that has the store is
    /// unavailable.
    #[error("the store is out of reach: {reason}")]
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
            OpenError::Limit { reason } => Self::Limit(reason),
            OpenError::Refused { reason } => Self::Forbidden(reason),
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
                    Ok(complaint) if connection.is_about_inbox(&complaint) => {
                        return format!(
                            "{complaint}; allow this user its inbox, or set the inbox prefix that it may use"
                        );
                    }
                    Err(RecvError::Closed) => std::future::pending().await,
                    _ => {}
                }
            }
        };
        let connects = connection.connects();
        connection.check().map_err(OpenError::unavailable)?;
        let opened = tokio::select! {
            biased;
            stream = self.find(client, &jetstream, options) => stream,
            reason = refused => Err(OpenError::Refused { reason }),
            error = connection.lost(connects) => Err(OpenError::unavailable(error)),
            () = tokio::time::sleep(options.timeout) => {
                Err(OpenError::unavailable("timed out"))
            }
        };
        opened.map_err(|error| self.named(client, error))
    }

    /// Adds the names of the stream and the server to a timeout or another error that doesn't have
    /// them.
    fn named(&self, client: &Client, error: OpenError) -> OpenError {
        let OpenError::Unavailable { reason } = error else {
            return error;
        };
        let server = client.server_info().server_name;
        OpenError::Unavailable {
            reason: format!(
                "stream `{}` did not respond through NATS server `{server}`: {reason}; start the server that keeps it again, or wait until its cluster has a leader",
                self.name
            ),
        }
    }

    async fn find(
        &self,
        client: &Client,
        jetstream: &Context,
        options: &NatsStoreOptions,
    ) -> Result<(Stream<()>, Info), OpenError> {
        self.check_server(client, jetstream).await?;
        let info = match self.existing(jetstream).await? {
            Some(info) => info,
            None => self.create_replicated(client, jetstream, options).await?,
        };
        let problems = problems(&info.config, &self.config(NonZeroUsize::MIN, None));
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
    /// the settings that it doesn't recognize.
    async fn check_server(&self, client: &Client, jetstream: &Context) -> Result<(), OpenError> {
        let account = match jetstream.query_account().await {
            Ok(account) => account,
            Err(error) => {
                return Err(match error.kind() {
                    AccountErrorKind::JetStreamUnavailable => self.no_responders(client),
                    AccountErrorKind::JetStream(error) => open_error(&error, &self.name),
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
                GetStreamErrorKind::JetStream(error) => Err(open_error(&error, &self.name)),
                _ => Err(OpenError::unavailable(error)),
            },
        }
    }

    /// Creates the stream with as many replicas as the options say, or else as the cluster can
    /// have. A single server refuses more than one, so one is requested from it.
    async fn create_replicated(
        &self,
        client: &Client,
        jetstream: &Context,
        options: &NatsStoreOptions,
    ) -> Result<Info, OpenError> {
        if let Some(replicas) = options.replicas {
            return self.create(jetstream, options, replicas).await;
        }
        if client.server_info().cluster.is_some() || self.domain.is_some() {
            match self.create(jetstream, options, REPLICAS).await {
                Err(error) if is_about_replicas(&error) => {
                    tracing::debug!(%error, "the cluster can't keep three copies of the store");
                }
                created => return created,
            }
        }
        self.create(jetstream, options, NonZeroUsize::MIN).await
    }

    async fn create(
        &self,
        jetstream: &Context,
        options: &NatsStoreOptions,
        replicas: NonZeroUsize,
    ) -> Result<Info, OpenError> {
        let config = self.config(replicas, options.size);
        match jetstream.create_stream(config).await {
            Ok(stream) => Ok(stream.cached_info().clone()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(error) if error.error_code() == NAME_IN_USE => {
                    self.existing(jetstream).await?.ok_or_else(|| {
                        OpenError::unavailable("the bucket was created and deleted meanwhile")
                    })
                }
                CreateStreamErrorKind::JetStream(error) => Err(open_error(&error, &self.name)),
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
