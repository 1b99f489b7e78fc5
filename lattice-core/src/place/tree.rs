//! The allowed hosts of a workload, divided by its spread rules, and the choice of hosts among
//! them.

use super::{
    bound::{Expected, Loads},
    hash,
    labels::{HostSet, LabelIndex},
};
use crate::desired::SpreadRule;
use std::cmp::Reverse;

/// The allowed hosts, divided by the values of one label after another.
pub(super) enum Tree {
    Hosts(Leaf),
    Groups(Vec<Group>),
}

pub(super) struct Leaf {
    hosts: Vec<u32>,
    seeds: Vec<u64>,
}

pub(super) struct Group {
    weight: u32,
    seed: u64,
    hosts: u32,
    tree: Tree,
}

/// The hosts chosen for one workload. The buffers are reused for the next workload.
#[derive(Default)]
pub(super) struct Chosen {
    hosts: Vec<Choice>,
    ranks: Vec<(u64, u32)>,
}

#[derive(Clone, Copy)]
struct Choice {
    host: u32,
    replicas: u32,
    rank: u64,
}

impl Chosen {
    /// Returns each host with its number of replicas, in the order of the slots. A host with more
    /// replicas comes first, and among equals the one with the higher rank.
    pub(super) fn ranked(&mut self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.hosts.sort_unstable_by_key(|choice| {
            (Reverse(choice.replicas), Reverse(choice.rank), choice.host)
        });
        self.hosts
            .drain(..)
            .map(|choice| (choice.host, choice.replicas))
    }
}

impl Tree {
    /// Divides `allowed`, which must not be empty, by the first rule, and each part by the next
    /// rule.
    pub(super) fn grow(
        allowed: &HostSet,
        rules: &[SpreadRule],
        index: &LabelIndex<'_>,
        seeds: &[u64],
    ) -> Self {
        let Some((rule, rest)) = rules.split_first() else {
            let hosts: Vec<u32> = allowed.iter().map(|host| host as u32).collect();
            let seeds = hosts.iter().map(|host| seeds[*host as usize]).collect();
            return Self::Hosts(Leaf { hosts, seeds });
        };
        let groups = index.divide(allowed, rule);
        let grown = groups.into_iter().map(|(value, weight, hosts)| Group {
            weight,
            seed: hash::group(&rule.label, value),
            hosts: hosts.iter().count() as u32,
            tree: Self::grow(&hosts, rest, index, seeds),
        });
        Self::Groups(grown.collect())
    }

    /// Adds the load that `count` workloads of `replicas` each bring to every host, as far as it is
    /// known without hashing.
    pub(super) fn expect(&self, replicas: f64, count: f64, expected: &mut [Expected]) {
        match self {
            Self::Hosts(leaf) => {
                let each = replicas / leaf.hosts.len() as f64;
                for host in &leaf.hosts {
                    expected[*host as usize].add(each, count);
                }
            }
            Self::Groups(groups) => {
                let total: f64 = groups.iter().map(|group| f64::from(group.weight)).sum();
                for group in groups {
                    group
                        .tree
                        .expect(replicas * f64::from(group.weight) / total, count, expected);
                }
            }
        }
    }

    /// Chooses hosts for this many replicas of a component.
    pub(super) fn choose(&self, seed: u64, replicas: u32, loads: &mut Loads, chosen: &mut Chosen) {
        if replicas == 0 {
            return;
        }
        match self {
            Self::Hosts(leaf) => leaf.choose(seed, replicas, loads, chosen),
            Self::Groups(groups) => {
                let parts = divide(groups, seed, replicas);
                for (group, part) in groups.iter().zip(parts) {
                    group.tree.choose(seed, part, loads, chosen);
                }
            }
        }
    }

    /// Chooses every host once.
    pub(super) fn everywhere(&self, seed: u64, chosen: &mut Chosen) {
        match self {
            Self::Hosts(leaf) => {
                let hosts = leaf.hosts.iter().zip(&leaf.seeds);
                chosen.hosts.extend(hosts.map(|(host, own)| Choice {
                    host: *host,
                    replicas: 1,
                    rank: hash::rank(seed, *own),
                }));
            }
            Self::Groups(groups) => groups
                .iter()
                .for_each(|group| group.tree.everywhere(seed, chosen)),
        }
    }
}

