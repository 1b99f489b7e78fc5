//! Errors and times of NATS in words of the interface.

use crate::blobstore::bindings::lattice::blobstore::types::Error;
use async_nats::{
    datetime::DateTime,
    jetstream::{
        ErrorCode,
        context::{GetStreamError, GetStreamErrorKind, ObjectStoreError},
    },
};
use std::{error::Error as StdError, fmt::Write as _};

/// Returns why an object store was not opened.
pub(super) fn of_store(container: &str, error: &ObjectStoreError) -> Error {
    match StdError::source(error).and_then(|source| source.downcast_ref::<GetStreamError>()) {
        Some(source) => of_stream(container, source),
        None => failed(error),
    }
}

/// Returns why the stream of a container was not found.
pub(super) fn of_stream(container: &str, error: &GetStreamError) -> Error {
    match error.kind() {
        GetStreamErrorKind::JetStream(answer)
            if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            Error::NoSuchContainer(container.to_owned())
        }
        GetStreamErrorKind::JetStream(answer) => Error::Other(answer.to_string()),
        GetStreamErrorKind::Request => Error::Unavailable(words(error)),
        _ => failed(error),
    }
}

/// Returns what an operation failed with.
pub(super) fn failed(error: &(dyn StdError + 'static)) -> Error {
    let words = words(error);
    // NATS has one kind of error for each function, and names the reason only in words.
    if words.contains("timed out") || words.contains("timeout") {
        Error::Timeout
    } else if words.contains("maximum bytes exceeded") || words.contains("insufficient") {
        Error::Full(words)
    } else if words.contains("no responders") || words.contains("not connected") {
        Error::Unavailable(words)
    } else {
        Error::Other(words)
    }
}

/// Returns the messages of an error and of its causes.
fn words(error: &(dyn StdError + 'static)) -> String {
    let (mut words, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        let cause = error.to_string();
        if !words.contains(&cause) {
            // Writing to a string doesn't fail.
            let _ = write!(words, ": {cause}");
        }
        next = error.source();
    }
    words
}

/// Returns a time in seconds since 1970, or 0 for one before.
pub(super) fn seconds(time: DateTime) -> u64 {
    u64::try_from(time.unix_timestamp()).unwrap_or(0)
}
