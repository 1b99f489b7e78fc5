//! Shortens a failing schedule.

use super::schedule::Schedule;
use std::time::{Duration, Instant};

/// Returns the shortest schedule found that still fails, by leaving out first halves and then
/// single events. Stops after `within` of real time, with the result so far.
///
/// `fails` runs a schedule and returns the failure, if there was one. The result has what it
/// returned for the schedule that is left. Returns `None` when `whole` itself doesn't fail.
pub fn shortest<T>(
    whole: &Schedule,
    within: Duration,
    mut fails: impl FnMut(&Schedule) -> Option<T>,
) -> Option<(Schedule, T)> {
    let begun = Instant::now();
    let mut best = (whole.clone(), fails(whole)?);
    let mut size = whole.0.len();
    while size > 0 {
        let mut from = 0;
        while from < best.0.0.len() {
            if begun.elapsed() >= within {
                return Some(best);
            }
            let fewer = best.0.without(from, size);
            match fails(&fewer) {
                Some(reason) => best = (fewer, reason),
                None => from += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, HostIndex, Trouble};

    fn event(what: Trouble) -> Event {
        Event {
            at: Duration::ZERO,
            lasts: Duration::ZERO,
            what,
        }
    }

    #[test]
    fn a_schedule_is_shrunk_to_the_events_that_cause_the_failure() {
        let kills = (0..9).map(|host| event(Trouble::Kill(HostIndex(host))));
        let whole = Schedule(kills.collect());
        let needs = [
            event(Trouble::Kill(HostIndex(2))),
            event(Trouble::Kill(HostIndex(7))),
        ];
        let fails = |schedule: &Schedule| {
            let fails = needs.iter().all(|event| schedule.0.contains(event));
            fails.then_some("both")
        };
        let (left, reason) = shortest(&whole, Duration::from_secs(60), fails).expect("it fails");
        assert_eq!((left.0.as_slice(), reason), (&needs[..], "both"));
        assert_eq!(
            shortest(&whole, Duration::ZERO, fails).expect("it fails").0,
            whole
        );
        assert_eq!(
            shortest(&Schedule::default(), Duration::from_secs(60), fails),
            None
        );
    }
}
