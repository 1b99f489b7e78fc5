//! Pauses between attempts at something that fails. They grow with the failures in a row.
//!
//! Pure: the caller counts the failures, draws the random number and waits.

use std::time::Duration;

/// Computes how long to pause after a number of failures in a row.
///
/// The pause after the first failure is doubled for each further one, up to a longest pause. Where
/// several processes may fail at the same time, a random number keeps them from trying again
/// together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Doubles the pause from `first` to `longest`.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Pauses for the same time after every failure.
    pub const fn constant(pause: Duration) -> Self {
        Self::doubling(pause, pause)
    }

    /// Returns the pause after this many failures. No failure counts as one.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Returns between half and all of the pause. `random` is a number from 0 to 1.
    pub fn with_equal_jitter(self, failures: u32, random: f64) -> Duration {
        self.after(failures).mul_f64(0.5 + random / 2.0)
    }

    /// Returns between nothing and all of the pause. `random` is a number from 0 to 1.
    pub fn with_full_jitter(self, failures: u32, random: f64) -> Duration {
        self.after(failures).mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);
    const BACKOFF: Backoff = Backoff::doubling(FIRST, LONGEST);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = (0..8)
            .map(|failures| BACKOFF.after(failures).as_millis())
            .collect();
        assert_eq!(pauses, [50, 50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(BACKOFF.after(u32::MAX), LONGEST);
        let unbounded = Backoff::doubling(Duration::MAX, Duration::MAX);
        assert_eq!(unbounded.after(u32::MAX), Duration::MAX);
    }

    #[test]
    fn a_constant_pause_does_not_grow() {
        let constant = Backoff::constant(FIRST);
        assert!((0..100).all(|failures| constant.after(failures) == FIRST));
    }

    #[test]
    fn jitter_shortens_a_pause_by_its_share() {
        assert_eq!(BACKOFF.with_equal_jitter(2, 0.0), FIRST);
        assert_eq!(BACKOFF.with_equal_jitter(2, 0.5), FIRST.mul_f64(1.5));
        assert_eq!(BACKOFF.with_equal_jitter(2, 1.0), FIRST * 2);
        assert_eq!(BACKOFF.with_full_jitter(2, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.with_full_jitter(2, 0.5), FIRST);
        assert_eq!(BACKOFF.with_full_jitter(2, 1.0), FIRST * 2);
    }
}
