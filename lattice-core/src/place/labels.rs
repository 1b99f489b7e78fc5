//! Finds the hosts that the label rules allow, or the reason that they allow none.

use super::{Candidate, Duty};
use crate::desired::{Placement, SpreadRule};
use std::collections::BTreeMap;

/// Why no host may run a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoHost {
    /// No host takes work.
    #[error("no host takes work; start one")]
    Working,
    /// A required label that no host carries.
    #[error("no host has label `{label}={value}`; give it to one, or change `require`")]
    Lacking {
        /// The label.
        label: String,
        /// Its value.
        value: String,
    },
    /// Each required label is carried by some host, but no host carries all of them.
    #[error("no host has all the labels that `require` names; give them to one, or require fewer")]
    LackingTogether,
    /// The last host that `require` allows carries an excluded label.
    #[error(
        "every host that `require` allows has the excluded label `{label}={value}`; start one without it, or change `exclude`"
    )]
    Excluded {
        /// The label.
        label: String,
        /// Its value.
        value: String,
    },
    /// No host that the other rules allow carries a value that has a weight.
    #[error(
        "no allowed host has a value of label `{label}` that `spread` gives a weight; name one that a host has"
    )]
    Weightless {
        /// The label.
        label: String,
    },
}

/// Returns whether a host with these labels lacks a required label or carries an excluded one.
pub(super) fn forbids(placement: &Placement, labels: &BTreeMap<String, String>) -> bool {
    let carried = |(label, value): (&String, &String)| labels.get(label) == Some(value);
    !placement.require.iter().all(carried) || placement.exclude.iter().any(carried)
}

/// A set of hosts, by their indices in the list of all hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostSet(Vec<u64>);

impl HostSet {
    fn empty(hosts: usize) -> Self {
        Self(vec![0; hosts.div_ceil(64)])
    }

    fn insert(&mut self, host: usize) {
        self.0[host / 64] |= 1 << (host % 64);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        self
    }

    fn and_not(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
        self
    }

    fn or(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        self
    }

    /// Returns the indices of the hosts in the set, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let some = |word: u64| (word != 0).then_some(word);
            // Each step clears the lowest bit.
            std::iter::successors(some(*word), move |word| some(word & (word - 1)))
                .map(move |word| at * 64 + word.trailing_zeros() as usize)
        })
    }
}

/// The hosts that carry each label.
pub(super) struct LabelIndex<'a> {
    hosts: usize,
    working: HostSet,
    /// Those that follow the store.
    following: HostSet,
    labels: BTreeMap<&'a str, BTreeMap<&'a str, HostSet>>,
}

impl<'a> LabelIndex<'a> {
    pub(super) fn new(hosts: &[Candidate<'a>]) -> Self {
        let mut index = Self {
            hosts: hosts.len(),
            working: HostSet::empty(hosts.len()),
            following: HostSet::empty(hosts.len()),
            labels: BTreeMap::new(),
        };
        let working = hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| host.duty == Duty::Works);
        for (at, host) in working {
            index.working.insert(at);
            if host.follows_store {
                index.following.insert(at);
            }
            for (label, value) in host.labels {
                let values = index.labels.entry(label).or_default();
                let set = values
                    .entry(value)
                    .or_insert_with(|| HostSet::empty(hosts.len()));
                set.insert(at);
            }
        }
        index
    }

    /// Returns the hosts that the rules allow.
    pub(super) fn allowed(&self, placement: &Placement) -> Result<HostSet, NoHost> {
        let mut allowed = self.working.clone();
        if allowed.is_empty() {
            return Err(NoHost::Working);
        }
        for (label, value) in &placement.require {
            let carrying = self.carrying(label, value).ok_or_else(|| NoHost::Lacking {
                label: label.clone(),
                value: value.clone(),
            })?;
            allowed = allowed.and(carrying);
        }
        if allowed.is_empty() {
            return Err(NoHost::LackingTogether);
        }
        for (label, value) in &placement.exclude {
            if let Some(carrying) = self.carrying(label, value) {
                allowed = allowed.and_not(carrying);
            }
            if allowed.is_empty() {
                return Err(NoHost::Excluded {
                    label: label.clone(),
                    value: value.clone(),
                });
            }
        }
        for rule in placement
            .spread
            .iter()
            .filter(|rule| !rule.weights.is_empty())
        {
            allowed = allowed.and(&self.weighted(rule));
            if allowed.is_empty() {
                return Err(NoHost::Weightless {
                    label: rule.label.clone(),
                });
            }
        }
        Ok(allowed)
    }

    /// Returns those of the allowed hosts that can take a lease. If none can, they all wait for the
    /// store, and nothing moves.
    pub(super) fn able_to_lease(&self, allowed: HostSet) -> HostSet {
        let able = allowed.clone().and(&self.following);
        if able.is_empty() { allowed } else { able }
    }

    /// Divides `among` by the values of the rule's label. Returns each value with its weight and
    /// its hosts.
    pub(super) fn divide<'b>(
        &'b self,
        among: &HostSet,
        rule: &'b SpreadRule,
    ) -> Vec<(&'b str, u32, HostSet)> {
        let mut without = among.clone();
        let mut groups = Vec::new();
        for (value, carrying) in self.labels.get(rule.label.as_str()).into_iter().flatten() {
            let weight = if rule.weights.is_empty() {
                1
            } else {
                rule.weights.get(*value).copied().unwrap_or(0)
            };
            let group = among.clone().and(carrying);
            without = without.and_not(carrying);
            if weight > 0 && !group.is_empty() {
                groups.push((*value, weight, group));
            }
        }
        if rule.weights.is_empty() && !without.is_empty() {
            join_unlabelled(&mut groups, without);
        }
        groups
    }

    fn carrying(&self, label: &str, value: &str) -> Option<&HostSet> {
        self.labels.get(label)?.get(value)
    }

    fn weighted(&self, rule: &SpreadRule) -> HostSet {
        let named = rule.weights.iter().filter(|(_, weight)| **weight > 0);
        let carrying = named.filter_map(|(value, _)| self.carrying(&rule.label, value));
        carrying.fold(HostSet::empty(self.hosts), HostSet::or)
    }
}

/// Adds the hosts without the label to the group whose value is empty.
fn join_unlabelled(groups: &mut Vec<(&str, u32, HostSet)>, without: HostSet) {
    match groups.first_mut() {
        Some(("", _, group)) => *group = group.clone().or(&without),
        _ => groups.insert(0, ("", 1, without)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_a_set_are_the_inserted_ones() {
        for hosts in [&[][..], &[0], &[63], &[64], &[0, 1, 63, 64, 127, 129]] {
            let mut set = HostSet::empty(130);
            for host in hosts {
                set.insert(*host);
            }
            assert_eq!(set.iter().collect::<Vec<_>>(), hosts);
        }
    }
}