/// Returns the part of each group: its share rounded down, and one more for the groups that win the
/// race for the remainder.
fn divide(groups: &[Group], seed: u64, replicas: u32) -> Vec<u32> {
    let total: u64 = groups.iter().map(|group| u64::from(group.weight)).sum();
    let shares = groups
        .iter()
        .map(|group| u64::from(replicas) * u64::from(group.weight));
    let (mut parts, rests): (Vec<u32>, Vec<u64>) = shares
        .map(|share| ((share / total) as u32, share % total))
        .unzip();
    let missing = (replicas - parts.iter().sum::<u32>()) as usize;
    if missing == 0 {
        return parts;
    }
    let even = rests.iter().all(|rest| *rest == rests[0]);
    let mut racers: Vec<(bool, u64, usize)> = groups
        .iter()
        .enumerate()
        .filter(|(at, _)| rests[*at] > 0)
        .map(|(at, group)| {
            let rank = hash::rank(seed, group.seed);
            let arrival = if even {
                !rank
            } else {
                // Positive floats have the same order as their bits.
                (hash::waiting_time(rank) / rests[at] as f64).to_bits()
            };
            (group.hosts <= parts[at], arrival, at)
        })
        .collect();
    if missing < racers.len() {
        racers.select_nth_unstable(missing);
    }
    for (_, _, at) in racers.into_iter().take(missing) {
        parts[at] += 1;
    }
    parts
}

/// The highest bit of a rank, which marks a host that is below its bound.
const OPEN: u64 = 1 << 63;
/// For this few replicas, looking at each host once is faster than selecting from all ranks.
const FEW: usize = 8;

impl Leaf {
    fn choose(&self, seed: u64, replicas: u32, loads: &mut Loads, chosen: &mut Chosen) {
        let hosts = self.hosts.len() as u32;
        let (each, more) = (replicas / hosts, (replicas % hosts) as usize);
        let first = chosen.hosts.len();
        if each > 0 {
            let all = self.hosts.iter().zip(&self.seeds);
            chosen.hosts.extend(all.map(|(host, own)| Choice {
                host: *host,
                replicas: each,
                rank: hash::rank(seed, *own),
            }));
        }
        self.best(seed, more, loads, &mut chosen.ranks);
        for (_, at) in &chosen.ranks {
            let at = *at as usize;
            match each {
                0 => chosen.hosts.push(Choice {
                    host: self.hosts[at],
                    replicas: 1,
                    rank: hash::rank(seed, self.seeds[at]),
                }),
                _ => chosen.hosts[first + at].replicas += 1,
            }
        }
        for choice in &chosen.hosts[first..] {
            loads.add(choice.host, choice.replicas);
        }
    }

    /// Finds the `count` hosts with the highest ranks. Hosts that have reached their bound come
    /// last.
    fn best(&self, seed: u64, count: usize, loads: &Loads, best: &mut Vec<(u64, u32)>) {
        best.clear();
        if count == 0 {
            return;
        }
        let closed = |at: usize| hash::rank(seed, self.seeds[at]) >> 1;
        let open = |at: usize| if loads.open(self.hosts[at]) { OPEN } else { 0 };
        if count > FEW {
            best.extend((0..self.hosts.len()).map(|at| (closed(at) | open(at), at as u32)));
            best.select_nth_unstable_by_key(count - 1, |(rank, at)| (Reverse(*rank), *at));
            best.truncate(count);
            return;
        }
        let mut last = 0;
        for at in 0..self.hosts.len() {
            let rank = closed(at);
            if best.len() == count && rank | OPEN <= last {
                continue;
            }
            let rank = rank | open(at);
            if best.len() == count {
                if rank <= last {
                    continue;
                }
                best.pop();
            }
            let place = best.partition_point(|(other, _)| *other >= rank);
            best.insert(place, (rank, at as u32));
            last = best[best.len() - 1].0;
        }
    }
}
