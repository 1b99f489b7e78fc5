//! The placement rules, for any lattice.

use super::*;
use crate::desired::SpreadRule;
use proptest::prelude::*;
use std::collections::BTreeSet;

type Labels = BTreeMap<String, String>;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect()
}

fn spread(label: &str, weights: &[(&str, u32)]) -> SpreadRule {
    SpreadRule {
        label: label.to_owned(),
        weights: weights
            .iter()
            .map(|(value, weight)| ((*value).to_owned(), *weight))
            .collect(),
    }
}

fn host(n: usize) -> HostId {
    HostId::new(&format!("host-{n}")).expect("valid")
}

fn component(n: usize) -> ComponentId {
    ComponentId::new(&format!("actor-{n}")).expect("valid")
}

fn placement(replicas: u32) -> Placement {
    Placement {
        replicas: Replicas::Exactly(replicas),
        ..Placement::default()
    }
}

/// Places `work` on hosts with these labels, which all take work.
fn placed(work: &[Placement], hosts: &[Labels]) -> Assignment {
    let ids: Vec<_> = (0..work.len()).map(component).collect();
    let names: Vec<_> = (0..hosts.len()).map(host).collect();
    let work: Vec<_> = ids
        .iter()
        .zip(work)
        .map(|(id, placement)| Workload {
            id,
            placement,
            needs_lease: false,
        })
        .collect();
    let hosts: Vec<_> = names
        .iter()
        .zip(hosts)
        .map(|(id, labels)| candidate(id, labels))
        .collect();
    place(&work, &hosts)
}

fn candidate<'a>(id: &'a HostId, labels: &'a Labels) -> Candidate<'a> {
    Candidate {
        id,
        labels,
        duty: Duty::Works,
        follows_store: true,
    }
}

/// Returns the number of replicas of actor 0 by the values of a label.
fn by_value(assignment: &Assignment, hosts: &[Labels], label: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for (at, replicas) in assignment.hosts(&component(0)) {
        let at = (0..hosts.len())
            .find(|n| host(*n) == *at)
            .expect("one of these hosts");
        let value = hosts[at].get(label).cloned().unwrap_or_default();
        *counts.entry(value).or_default() += replicas;
    }
    counts
}

fn zones(of: &[(&str, usize)]) -> Vec<Labels> {
    let zone = |(zone, hosts): &(&str, usize)| vec![labels(&[("zone", zone)]); *hosts];
    of.iter().flat_map(zone).collect()
}

#[test]
fn placement_is_stable_across_versions() {
    let mut rules = vec![placement(1), placement(2), placement(7)];
    rules[1].spread = vec![spread("zone", &[("a", 2), ("b", 1)])];
    let hosts = zones(&[("a", 2), ("b", 3)]);
    let assignment = placed(&rules, &hosts);
    let slots = |n| {
        assignment
            .slots(&component(n))
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        [slots(0), slots(1), slots(2)],
        [
            "host-3",
            "host-1 host-0",
            "host-0 host-4 host-2 host-1 host-3 host-0 host-4"
        ],
        "hosts of different versions would disagree"
    );
}

#[test]
fn a_weighted_spread_is_divided_by_its_weights() {
    let hosts = zones(&[("a", 3), ("b", 9), ("c", 4)]);
    let rules = Placement {
        spread: vec![spread("zone", &[("a", 2), ("b", 1), ("nowhere", 5)])],
        ..placement(9)
    };
    let counts = by_value(&placed(&[rules], &hosts), &hosts, "zone");
    assert_eq!(
        counts,
        BTreeMap::from([("a".to_owned(), 6), ("b".to_owned(), 3)])
    );

    let one = Placement {
        spread: vec![spread("zone", &[("a", 2), ("b", 1)])],
        ..placement(1)
    };
    let many = placed(&vec![one; 3_000], &hosts);
    let in_a = (0..3_000).filter(|n| {
        many.slots(&component(*n))
            .any(|at| (0..3).any(|n| host(n) == *at))
    });
    let in_a = in_a.count();
    assert!(
        (1_900..2_100).contains(&in_a),
        "{in_a} of 3,000 single replicas instead of 2,000"
    );
}

#[test]
fn spread_rules_nest_in_order() {
    let pairs = [
        ("a", "1"),
        ("a", "1"),
        ("a", "2"),
        ("b", "3"),
        ("b", "4"),
        ("b", "4"),
        ("b", "5"),
    ];
    let hosts: Vec<_> = pairs
        .iter()
        .map(|(zone, rack)| labels(&[("zone", zone), ("rack", rack)]))
        .collect();
    let rules = Placement {
        spread: vec![spread("zone", &[]), spread("rack", &[])],
        ..placement(12)
    };
    let assignment = placed(&[rules], &hosts);
    let racks = by_value(&assignment, &hosts, "rack");
    assert_eq!(racks.values().copied().collect::<Vec<_>>(), [3, 3, 2, 2, 2]);
}

