//! Placement: which host runs what, computed by every host for itself.
//!
//! [`place`] is a pure function of the desired state and the live hosts. Two hosts with the same
//! input compute the same result, on any machine and with any version of this crate: the hashes are
//! fixed in `hash.rs`, and a golden test checks them.
//!
//! # The rules
//! 1. A host is *allowed* if it takes work, carries every required label, carries no excluded one,
//!    and carries a value with a weight above 0 for each spread rule that has weights. (Without
//!    weights, hosts that lack the label are one group.)
//! 2. [`Replicas::PerHost`] is one replica on each allowed host.
//! 3. [`Replicas::Exactly`] is divided over the values of the first spread label that allowed hosts
//!    carry, then within each value over those of the second label, and so on. The remainder is
//!    distributed by rendezvous hashing, first to values that have a host to spare. The share of a
//!    value that no host carries goes to the other values.
//! 4. Within the last group, replicas go to different hosts by rendezvous hashing. If there are
//!    more replicas than hosts, the numbers of any two hosts differ by one at most.
//! 5. A workload that needs a lease runs on a host that follows the store, if any allowed one does.
//! 6. A host takes at most its expected load and one and a half standard deviations more. Replicas
//!    that hash to it after that go to the next host. This is rare enough that few other replicas
//!    move when a host joins or leaves, and it keeps the fullest host near the average.
//!
//! Replicas of a component are numbered: its *slots*, from 0. A slot's number only orders updates:
//! when hosts come and go, running replicas are renumbered and keep running.

mod assignment;
mod bound;
mod hash;
mod labels;
#[doc(hidden)]
pub mod members;
#[doc(hidden)]
pub mod plan;
mod tree;

#[cfg(test)]
mod measured;
#[cfg(test)]
mod tests;

#[doc(inline)]
pub use crate::wire::Duty;
pub use assignment::{Assignment, Share};
pub use labels::NoHost;

use crate::{
    desired::{Placement, Replicas},
    name::{ComponentId, HostId},
};
use assignment::ReplicaShares;
use bound::Loads;
use labels::LabelIndex;
use std::collections::{BTreeMap, btree_map::Entry};
use tree::{Chosen, Tree};

/// A component that is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Workload<'a> {
    /// The component.
    pub id: &'a ComponentId,
    /// How many replicas run, and where.
    pub placement: &'a Placement,
    /// Whether it runs under a lease of the store.
    pub needs_lease: bool,
}

/// A live host.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: &'a HostId,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it takes work.
    pub duty: Duty,
    /// Whether it follows the store and may write to it, without which it can't take a lease.
    pub follows_store: bool,
}

/// Places every workload on the hosts. The order of workloads and hosts doesn't matter. If several
/// have the same id, only the first of them counts.
///
/// Takes about 2 ns for each pair of a workload and an allowed host.
pub fn place(workloads: &[Workload<'_>], hosts: &[Candidate<'_>]) -> Assignment {
    let workloads: BTreeMap<_, _> = workloads
        .iter()
        .rev()
        .map(|workload| (workload.id, *workload))
        .collect();
    let hosts: BTreeMap<_, _> = hosts.iter().rev().map(|host| (host.id, *host)).collect();
    let hosts: Vec<Candidate<'_>> = hosts.into_values().collect();
    let seeds: Vec<u64> = hosts.iter().map(|host| hash::host(host.id)).collect();

    let classes = Classes::sort(&workloads, &hosts, &seeds);
    let mut loads = Loads::new(&seeds, &classes.expected(hosts.len()));
    let mut chosen = Chosen::default();
    let mut by_component = Vec::with_capacity(workloads.len());
    for ((id, workload), class) in workloads.into_iter().zip(&classes.of) {
        let tree = &classes.trees[*class];
        let placed = match (tree, workload.placement.replicas) {
            (Err(reason), Replicas::Exactly(replicas)) => {
                ReplicaShares::nowhere(reason.clone(), replicas)
            }
            (Err(reason), Replicas::PerHost) => ReplicaShares::nowhere(reason.clone(), 0),
            (Ok(tree), Replicas::Exactly(replicas)) => {
                tree.choose(hash::component(id), replicas, &mut loads, &mut chosen);
                ReplicaShares::on(chosen.ranked())
            }
            (Ok(tree), Replicas::PerHost) => {
                tree.everywhere(hash::component(id), &mut chosen);
                ReplicaShares::on(chosen.ranked())
            }
        };
        by_component.push((id.clone(), placed));
    }
    let hosts = hosts.iter().map(|host| host.id.clone()).collect();
    Assignment::new(hosts, by_component)
}

/// Workloads with the same rules, so that what depends only on rules and hosts is computed once.
struct Classes {
    trees: Vec<Result<Tree, NoHost>>,
    /// The index of each workload's tree.
    of: Vec<usize>,
    /// The number of workloads for each tree and number of replicas.
    counts: BTreeMap<(usize, u32), u32>,
}

type Rules<'a> = (
    &'a BTreeMap<String, String>,
    &'a BTreeMap<String, String>,
    Vec<(&'a String, &'a BTreeMap<String, u32>)>,
    bool,
);

impl Classes {
    fn sort(
        workloads: &BTreeMap<&ComponentId, Workload<'_>>,
        hosts: &[Candidate<'_>],
        seeds: &[u64],
    ) -> Self {
        let index = LabelIndex::new(hosts);
        let mut known: BTreeMap<Rules<'_>, usize> = BTreeMap::new();
        let mut classes = Self {
            trees: Vec::new(),
            of: Vec::with_capacity(workloads.len()),
            counts: BTreeMap::new(),
        };
        for workload in workloads.values() {
            let placement = workload.placement;
            let class = match known.entry(rules(workload)) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let allowed = index.allowed(placement);
                    let allowed = if workload.needs_lease {
                        allowed.map(|set| index.able_to_lease(set))
                    } else {
                        allowed
                    };
                    let tree =
                        allowed.map(|set| Tree::grow(&set, &placement.spread, &index, seeds));
                    classes.trees.push(tree);
                    *entry.insert(classes.trees.len() - 1)
                }
            };
            classes.of.push(class);
            if let Replicas::Exactly(replicas) = placement.replicas {
                *classes.counts.entry((class, replicas)).or_default() += 1;
            }
        }
        classes
    }

    fn expected(&self, hosts: usize) -> Vec<bound::Expected> {
        let mut expected = vec![bound::Expected::default(); hosts];
        for ((class, replicas), count) in &self.counts {
            if let Ok(tree) = &self.trees[*class] {
                tree.expect(f64::from(*replicas), f64::from(*count), &mut expected);
            }
        }
        expected
    }
}

fn rules<'a>(workload: &Workload<'a>) -> Rules<'a> {
    let placement = workload.placement;
    let spread = placement
        .spread
        .iter()
        .map(|rule| (&rule.label, &rule.weights));
    (
        &placement.require,
        &placement.exclude,
        spread.collect(),
        workload.needs_lease,
    )
}
