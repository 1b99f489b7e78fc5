//! Retries with growing pauses.

use crate::artifact::RegistryError;
use lattice_core::{backoff::Backoff, entropy};
use std::{num::NonZeroU32, time::Duration};

/// The longest pauses after failures. Between half and all of each is taken, so that hosts that
/// failed at the same time don't retry at the same time.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(250), Duration::from_secs(8));

/// The longest time that a registry can make this host wait before an attempt. All such pauses are
/// shorter than a fetch may take, so that the registry's error is reported.
const LONGEST: Duration = Duration::from_secs(30);

/// The attempts that are left for a request.
pub(super) struct Attempts {
    failures: u32,
    most: NonZeroU32,
}

impl Attempts {
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self { failures: 0, most }
    }

    /// Waits until the next attempt. Returns the error when no attempts are left. The caller
    /// enforces the deadline.
    pub(super) async fn after(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.failures += 1;
        if !error.is_transient() || self.failures >= self.most.get() {
            return Err(error);
        }
        let pause = PAUSES.with_equal_jitter(self.failures, entropy::share());
        let pause = match &error {
            RegistryError::Failing {
                after: Some(after), ..
            } => pause.max(*after).min(LONGEST),
            _ => pause,
        };
        tracing::warn!(%error, ?pause, "a registry failed; the request is retried");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn failing() -> RegistryError {
        RegistryError::Failing {
            registry: "r".into(),
            status: 503,
            message: "down".into(),
            after: None,
        }
    }

    const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_retried_with_growing_pauses_up_to_the_limit() {
        let mut attempts = Attempts::new(FIVE);
        for failed in 0..4 {
            let since = Instant::now();
            attempts.after(failing()).await.unwrap();
            let (pause, doubled) = (since.elapsed(), Duration::from_millis(250 << failed));
            assert!(
                pause >= doubled / 2 && pause <= doubled + Duration::from_millis(2),
                "{failed}: {pause:?}"
            );
        }
        let last = attempts.after(failing()).await;
        assert!(
            matches!(last, Err(RegistryError::Failing { .. })),
            "{last:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_is_not_asked_again_before_it_says_so() {
        for (says, waited) in [
            (Duration::from_secs(5), Duration::from_secs(5)),
            (Duration::from_secs(u64::MAX), LONGEST),
        ] {
            let mut attempts = Attempts::new(FIVE);
            let since = Instant::now();
            let error = RegistryError::Failing {
                registry: "r".into(),
                status: 429,
                message: "slow down".into(),
                after: Some(says),
            };
            attempts.after(error).await.unwrap();
            let pause = since.elapsed();
            assert!(
                pause >= waited && pause <= waited + Duration::from_millis(2),
                "{says:?}: {pause:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_retried() {
        let since = Instant::now();
        let ended = Attempts::new(FIVE).after(RegistryError::NoRoots).await;
        assert!(matches!(ended, Err(RegistryError::NoRoots)));
        assert_eq!(since.elapsed(), Duration::ZERO);
    }
}
