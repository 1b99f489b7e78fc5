//! How long an operation of a server may take, and how it fails a check of health.

#[cfg(feature = "blobstore-s3")]
pub(crate) use crate::duration::duration;

use super::bindings::lattice::blobstore::types::Error;
use lattice_provider_sdk::Refusal;
use std::{future::Future, time::Duration};

/// How long an operation may take by default.
#[cfg(feature = "blobstore-s3")]
pub(crate) fn default() -> Duration {
    Duration::from_secs(10)
}

/// Waits for an operation, but not for longer than this.
pub(crate) async fn within<T>(
    timeout: Duration,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = tokio::time::timeout(timeout, operation).await;
    result.unwrap_or(Err(Error::Timeout))
}

/// Returns what a check of health reports of an error.
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