#[test]
fn hosts_without_the_label_form_a_group_unless_the_rule_has_weights() {
    let hosts = [
        labels(&[("zone", "a")]),
        labels(&[]),
        labels(&[]),
        labels(&[("zone", "")]),
    ];
    let even = Placement {
        spread: vec![spread("zone", &[])],
        ..placement(6)
    };
    let counts = by_value(&placed(&[even], &hosts), &hosts, "zone");
    assert_eq!(
        counts,
        BTreeMap::from([(String::new(), 3), ("a".to_owned(), 3)])
    );
    let weighted = Placement {
        spread: vec![spread("zone", &[("a", 1)])],
        ..placement(6)
    };
    let counts = by_value(&placed(&[weighted], &hosts), &hosts, "zone");
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), 6)]));
}

#[test]
fn an_unplaced_component_has_a_reason() {
    let hosts = [
        labels(&[("zone", "a"), ("disk", "ssd")]),
        labels(&[("zone", "b")]),
    ];
    let require = |pairs: &[(&str, &str)]| Placement {
        require: labels(pairs),
        ..placement(3)
    };
    let mut excluded = require(&[("zone", "a")]);
    excluded.exclude = labels(&[("disk", "ssd")]);
    let mut weightless = placement(2);
    weightless.spread = vec![spread("zone", &[("c", 1), ("a", 0)])];
    let mut everywhere = require(&[("gpu", "yes")]);
    everywhere.replicas = Replicas::PerHost;
    let rules = [
        require(&[("zone", "c")]),
        require(&[("zone", "b"), ("disk", "ssd")]),
        excluded,
        weightless,
        everywhere,
    ];
    let assignment = placed(&rules, &hosts);
    let reason = |n| {
        assignment
            .unplaced(&component(n))
            .map(|(reason, missing)| (reason.to_string(), missing))
    };
    for (n, expected, missing) in [
        (0, "no host has label `zone=c`", 3),
        (1, "no host has all the labels", 3),
        (2, "has the excluded label `disk=ssd`", 3),
        (3, "a value of label `zone`", 2),
        (4, "no host has label `gpu=yes`", 0),
    ] {
        let (text, count) = reason(n).expect("not placed");
        assert!(
            text.contains(expected) && count == missing,
            "{n}: {text}, {count}"
        );
        assert_eq!(assignment.slots(&component(n)).count(), 0);
    }
    let no_hosts = placed(&[placement(1)], &[]);
    assert_eq!(
        no_hosts.unplaced(&component(0)),
        Some((&NoHost::Working, 1))
    );
}

#[test]
fn a_huge_number_of_replicas_takes_no_memory() {
    let assignment = placed(&[placement(u32::MAX)], &vec![Labels::new(); 3]);
    let counts: Vec<u32> = assignment
        .hosts(&component(0))
        .map(|(_, replicas)| replicas)
        .collect();
    assert_eq!(counts, [u32::MAX / 3; 3]);
    assert_eq!(assignment.slots(&component(0)).take(9).count(), 9);
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let value = prop::sample::select(vec!["a", "b", "c"]);
    let label = prop::sample::select(vec!["zone", "rack", "disk"]);
    prop::collection::btree_map(
        label.prop_map(str::to_owned),
        value.prop_map(str::to_owned),
        0..=3,
    )
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let replicas = prop_oneof![
        (0_u32..12).prop_map(Replicas::Exactly),
        Just(Replicas::PerHost)
    ];
    let few = |most: usize| {
        any_labels().prop_map(move |labels| labels.into_iter().take(most).collect::<Labels>())
    };
    let value = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let weights = prop_oneof![
        Just(BTreeMap::new()),
        prop::collection::btree_map(value, 0_u32..4, 1..3)
    ];
    let label = prop::sample::select(vec!["zone", "rack"]).prop_map(str::to_owned);
    let rule = (label, weights).prop_map(|(label, weights)| SpreadRule { label, weights });
    (replicas, few(1), few(1), prop::collection::vec(rule, 0..3)).prop_map(
        |(replicas, require, exclude, spread)| Placement {
            replicas,
            require,
            exclude,
            spread,
        },
    )
}

