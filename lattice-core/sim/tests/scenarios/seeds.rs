//! Random trouble. `LATTICE_SIM_SEED=7` or `LATTICE_SIM_SEED=500..9000` runs other seeds than the
//! usual 500.

use lattice_sim::{Event, HostIndex, Scenario, Schedule, Trouble};
use std::{ops::Range, time::Duration};

const SEED: &str = "LATTICE_SIM_SEED";

/// Three to six hosts.
fn scenario(seed: u64) -> Scenario {
    Scenario::new(3 + (seed % 4) as usize)
}

fn run(seeds: Range<u64>) {
    let seeds = match std::env::var(SEED) {
        Err(_) => seeds,
        // Only the first of the tests runs them.
        Ok(_) if seeds.start > 0 => return,
        Ok(wanted) => range(&wanted),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        match scenario(seed).run(seed) {
            Ok(summary) => println!("{seed}: {summary}"),
            Err(failure) => failed.push(failure.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn range(wanted: &str) -> Range<u64> {
    let number = |text: &str| {
        text.parse::<u64>()
            .expect("LATTICE_SIM_SEED: a number, or two as 500..900")
    };
    match wanted.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(wanted)..number(wanted) + 1,
    }
}

macro_rules! seeds {
    ($($name:ident: $seeds:expr;)*) => { $(#[test] fn $name() { run($seeds); })* };
}

seeds! {
    seeds_0_to_49: 0..50;
    seeds_50_to_99: 50..100;
    seeds_100_to_149: 100..150;
    seeds_150_to_199: 150..200;
    seeds_200_to_249: 200..250;
    seeds_250_to_299: 250..300;
    seeds_300_to_349: 300..350;
    seeds_350_to_399: 350..400;
    seeds_400_to_449: 400..450;
    seeds_450_to_499: 450..500;
}

/// During and after a partition of five hosts, only the holder of the lease replies at any moment.
#[test]
fn a_partition_of_five_hosts_never_has_two_lease_holders() {
    let mut moments = 0;
    for (seed, cut) in (1000..).zip([1, 2, 3, 4]) {
        let side: Vec<HostIndex> = (0..cut).map(HostIndex).collect();
        let what = [Trouble::Partition(side.clone()), Trouble::Split(side)];
        for what in what {
            let schedule = Schedule(vec![Event {
                at: Duration::from_secs(2),
                lasts: Duration::from_secs(15),
                what,
            }]);
            let summary = Scenario::new(5).replay(seed, &schedule);
            let summary = summary.unwrap_or_else(|violation| panic!("{violation}\n{schedule}"));
            assert_eq!(summary.double_holders, 0, "{summary}");
            moments += summary.moments;
        }
    }
    println!("no double holders in {moments} moments");
}

/// A host that starts with a clock that is an hour off works as any other. So does its next start
/// at the right time.
#[test]
fn a_host_whose_clock_is_off_by_an_hour_takes_part() {
    let host = HostIndex(1);
    let event = |at, lasts, what| Event {
        at: Duration::from_secs(at),
        lasts: Duration::from_secs(lasts),
        what,
    };
    for (seed, off) in (2000..).zip([3_600, -3_600]) {
        let schedule = Schedule(vec![
            event(1, 30, Trouble::TimeOfDay(host, off)),
            event(2, 2, Trouble::Kill(host)),
            event(40, 2, Trouble::Kill(host)),
        ]);
        let scenario = Scenario::new(3).trouble(Duration::from_mins(1));
        let summary = scenario.replay(seed, &schedule);
        let summary = summary.unwrap_or_else(|violation| panic!("{off}: {violation}"));
        println!("{off}: {summary}");
    }
}

/// Found by random trouble: a component that runs once was stopped while it started, and started
/// again under a new lease. It was served with the old one, and never replied.
#[test]
fn an_abandoned_start_does_not_affect_the_next_one() {
    let event = |at, lasts, what| Event {
        at: Duration::from_millis(at),
        lasts: Duration::from_millis(lasts),
        what,
    };
    let both = vec![HostIndex(0), HostIndex(1)];
    let schedule = Schedule(vec![
        event(1_136, 921, Trouble::Leave(HostIndex(1))),
        event(7_598, 1_978, Trouble::Kill(HostIndex(1))),
        event(7_621, 6_818, Trouble::Kill(HostIndex(2))),
        event(11_091, 1_687, Trouble::Partition(vec![HostIndex(0)])),
        event(
            14_031,
            2_181,
            Trouble::Partition(vec![HostIndex(0), HostIndex(3)]),
        ),
        event(17_114, 1_613, Trouble::Split(both)),
        event(19_340, 1_558, Trouble::Unplug(HostIndex(1))),
    ]);
    let summary = scenario(1_029).replay(1_029, &schedule);
    summary.unwrap_or_else(|violation| panic!("{violation}\n{schedule}"));
}
