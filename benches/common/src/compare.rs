//! Measures the sides of a cell in turns.

use crate::{
    Failure,
    cell::Cell,
    cpu::Processes,
    figures::{Figures, Pair},
    measure::{self, Calls, Loops, Round},
    report::Report,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// The warm-up before a round takes the round's time divided by this.
pub const WARM_UP: u32 = 4;

/// How much longer than its time a round may take. A baseline without deadlines may hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A side and the processes that it keeps busy.
#[derive(Debug)]
pub struct Side<S> {
    /// What makes its calls.
    pub calls: Arc<S>,
    /// The processes whose CPU time its calls take.
    pub processes: Processes,
}

impl<S> Side<S> {
    /// A side that runs entirely in this process.
    pub fn here(calls: S) -> Self {
        Self {
            calls: Arc::new(calls),
            processes: Processes::own(),
        }
    }
}

/// Measures a cell by calls from tasks.
///
/// # Errors
/// Fails when a call of either side fails, or a round doesn't end.
pub async fn by_calls<A: Calls, B: Calls>(
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
///
/// # Errors
/// Fails when a call of either side fails.
pub async fn by_loops<A: Loops, B: Loops>(
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

/// Measures three sides in turns, by calls from tasks. Returns the figures of each.
///
/// # Errors
/// Fails when a call of a side fails, or a round doesn't end.
pub async fn in_turns<A: Calls, B: Calls, C: Calls>(
    report: &Report,
    cell: Cell,
    a: &Side<A>,
    b: &Side<B>,
    c: &Side<C>,
) -> Result<[Figures; 3], Failure> {
    let (mut of_a, mut of_b, mut of_c) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        of_a.push(round_of_calls(a, cell, report.time()).await?);
        of_b.push(round_of_calls(b, cell, report.time()).await?);
        of_c.push(round_of_calls(c, cell, report.time()).await?);
    }
    Ok([&of_a, &of_b, &of_c].map(|rounds| Figures::of(rounds)))
}

/// Measures one round of one side by calls from tasks, after a warm-up.
///
/// # Errors
/// Fails when a call fails, or the round doesn't end.
pub async fn round_of_calls<C: Calls>(
    side: &Side<C>,
    cell: Cell,
    time: Duration,
) -> Result<Round, Failure> {
    let round = |time| calls(side, cell, time);
    round(time / WARM_UP)
        .await
        .map_err(|failure| during(cell, failure))?;
    round(time).await.map_err(|failure| during(cell, failure))
}

async fn calls<C: Calls>(side: &Side<C>, cell: Cell, time: Duration) -> Result<Round, Failure> {
    let Cell {
        in_flight, size, ..
    } = cell;
    let calls = measure::calls(&side.calls, in_flight, size, time, &side.processes);
    timeout(time + PATIENCE, calls)
        .await
        .map_err(|_| "a reply did not arrive, and the call has no deadline of its own")?
}

/// Measures one round of one side by loops inside an actor, after a warm-up.
///
/// # Errors
/// Fails when a call fails.
pub async fn round_of_loops<L: Loops>(
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
