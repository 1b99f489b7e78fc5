//! The checks of the invariants.

use super::{
    invariant::Invariant,
    record::{CallRecord, Run, Via},
    store::Boot,
    world::TICK,
};
use lattice_core::call::Ran;
use std::time::Duration;

/// How long after its deadline a call may end.
const LATE: Duration = Duration::from_millis(50);
/// How long a host that has seen the deletion of a link may still run calls through it, because
/// they are in progress.
const OUTLIVES: Duration = Duration::from_secs(4);

/// Checks a call that has run once more.
pub(super) fn ran(call: &CallRecord) -> Option<(Invariant, String)> {
    if call.runs.len() > 1 && !call.repeatable {
        let runs = describe(&call.runs);
        return Some((
            Invariant::RunsOnce,
            format!("{call} is not idempotent and ran on {runs}"),
        ));
    }
    is_truthful(call)
}

/// Checks a call that has ended.
pub(super) fn ended(call: &CallRecord, stopped: Option<Duration>) -> Option<(Invariant, String)> {
    let ended = call.ended.as_ref()?;
    let late = ended.took.saturating_sub(call.timeout);
    // A host that was paused ends late calls when it continues.
    let excused = stopped.is_some_and(|at| at >= call.begun && ended.at <= at + LATE + TICK * 2);
    if late > LATE && !excused {
        return Some((
            Invariant::EndsInTime,
            format!("{call} ended {late:?} after its deadline"),
        ));
    }
    if ended.outcome.is_ok()
        && let Some(run) = call.runs.iter().find(|run| run.is_stale)
    {
        return Some((
            Invariant::OneHolder,
            format!("{call} got its value from {run}, after another host had taken over"),
        ));
    }
    is_truthful(call)
}

/// Checks a call that has not ended, of a host that runs.
pub(super) fn open(
    call: &CallRecord,
    now: Duration,
    stopped: Option<Duration>,
) -> Option<(Invariant, String)> {
    let by = (call.begun + call.timeout).max(stopped.unwrap_or_default()) + LATE + TICK * 2;
    (now > by).then(|| {
        let late = now.saturating_sub(call.begun + call.timeout);
        (
            Invariant::EndsInTime,
            format!("{call} has not ended {late:?} after its deadline"),
        )
    })
}

/// Returns why a call through `via` must not run, if so: the link was deleted at `revoked`, and the
/// host has received every change since `current_since`.
pub(super) fn granted(
    via: &Via,
    revoked: Option<Duration>,
    current_since: Option<Duration>,
    now: Duration,
) -> Option<String> {
    match via {
        Via::Operator | Via::Link(_) => None,
        Via::Guest => {
            let (revoked, current_since) = (revoked?, current_since?);
            let since = revoked.max(current_since);
            (now > since + OUTLIVES).then(|| format!("the link was deleted at {revoked:?}"))
        }
        Via::Unlinked => Some("this link has never existed".to_owned()),
    }
}

/// Returns why a component that runs once must not run, if its host doesn't hold the lease.
pub(super) fn holds(run: &Run, holder: Option<Boot>) -> Option<String> {
    (holder != Some(run.boot)).then(|| match holder {
        Some(Boot { host, number }) => {
            format!("{run} ran it, and boot {number} of {host} had the lease")
        }
        None => format!("{run} ran it, and no host had the lease"),
    })
}

fn is_truthful(call: &CallRecord) -> Option<(Invariant, String)> {
    let ended = call.ended.as_ref()?;
    let wrong = match &ended.outcome {
        Ok(answer) if *answer != call.id => format!("returned {answer}"),
        Ok(_) if call.runs.is_empty() => "returned a value, and ran nowhere".to_owned(),
        Err((Ran::No, error)) if !call.runs.is_empty() => {
            format!("ran on {}, and ended with: {error}", describe(&call.runs))
        }
        _ => return None,
    };
    Some((Invariant::SaysWhetherItRan, format!("{call} {wrong}")))
}

fn describe(runs: &[Run]) -> String {
    let runs: Vec<String> = runs.iter().map(Run::to_string).collect();
    runs.join(" and ")
}
