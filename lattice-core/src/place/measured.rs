//! Measures the balance, movement and time of placement, against limits that must hold.

use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

struct Fleet {
    hosts: Vec<(HostId, BTreeMap<String, String>)>,
    work: Vec<(ComponentId, Placement)>,
}

impl Fleet {
    fn new(seed: u64, hosts: usize, actors: usize, replicas: u32) -> Self {
        let host = |n| HostId::new(&format!("host-{seed}-{n}")).expect("valid");
        let id = |n| ComponentId::new(&format!("actor-{seed}-{n}")).expect("valid");
        let placement = Placement {
            replicas: Replicas::Exactly(replicas),
            ..Placement::default()
        };
        Self {
            hosts: (0..hosts).map(|n| (host(n), BTreeMap::new())).collect(),
            work: (0..actors).map(|n| (id(n), placement.clone())).collect(),
        }
    }

    fn place(&self, without: usize) -> Assignment {
        let work: Vec<_> = self
            .work
            .iter()
            .map(|(id, placement)| Workload {
                id,
                placement,
                needs_lease: false,
            })
            .collect();
        let hosts = self
            .hosts
            .iter()
            .skip(without)
            .map(|(id, labels)| Candidate {
                id,
                labels,
                duty: Duty::Works,
                follows_store: true,
            });
        place(&work, &hosts.collect::<Vec<_>>())
    }

    /// Returns the replicas of the fullest host and of the emptiest one, leaving out the first few
    /// hosts.
    fn extremes(&self, assignment: &Assignment, without: usize) -> (usize, usize) {
        let mut loads: BTreeMap<&HostId, usize> = self
            .hosts
            .iter()
            .skip(without)
            .map(|(id, _)| (id, 0))
            .collect();
        for (id, _) in &self.work {
            for (host, replicas) in assignment.hosts(id) {
                *loads.entry(host).or_default() += replicas as usize;
            }
        }
        let loads = || loads.values().copied();
        (loads().max().unwrap_or(0), loads().min().unwrap_or(0))
    }

    /// Returns how many replicas have to be started to get from one assignment to another.
    fn moved(&self, before: &Assignment, after: &Assignment) -> usize {
        let moved = self.work.iter().map(|(id, _)| {
            let before: BTreeMap<_, _> = before.hosts(id).collect();
            let gained = after
                .hosts(id)
                .map(|(host, n)| n.saturating_sub(before.get(host).copied().unwrap_or(0)));
            gained.sum::<u32>() as usize
        });
        moved.sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// With 50,000 replicas on 100 hosts, every load is within 20 % of the average, and at most 1.2
    /// times as many replicas move as must.
    #[test]
    fn placement_is_balanced_and_moves_few_replicas(seed: u64, replicas in prop::sample::select(vec![1, 2, 5, 20, 50, 100, 500])) {
        let fleet = Fleet::new(seed, 101, 50_000 / replicas as usize, replicas);
        let (more, fewer) = (fleet.place(0), fleet.place(1));
        let mean = 50_000 / 101;
        for assignment in [&more, &fewer] {
            let (most, least) = fleet.extremes(assignment, usize::from(assignment == &fewer));
            prop_assert!(most <= mean * 12 / 10 && least >= mean * 8 / 10, "{least} to {most} of {mean}");
        }
        let joined = fleet.moved(&fewer, &more);
        prop_assert!(joined <= mean * 12 / 10, "{joined} moved when one joined, of {mean}");
        let held = fleet.work.iter().flat_map(|(id, _)| more.hosts(id));
        let held: u32 = held.filter(|(host, _)| **host == fleet.hosts[0].0).map(|(_, n)| n).sum();
        let left = fleet.moved(&more, &fewer);
        prop_assert!(left <= held as usize * 12 / 10, "{left} moved when one left that held {held}");
    }
}

#[test]
fn few_replicas_move_among_a_thousand_hosts() {
    let fleets = (0..4).map(|seed| Fleet::new(seed, 1_001, 10_000, 3));
    let moved = fleets.map(|fleet| fleet.moved(&fleet.place(1), &fleet.place(0)));
    let (moved, must) = (moved.sum::<usize>(), 4 * 30_000 / 1_001);
    assert!(moved <= must * 13 / 10, "{moved} moved of {must}");
}

#[test]
fn a_full_reconcile_of_a_thousand_hosts_is_fast() {
    let fleet = Fleet::new(1, 1_000, 10_000, 3);
    let best = (0..5).map(|without| {
        let begun = Instant::now();
        let assignment = fleet.place(without);
        let share = assignment.of(&fleet.hosts[500].0).count();
        assert!(share > 10);
        begun.elapsed()
    });
    let best = best.min().unwrap_or(Duration::MAX);
    println!("full reconcile of 1,000 hosts and 10,000 actors: {best:?}");
    // The target is 50 ms on an idle core. This core may be shared.
    assert!(best < Duration::from_millis(500), "{best:?}");
}
