//! Each invariant is violated by an injected bug, and its checker finds it.

use lattice_sim::{Event, HostIndex, InjectedBug, Invariant, Scenario, Schedule, Trouble};
use std::time::Duration;

fn seen(bug: InjectedBug, schedule: &Schedule) -> Invariant {
    let scenario = Scenario::new(3).trouble(Duration::from_secs(12));
    if let Err(violation) = scenario.replay(1, schedule) {
        panic!("a violation without the bug: {violation}");
    }
    match scenario.inject(bug).replay(1, schedule) {
        Ok(summary) => panic!("{bug:?} was not noticed: {summary}"),
        Err(violation) => violation.invariant,
    }
}

fn peace() -> Schedule {
    Schedule::default()
}

/// Each host in turn is cut off from the rest, so that others take over.
fn partitions() -> Schedule {
    let cut = |host: usize| Event {
        at: Duration::from_secs(host as u64 * 4),
        lasts: Duration::from_secs(4),
        what: Trouble::Partition(vec![HostIndex(host)]),
    };
    Schedule((0..3).map(cut).collect())
}

/// Each host in turn loses the bus and keeps the store, so that others try to take over.
fn unplugged() -> Schedule {
    let unplug = |host: usize| Event {
        at: Duration::from_secs(host as u64 * 4),
        lasts: Duration::from_secs(4),
        what: Trouble::Unplug(HostIndex(host)),
    };
    Schedule((0..3).map(unplug).collect())
}

#[test]
fn late_calls_are_found() {
    assert_eq!(
        seen(InjectedBug::SlowClock, &partitions()),
        Invariant::EndsInTime
    );
}

#[test]
fn calls_that_ran_despite_their_error_are_found() {
    assert_eq!(
        seen(InjectedBug::DeniesThatItRan, &peace()),
        Invariant::SaysWhetherItRan
    );
}

#[test]
fn calls_that_run_twice_are_found() {
    assert_eq!(seen(InjectedBug::RunsTwice, &peace()), Invariant::RunsOnce);
}

#[test]
fn calls_without_a_grant_are_found() {
    assert_eq!(
        seen(InjectedBug::UndeclaredLink, &peace()),
        Invariant::Granted
    );
}

#[test]
fn leases_with_two_holders_are_found() {
    assert_eq!(
        seen(InjectedBug::GrantsAllLeases, &unplugged()),
        Invariant::OneHolder
    );
}

#[test]
fn lost_desired_state_is_found() {
    assert_eq!(
        seen(InjectedBug::LosesRecords, &peace()),
        Invariant::KeepsDesired
    );
}

#[test]
fn a_lattice_that_does_not_converge_is_found() {
    assert_eq!(
        seen(InjectedBug::NeverComesUp, &peace()),
        Invariant::Settles
    );
}

#[test]
fn damaged_bytes_are_found() {
    assert_eq!(
        seen(InjectedBug::DamagesBytes, &peace()),
        Invariant::KeepsBytes
    );
}

#[test]
fn messages_that_take_too_much_memory_are_found() {
    assert_eq!(
        seen(InjectedBug::ForgetsBounds, &peace()),
        Invariant::BoundsMemory
    );
}

#[test]
fn leaked_calls_are_found() {
    assert_eq!(
        seen(InjectedBug::NeverAnswers, &peace()),
        Invariant::EndsIdle
    );
}

/// The message of a failure is short, and enough to reproduce it.
#[test]
fn a_failure_prints_its_seed_and_the_shortest_schedule() {
    let scenario = Scenario::new(3)
        .trouble(Duration::from_secs(8))
        .inject(InjectedBug::RunsTwice);
    let failure = scenario.run(3).expect_err("it is broken");
    assert_eq!(failure.seed, 3);
    assert_eq!(
        failure.schedule,
        Schedule::default(),
        "it fails without any trouble"
    );
    let again = scenario.replay(failure.seed, &failure.schedule);
    assert_eq!(again.expect_err("again"), failure.violation);
    let text = failure.to_string();
    assert!(text.contains("LATTICE_SIM_SEED=3"), "{text}");
    assert!(text.contains("RunsOnce"), "{text}");
}
