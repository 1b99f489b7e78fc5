//! How often the log warns of denied requests.

use lattice_core::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two warnings of one link.
const BETWEEN: Duration = Duration::from_secs(10);

/// The warnings of one link.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Warnings {
    /// Returns how many warnings were left out since the last one, or `None` if this one is to be
    /// left out too.
    pub(super) fn admit(&self) -> Option<u64> {
        let (mut state, now) = (self.0.lock(), Instant::now());
        if state.last.is_some_and(|last| now < last + BETWEEN) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn warnings_are_rare_and_count_those_left_out() {
        let warnings = Warnings::default();
        assert_eq!(warnings.admit(), Some(0));
        assert_eq!(warnings.admit(), None);
        assert_eq!(warnings.admit(), None);
        tokio::time::advance(BETWEEN).await;
        assert_eq!(warnings.admit(), Some(2));
        assert_eq!(warnings.admit(), None);
    }
}