fn allows(placement: &Placement, labels: &Labels) -> bool {
    let has = |(label, value)| labels.get(label) == Some(value);
    let weighted = placement
        .spread
        .iter()
        .filter(|rule| !rule.weights.is_empty());
    placement.require.iter().all(has)
        && !placement.exclude.iter().any(has)
        && weighted.into_iter().all(|rule| {
            let value = labels.get(&rule.label);
            value
                .and_then(|value| rule.weights.get(value))
                .is_some_and(|weight| *weight > 0)
        })
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        work in prop::collection::vec(any_placement(), 1..20),
        hosts in prop::collection::vec(any_labels(), 0..12),
        turn in 0_usize..12,
    ) {
        let ids: Vec<_> = (0..work.len()).map(component).collect();
        let names: Vec<_> = (0..hosts.len()).map(host).collect();
        let mut work_in: Vec<_> = ids.iter().zip(&work).map(|(id, placement)| Workload { id, placement, needs_lease: false }).collect();
        let mut hosts_in: Vec<_> = names.iter().zip(&hosts).map(|(id, labels)| candidate(id, labels)).collect();
        let straight = place(&work_in, &hosts_in);
        work_in.reverse();
        work_in.push(Workload { id: &ids[0], placement: &work[work.len() - 1], needs_lease: false });
        let last = work_in.len() - 2;
        hosts_in.rotate_left(turn.min(hosts.len()));
        prop_assert_eq!(work_in[last].id, &ids[0]);
        prop_assert_eq!(place(&work_in, &hosts_in), straight);
    }

    #[test]
    fn every_replica_is_placed_once_and_no_rule_is_broken(
        work in prop::collection::vec(any_placement(), 1..20),
        hosts in prop::collection::vec(any_labels(), 0..12),
    ) {
        let assignment = placed(&work, &hosts);
        for (n, rules) in work.iter().enumerate() {
            let id = component(n);
            let allowed: BTreeSet<_> = (0..hosts.len()).filter(|at| allows(rules, &hosts[*at])).map(host).collect();
            let slots: Vec<_> = assignment.slots(&id).cloned().collect();
            prop_assert!(slots.iter().all(|at| allowed.contains(at)), "a host that {rules:?} forbids");
            let wanted = match rules.replicas {
                Replicas::Exactly(n) => n as usize,
                Replicas::PerHost => allowed.len(),
            };
            prop_assert_eq!(assignment.unplaced(&id).is_some(), allowed.is_empty());
            prop_assert_eq!(slots.len(), if allowed.is_empty() { 0 } else { wanted });

            let different: BTreeSet<_> = slots.iter().cloned().collect();
            if rules.spread.is_empty() || rules.replicas == Replicas::PerHost {
                prop_assert_eq!(different.len(), wanted.min(allowed.len()));
                let counts: Vec<u32> = assignment.hosts(&id).map(|(_, replicas)| replicas).collect();
                let most = counts.iter().max().copied().unwrap_or(0);
                prop_assert!(counts.iter().all(|count| count + 1 >= most), "{counts:?}");
            }
            // The shares that each host computes for itself make up the whole, with each slot once.
            let mut own = vec![None; slots.len()];
            for at in &different {
                let share = assignment.of(at).find(|share| *share.component == id);
                for slot in share.expect("it holds one").slots {
                    prop_assert_eq!(own[slot as usize].replace(at.clone()), None);
                }
            }
            prop_assert_eq!(own, slots.into_iter().map(Some).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_spread_is_within_one_of_its_share(
        rules in any_placement(),
        hosts in prop::collection::vec(any_labels(), 1..12),
        replicas in 0_u32..40,
    ) {
        let rules = Placement { replicas: Replicas::Exactly(replicas), ..rules };
        prop_assume!(!rules.spread.is_empty());
        let rule = &rules.spread[0];
        let values: BTreeSet<_> = hosts.iter().filter(|labels| allows(&rules, labels))
            .map(|labels| labels.get(&rule.label).cloned().unwrap_or_default()).collect();
        let weight = |value: &String| rule.weights.get(value).copied().unwrap_or(1);
        let total: u32 = values.iter().map(weight).sum();
        let counts = by_value(&placed(std::slice::from_ref(&rules), &hosts), &hosts, &rule.label);
        for value in &values {
            let count = counts.get(value).copied().unwrap_or(0);
            let share = replicas * weight(value) / total;
            prop_assert!(count == share || count == share + 1, "{count} of {replicas} in {value}, {rules:?}");
        }
    }

    /// When a host leaves, replicas on other hosts stay, except for the few that hosts at their
    /// bound pass on.
    #[test]
    fn a_change_moves_the_fewest_replicas(
        rules in any_placement(),
        hosts in prop::collection::vec(any_labels(), 2..12),
    ) {
        let id = component(0);
        let rules = Placement { spread: Vec::new(), ..rules };
        let with = placed(std::slice::from_ref(&rules), &hosts);
        let without = placed(&[rules], &hosts[..hosts.len() - 1]);
        let gone = host(hosts.len() - 1);
        let before: BTreeMap<_, _> = with.hosts(&id).collect();
        for (at, replicas) in without.hosts(&id) {
            prop_assert!(before.get(at).copied().unwrap_or(0) <= replicas, "{at} lost a replica without need");
        }
        prop_assert_eq!(without.hosts(&id).find(|(at, _)| **at == gone), None);
    }

    #[test]
    fn a_leaving_host_counts_as_gone(
        work in prop::collection::vec(any_placement(), 1..10),
        hosts in prop::collection::vec(any_labels(), 2..8),
    ) {
        let ids: Vec<_> = (0..work.len()).map(component).collect();
        let names: Vec<_> = (0..hosts.len()).map(host).collect();
        let work: Vec<_> = ids.iter().zip(&work).map(|(id, placement)| Workload { id, placement, needs_lease: false }).collect();
        let mut live: Vec<_> = names.iter().zip(&hosts).map(|(id, labels)| candidate(id, labels)).collect();
        let without = place(&work, &live[1..]);
        live[0].duty = Duty::Leaves;
        let leaving = place(&work, &live);
        for id in &ids {
            prop_assert!(leaving.slots(id).eq(without.slots(id)));
        }
    }
}
