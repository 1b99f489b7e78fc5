//! Why connecting failed, and what to do about it.

use async_nats::{ConnectErrorKind, rustls};
use std::{error::Error, io, path::PathBuf, time::Duration};

/// Why [`NatsOptions::connect`](super::NatsOptions::connect) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A server's URL can't be read.
    #[error(
        "`{url}` isn't a valid NATS URL; write it as nats://host:4222, tls://host:4222 or host:4222, and in a user, a password or a token write `%2C` for a comma, `%2F` for `/`, `%3F` for `?`, `%23` for `#`, `%40` for `@` and `%25` for `%`"
    )]
    BadUrl {
        /// The URL's scheme, and its position in a list. The rest isn't repeated, because any part
        /// of it may be a part of a password.
        url: String,
        /// The problem.
        source: io::Error,
    },
    /// A file of credentials or certificates can't be read.
    #[error("can't read {}; check the path and its permissions", path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file exists but doesn't have the expected contents.
    #[error("{} holds no usable {expected}; {hint}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The expected contents.
        expected: &'static str,
        /// How to create such a file.
        hint: &'static str,
        /// The problem.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The credentials that were given as text aren't valid.
    #[error(
        "the credentials hold no user JWT with its nkey seed; give the content of a file that `nsc generate creds` writes"
    )]
    BadCredentials {
        /// The problem.
        source: io::Error,
    },
    /// The nkey seed is invalid.
    #[error("the nkey seed can't sign; give the user's seed, which begins with SU")]
    BadNkeySeed,
    /// The inbox prefix can't begin a subject.
    #[error(
        "`{prefix}` isn't a valid inbox prefix; use tokens joined by `.`, without spaces or wildcards"
    )]
    BadInboxPrefix {
        /// The prefix.
        prefix: String,
        /// The client's error.
        source: crate::bus::BusError,
    },
    /// No server responded.
    #[error("no NATS server is reachable at {servers}; check the address and that one is running")]
    Unreachable {
        /// The servers that were tried, without users and passwords.
        servers: String,
        /// The error of the last attempt.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No server responded in time.
    #[error(
        "no NATS server at {servers} responded within {limit:?}; check the address and the network, or raise the connect timeout"
    )]
    TimedOut {
        /// The servers that were tried, without users and passwords.
        servers: String,
        /// The connect timeout.
        limit: Duration,
    },
    /// The server does not know the login, or requires one.
    #[error(
        "the NATS server at {servers} refused the login; give the token, user, nkey or credentials file that it knows"
    )]
    LoginRefused {
        /// The servers that were tried, without users and passwords.
        servers: String,
        /// The server's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TLS handshake failed on either side.
    #[error(
        "the TLS handshake with {servers} failed; check the root certificates, the server's name, and whether it requires a client certificate"
    )]
    Tls {
        /// The servers that were tried, without users and passwords.
        servers: String,
        /// The operation that failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A server responded, but closed the connection before it was made.
    #[error(
        "{servers} closed the connection early; check that it is a NATS server, and whether it requires TLS or a client certificate"
    )]
    HungUp {
        /// The servers that were tried, without users and passwords.
        servers: String,
        /// The error of the attempt.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ConnectError {
    /// Returns whether a later attempt may succeed without any change here.
    #[cfg(feature = "disk")]
    pub(crate) fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::HungUp { .. }
        )
    }

    /// Converts the client's error.
    pub(super) fn from_client(
        servers: String,
        limit: Duration,
        with_seed: bool,
        error: async_nats::ConnectError,
    ) -> Self {
        match error.kind() {
            ConnectErrorKind::TimedOut => return Self::TimedOut { servers, limit },
            ConnectErrorKind::Authentication if with_seed => return Self::BadNkeySeed,
            _ => {}
        }
        let kind = error.kind();
        let tls = is_tls(&error);
        let hung_up = is_hang_up(&error);
        let source = Box::new(error);
        match kind {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                Self::LoginRefused { servers, source }
            }
            ConnectErrorKind::Tls => Self::Tls { servers, source },
            _ if tls => Self::Tls { servers, source },
            _ if hung_up => Self::HungUp { servers, source },
            _ => Self::Unreachable { servers, source },
        }
    }
}

/// Returns whether `error` was caused by rustls. An [`io::Error`] that wraps a rustls error skips
/// it in `source()`.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<rustls::Error>()
            || cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
    })
}

/// Returns whether a connection ended early. The client reports its own end of stream without an
/// `io::Error`.
fn is_hang_up(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let Some(io) = cause.downcast_ref::<io::Error>() else {
            let text = cause.to_string();
            return text == "broken pipe" || text.starts_with("expected INFO");
        };
        matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
        )
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
