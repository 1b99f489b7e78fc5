//! How long a request may wait.

use crate::http::exchange::RequestOptions;
use lattice_core::sync::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a request may wait at each of its stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// Until there is a connection.
    pub(super) connect: Duration,
    /// Until the head of the response, since the request was last seen to move.
    pub(super) first_byte: Duration,
    /// Between two parts of the response's body, and until a part of the request can be sent.
    pub(super) between_bytes: Duration,
}

impl Timeouts {
    /// Returns the shorter ones of these and the caller's.
    pub(super) fn within(self, options: &RequestOptions) -> Self {
        let shorter = |own: Duration, other: Option<u64>| {
            other.map_or(own, |other| own.min(Duration::from_nanos(other)))
        };
        Self {
            connect: shorter(self.connect, options.connect_timeout),
            first_byte: shorter(self.first_byte, options.first_byte_timeout),
            between_bytes: shorter(self.between_bytes, options.between_bytes_timeout),
        }
    }
}

/// When the body of a request moved last, so that a long upload isn't taken for a server that
/// doesn't respond.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// A part was taken to be sent.
    pub(super) fn moved(&self) {
        *self.0.lock() = Instant::now();
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_timeouts_count() {
        let own = Timeouts {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(2),
            between_bytes: Duration::from_secs(3),
        };
        let options = |nanos| RequestOptions {
            connect_timeout: nanos,
            first_byte_timeout: nanos,
            between_bytes_timeout: nanos,
        };
        assert_eq!(own.within(&options(None)), own);
        assert_eq!(own.within(&options(Some(u64::MAX))), own);
        assert_eq!(
            own.within(&options(Some(1_500_000_000))),
            Timeouts {
                connect: own.connect,
                first_byte: Duration::from_millis(1_500),
                between_bytes: Duration::from_millis(1_500),
            }
        );
        let none = own.within(&options(Some(0)));
        assert_eq!(none.between_bytes, Duration::ZERO);
    }
}
