//! Errors of a store in words of the interface.

use crate::blobstore::bindings::lattice::blobstore::types::Error;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;

/// Longest message of a store that is passed on, in bytes.
const LONGEST: usize = 512;

/// Returns whether there is nothing under the key.
pub(super) fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// Returns what an operation failed with.
pub(super) fn failed(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Error::AccessDenied(
            "the store refused the credentials of the provider, or they don't allow this"
                .to_owned(),
        ),
        object_store::Error::InvalidPath { .. } => Error::InvalidName(words(error)),
        error => match http_kind(error) {
            Some(HttpErrorKind::Timeout) => Error::Timeout,
            Some(HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Interrupted) => {
                Error::Unavailable(words(error))
            }
            _ => Error::Other(words(error)),
        },
    }
}

fn http_kind(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        next = error.source();
    }
    None
}

/// Returns the message of an error, without the queries of URLs, which may be credentials.
pub(super) fn words(error: &object_store::Error) -> String {
    without_queries(&error.to_string())
}

fn without_queries(message: &str) -> String {
    let mut words = String::with_capacity(message.len().min(LONGEST));
    let mut is_query = false;
    for character in message.chars() {
        match character {
            '?' => {
                is_query = true;
                words.push('?');
            }
            character if character.is_whitespace() || "()\"'<>,".contains(character) => {
                is_query = false;
                words.push(if character.is_control() {
                    ' '
                } else {
                    character
                });
            }
            character if !is_query => words.push(character),
            _ => {}
        }
        if words.len() >= LONGEST {
            words.push('…');
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_no_queries_and_an_end() {
        let message = "Error performing GET https://a.blob/c?sv=1&sig=secret in 3ms, (b?x) done";
        let told = without_queries(message);
        assert_eq!(
            told,
            "Error performing GET https://a.blob/c? in 3ms, (b?) done"
        );
        assert!(without_queries(&"x".repeat(10_000)).len() < LONGEST + 8);
    }
}
