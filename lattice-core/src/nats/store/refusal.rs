//! Classifies a server's refusals. A reached limit isn't an outage, and its error states what to
//! raise.

use super::OpenError;
use crate::store::StoreError;
use async_nats::jetstream::{Error, ErrorCode};

/// Returns what to do about a reached limit; `None` for any other error.
fn advice(error: &Error, stream: &str) -> Option<String> {
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    Some(match error.error_code() {
        ErrorCode::STREAM_STORE_FAILED if has("no space left") => {
            "the disk of the NATS server is full; free some room".to_owned()
        }
        ErrorCode::STREAM_STORE_FAILED if has("maximum") => format!(
            "the stream is full; give it more room with `nats stream edit {stream} --max-bytes …`, or delete what isn't needed"
        ),
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED => {
            "raise JetStream's limits of the NATS account, or set a smaller size for the store"
                .to_owned()
        }
        ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::MEMORY_RESOURCES_EXCEEDED => {
            "raise `max_file_store` and `max_memory_store` of the NATS server, or set a smaller size for the store".to_owned()
        }
        ErrorCode::INSUFFICIENT_RESOURCES | ErrorCode::CLUSTER_NO_PEERS => {
            "add servers to the NATS cluster, or keep the store on fewer of them".to_owned()
        }
        ErrorCode::MAXIMUM_CONSUMERS_LIMIT => {
            "each process of the lattice needs a consumer; raise `max_consumers` of the NATS account and of the stream".to_owned()
        }
        ErrorCode::MAXIMUM_STREAMS_LIMIT | ErrorCode::NO_LIMITS => {
            "raise `max_streams` and the storage of the NATS account; a lattice needs one stream"
                .to_owned()
        }
        ErrorCode::STREAM_MAX_BYTES_REQUIRED => {
            "set the size of the store, which is reserved for it".to_owned()
        }
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => format!(
            "raise the largest message of the stream with `nats stream edit {stream} --max-msg-size …`"
        ),
        _ => return None,
    })
}

/// Returns the error of a read, a watch or a write that the server refused.
pub(super) fn store_error(error: &Error, stream: &str) -> StoreError {
    match advice(error, stream) {
        Some(advice) => StoreError::Limit(format!("{error}; {advice}")),
        None => StoreError::Unavailable(error.to_string()),
    }
}

/// Returns the error of opening the bucket that the server refused.
pub(super) fn open_error(error: &Error, stream: &str) -> OpenError {
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED => return OpenError::JetStreamOff,
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => return OpenError::AccountWithoutJetStream,
        ErrorCode::STREAM_MAX_BYTES_REQUIRED => return OpenError::NeedsSize,
        _ => {}
    }
    match advice(error, stream) {
        Some(advice) => OpenError::Limit {
            reason: format!("{error}; {advice}"),
        },
        None if error.code() == 503 => OpenError::unavailable(error),
        None => OpenError::Refused {
            reason: error.to_string(),
        },
    }
}

/// Returns whether a stream may be created with fewer replicas after this refusal.
pub(super) fn is_about_replicas(error: &OpenError) -> bool {
    matches!(error, OpenError::Limit { .. } | OpenError::Refused { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u64, text: &str) -> Error {
        let json = format!(r#"{{"code":503,"err_code":{code},"description":"{text}"}}"#);
        serde_json::from_str(&json).expect("an error")
    }

    #[test]
    fn a_full_store_is_not_an_outage_and_an_outage_is_not_a_limit() {
        for (code, text) in [
            (10077, "maximum bytes exceeded"),
            (10077, "maximum messages exceeded"),
            (10077, "write: no space left on device"),
            (10002, "resource limits exceeded for account"),
            (10023, "insufficient resources"),
            (10026, "maximum consumers limit reached"),
            (10047, "insufficient storage resources available"),
            (10054, "message size exceeds maximum allowed"),
        ] {
            let error = error(code, text);
            let refused = store_error(&error, "KV_LATTICE_prod");
            assert!(matches!(refused, StoreError::Limit(_)), "{refused:?}");
            assert!(refused.to_string().contains(text), "{refused}");
            let opened = open_error(&error, "KV_LATTICE_prod");
            assert!(matches!(opened, OpenError::Limit { .. }), "{opened:?}");
        }
        let away = error(10008, "JetStream system temporarily unavailable");
        assert!(matches!(
            store_error(&away, "s"),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            open_error(&away, "s"),
            OpenError::Unavailable { .. }
        ));
        let sized = error(
            10113,
            "account requires a stream config to have max bytes set",
        );
        assert!(matches!(open_error(&sized, "s"), OpenError::NeedsSize));
    }
}
