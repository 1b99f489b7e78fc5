//! The pauses between attempts at a server that fails.

use lattice_core::{backoff::Backoff, entropy};
use std::time::Duration;

/// Doubled from the first to the longest, so that a server that comes back is used soon.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));
/// What has worked for this long counts as mended: the pauses begin anew. Far longer than a server
/// takes to end a connection or a queue that it doesn't want.
const LASTING: Duration = Duration::from_secs(10);

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub(super) struct Again {
    failures: u32,
}

impl Again {
    /// Returns the pause after a failure, before which it has worked for as long as `lasted`. A
    /// random part of it is left out, so that replicas don't try again together.
    pub(super) fn pause(&mut self, lasted: Duration) -> Duration {
        self.counted(lasted);
        PAUSES.with_equal_jitter(self.failures, entropy::share())
    }

    fn counted(&mut self, lasted: Duration) {
        if lasted >= LASTING {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_lasted_is_tried_again_soon() {
        let mut again = Again::default();
        let short = LASTING.mul_f64(0.9);
        let mut pauses = [short; 8].map(|lasted| again.pause(lasted));
        for (index, pause) in (1..).zip(pauses) {
            let full = PAUSES.after(index);
            assert!((full / 2..=full).contains(&pause), "{index}: {pause:?}");
        }
        assert!(pauses[7] >= Duration::from_secs(1), "{pauses:?}");
        pauses[0] = again.pause(LASTING);
        assert!(pauses[0] <= Duration::from_millis(100), "{pauses:?}");
        again.counted(short);
        assert_eq!(again.failures, 2);
    }
}
