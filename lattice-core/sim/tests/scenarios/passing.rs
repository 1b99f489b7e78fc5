//! Resources and streams between hosts, with random trouble.

use lattice_core::__private::Random;
use lattice_sim::{
    Event, HostIndex, InjectedBug, Invariant, Scenario, Schedule, Summary, Trouble, Violation,
};
use std::{ops::Range, time::Duration};

/// Longer than the lease of a handle, and than it takes to notice that.
const LONG: Duration = Duration::from_secs(50);

/// Three to five hosts.
fn scenario(seed: u64) -> Scenario {
    Scenario::new(3 + (seed % 3) as usize).passing()
}

fn run(seeds: Range<u64>) {
    let (mut failed, mut all) = (Vec::new(), Summary::default());
    let count = seeds.end - seeds.start;
    for seed in seeds {
        match scenario(seed).run(seed) {
            Ok(summary) => add(&mut all, &summary),
            Err(failure) => failed.push(failure.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    is_enough(&all, count as usize);
}

fn add(all: &mut Summary, one: &Summary) {
    all.resources += one.resources;
    all.uses += one.uses;
    all.streams += one.streams;
}

/// Each run has done something of everything.
fn is_enough(all: &Summary, runs: usize) {
    println!(
        "{} resources, used {} times, and {} whole streams",
        all.resources, all.uses, all.streams
    );
    assert!(all.resources > 20 * runs, "{}", all.resources);
    assert!(all.uses > 20 * runs, "{}", all.uses);
    assert!(all.streams > 5 * runs, "{}", all.streams);
}

macro_rules! seeds {
    ($($name:ident: $seeds:expr;)*) => { $(#[test] fn $name() { run($seeds); })* };
}

seeds! {
    what_is_passed_in_seeds_0_to_9: 0..10;
    what_is_passed_in_seeds_10_to_19: 10..20;
    what_is_passed_in_seeds_20_to_29: 20..30;
}

fn event(at: u64, lasts: Duration, what: Trouble) -> Event {
    Event {
        at: Duration::from_secs(at),
        lasts,
        what,
    }
}

/// A host is away for longer than the lease of what it holds, and for a moment before and after.
fn long(seed: u64) -> Schedule {
    let mut random = Random::new(seed);
    let host = HostIndex(random.below(3) as usize);
    let away = |random: &mut Random| match random.below(6) {
        0 => Trouble::Kill(host),
        1 => Trouble::PowerCut(host),
        2 => Trouble::Pause(host),
        3 => Trouble::Partition(vec![host]),
        4 => Trouble::Split(vec![host]),
        _ => Trouble::Unplug(host),
    };
    let moment = Duration::from_secs(2 + random.below(8));
    Schedule(vec![
        event(4, moment, away(&mut random)),
        event(18, LONG, away(&mut random)),
        event(72, moment, away(&mut random)),
    ])
}

fn long_scenario() -> Scenario {
    let trouble = Duration::from_secs(18) + LONG + Duration::from_secs(16);
    Scenario::new(3).trouble(trouble).passing()
}

fn run_long(seeds: Range<u64>) {
    let (mut all, count) = (Summary::default(), seeds.end - seeds.start);
    for seed in seeds {
        let schedule = long(seed);
        let summary = long_scenario().replay(seed, &schedule);
        let summary =
            summary.unwrap_or_else(|violation| panic!("seed {seed}: {violation}\n{schedule}"));
        add(&mut all, &summary);
    }
    is_enough(&all, count as usize);
}

#[test]
fn what_is_passed_to_hosts_that_are_away_for_long_in_seeds_0_to_3() {
    run_long(0..4);
}

#[test]
fn what_is_passed_to_hosts_that_are_away_for_long_in_seeds_4_to_7() {
    run_long(4..8);
}

fn found(scenario: &Scenario, bug: InjectedBug, schedule: &Schedule) -> Violation {
    if let Err(violation) = scenario.replay(1, schedule) {
        panic!("a violation without the bug: {violation}");
    }
    match scenario.clone().inject(bug).replay(1, schedule) {
        Ok(summary) => panic!("{bug:?} was not noticed: {summary}"),
        Err(violation) => violation,
    }
}

/// Without any trouble.
fn found_in_peace(bug: InjectedBug) -> Violation {
    let scenario = Scenario::new(3).trouble(Duration::from_secs(12)).passing();
    found(&scenario, bug, &Schedule::default())
}

#[test]
fn a_resource_that_outlives_its_last_handle_is_found() {
    let violation = found_in_peace(InjectedBug::KeepsDropped);
    assert_eq!(violation.invariant, Invariant::EndsLeases);
    assert!(violation.what.contains("are left"), "{violation}");
}

#[test]
fn a_handle_that_outlives_the_lease_of_its_holder_is_found() {
    let cut = Trouble::Partition(vec![HostIndex(1)]);
    let schedule = Schedule(vec![event(8, LONG, cut)]);
    let violation = found(&long_scenario(), InjectedBug::KeepsDropped, &schedule);
    assert_eq!(violation.invariant, Invariant::EndsLeases);
    assert!(violation.what.contains("its lease is"), "{violation}");
}

#[test]
fn a_resource_that_is_dropped_while_it_is_held_is_found() {
    let violation = found_in_peace(InjectedBug::DropsUsed);
    assert_eq!(violation.invariant, Invariant::KeepsHandles);
}

#[test]
fn lost_elements_of_streams_are_found() {
    let violation = found_in_peace(InjectedBug::LosesElements);
    assert_eq!(violation.invariant, Invariant::KeepsBytes);
}
