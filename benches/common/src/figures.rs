//! Figures: what the rounds of a side amount to.

use crate::{cell::Cell, measure::Round};
use std::time::Duration;

/// The figures of one side over all of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Calls per second.
    pub rate: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
    /// Microseconds per call.
    pub cpu: f64,
}

/// The figures of both sides of one cell.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// What was measured.
    pub cell: Cell,
    /// The figures of Lattice.
    pub ours: Figures,
    /// The figures of the alternative.
    pub baseline: Figures,
}

impl Figures {
    /// Returns the medians of the rounds, and their CPU time divided by their calls.
    pub fn of(rounds: &[Round]) -> Self {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let calls: u64 = rounds.iter().map(|round| round.calls).sum();
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        Self {
            rate: median(rounds.iter().map(Round::rate)),
            p50: median(rounds.iter().map(|round| micros(round.quantile(0.5)))),
            p99: median(rounds.iter().map(|round| micros(round.quantile(0.99)))),
            cpu: micros(cpu) / calls as f64,
        }
    }
}

/// Returns the median: the lower of the two middle values when there are two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        assert_eq!(
            median([3.0, 900.0, 2.0].into_iter()).to_bits(),
            3.0_f64.to_bits()
        );
        assert_eq!(median([7.0].into_iter()).to_bits(), 7.0_f64.to_bits());
        assert!(median(std::iter::empty()).is_nan());
    }
}
