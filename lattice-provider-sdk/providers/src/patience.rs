//! How long the work of a call may take.

use lattice_provider_sdk::{Call, Provider};
use std::time::Duration;

/// The most by which work ends earlier than its call: what a reply takes on a busy machine, and
/// next to nothing of the time for a large object.
const MARGIN: Duration = Duration::from_millis(250);

/// Returns how long the work of a call may take from now on. It ends shortly before its call does,
/// so that the caller gets the error of the interface.
pub(crate) fn patience<P: Provider>(call: &Call<P>) -> Duration {
    before(call.time_left())
}

/// A sixteenth is 125 ms of the 2 s that a call has by default.
fn before(left: Duration) -> Duration {
    left.saturating_sub((left / 16).min(MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_shortly_before_its_call() {
        for (left, expected) in [(0, 0), (16, 15), (2_000, 1_875), (600_000, 599_750)] {
            let left = before(Duration::from_millis(left));
            assert_eq!(left, Duration::from_millis(expected));
        }
    }
}
