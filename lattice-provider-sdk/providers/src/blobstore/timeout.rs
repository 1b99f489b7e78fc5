//! How long an operation may take, and how a server fails a check of health.

#[cfg(feature = "blobstore-s3")]
pub(crate) use crate::duration::duration;

use super::bindings::lattice::blobstore::types::Error;
use futures_util::FutureExt as _;
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
use lattice_provider_sdk::Refusal;
use std::{future::Future, time::Duration};

/// How long an operation may take by default.
#[cfg(feature = "blobstore-s3")]
pub(crate) fn default() -> Duration {
    Duration::from_secs(10)
}

/// Waits for an operation, but not for longer than this.
pub(crate) fn within<T, F: Future<Output = Result<T, Error>>>(
    timeout: Duration,
    operation: F,
) -> impl Future<Output = Result<T, Error>> + use<T, F> {
    // Not an async function, which would have room for the operation twice.
    let in_time = tokio::time::timeout(timeout, operation);
    in_time.map(|result| result.unwrap_or(Err(Error::Timeout)))
}

/// Returns what a check of health reports of an error.
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
pub(crate) fn unwell(error: &Error) -> Refusal {
    let reason: &str = match error {
        Error::Timeout => "it did not answer in time",
        Error::AccessDenied(reason)
        | Error::Full(reason)
        | Error::InvalidName(reason)
        | Error::Other(reason)
        | Error::Unavailable(reason) => reason,
        _ => "it answers with errors",
    };
    Refusal::new(format!("the store can't be used: {reason}"))
}
