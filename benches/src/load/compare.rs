//! Measures both sides of a cell in turns.

use crate::Failure;
use crate::load::{
    cell::Cell,
    cpu::Processes,
    measure::{self, Calls, Loops, Round},
    report::Report,
};
use std::{sync::Arc, time::Duration};

/// The warm-up before a round takes the round's time divided by this.
pub(crate) const WARM_UP: u32 = 4;

/// The figures of one side over all of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Calls per second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
    /// Microseconds per call.
    pub(crate) cpu: f64,
}

/// The figures of both sides of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) cell: Cell,
    pub(crate) ours: Figures,
    pub(crate) baseline: Figures,
}

/// A side and the processes that it keeps busy.
pub(crate) struct Side<S> {
    pub(crate) calls: Arc<S>,
    pub(crate) processes: Processes,
}

impl<S> Side<S> {
    /// A side that runs entirely in this process.
    pub(crate) fn here(calls: S) -> Self {
        Self {
            calls: Arc::new(calls),
            processes: Processes::own(),
        }
    }
}

/// Measures a cell by calls from tasks.
pub(crate) async fn by_calls<A: Calls, B: Calls>(
    report: &mut Report,
    cell: Cell,
    ours: &Side<A>,
    baseline: &Side<B>,
) -> Result<(), Failure> {
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        of_ours.push(round_of_calls(ours, cell, report.time()).await?);
        of_baseline.push(round_of_calls(baseline, cell, report.time()).await?);
    }
    report.add(Pair {
        cell,
        ours: Figures::of(&of_ours),
        baseline: Figures::of(&of_baseline),
    });
    Ok(())
}

/// Measures a cell by loops inside an actor.
pub(crate) async fn by_loops<A: Loops, B: Loops>(
    report: &mut Report,
    cell: Cell,
    ours: &Side<A>,
    baseline: &Side<B>,
) -> Result<(), Failure> {
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        of_ours.push(round_of_loops(ours, cell, report.time()).await?);
        of_baseline.push(round_of_loops(baseline, cell, report.time()).await?);
    }
    report.add(Pair {
        cell,
        ours: Figures::of(&of_ours),
        baseline: Figures::of(&of_baseline),
    });
    Ok(())
}

pub(crate) async fn round_of_calls<C: Calls>(
    side: &Side<C>,
    cell: Cell,
    time: Duration,
) -> Result<Round, Failure> {
    let round = |time| {
        measure::calls(
            &side.calls,
            cell.in_flight,
            cell.size,
            time,
            &side.processes,
        )
    };
    round(time / WARM_UP)
        .await
        .map_err(|failure| during(cell, failure))?;
    round(time).await.map_err(|failure| during(cell, failure))
}

async fn round_of_loops<L: Loops>(
    side: &Side<L>,
    cell: Cell,
    time: Duration,
) -> Result<Round, Failure> {
    let round = |time| measure::loops(&*side.calls, cell.size, time, &side.processes);
    round(time / WARM_UP)
        .await
        .map_err(|failure| during(cell, failure))?;
    round(time).await.map_err(|failure| during(cell, failure))
}

fn during(cell: Cell, failure: Failure) -> Failure {
    Box::new(Aborted { cell, failure })
}

/// A call failed, so the sides can't be compared.
#[derive(Debug, thiserror::Error)]
#[error("a call failed while `{cell}` was measured")]
struct Aborted {
    cell: Cell,
    #[source]
    failure: Failure,
}

impl Figures {
    pub(crate) fn of(rounds: &[Round]) -> Self {
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
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
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
