//! Hosts that come, change and go.

use super::{peers::MOST_LOST, *};
use crate::wire::{Served, Versions};
use std::{collections::BTreeMap, time::Duration};

fn origin(host: &str, epoch: u64) -> Origin {
    Origin::new(HostId::new(host).expect("valid"), epoch)
}

fn beat(components: &[&str]) -> Beat {
    Beat {
        components: components
            .iter()
            .map(|id| Served {
                id: ComponentId::new(id).expect("valid"),
                digest: Digest([1; 32]),
                fence: 0,
                replica_counts: Vec::new(),
            })
            .collect(),
        sent_ms: 0,
        interval_ms: 1_000,
        versions: Versions::OURS,
        incarnation: crate::store::Incarnation(1),
        revision: crate::store::Revision(1),
        labels: BTreeMap::new(),
        duty: crate::wire::Duty::Works,
    }
}

fn serving(presence: &Presence, component: &str) -> Vec<Origin> {
    let mut hosts = presence
        .snapshot()
        .serving(&ComponentId::new(component).expect("valid"))
        .to_vec();
    hosts.sort_by(|a, b| a.host.cmp(&b.host));
    hosts
}

#[test]
fn a_host_joins_changes_and_leaves() {
    let (mut p, now) = (Presence::default(), Instant::now());
    assert_eq!(
        p.beat(&origin("a", 1), beat(&["x"]), now),
        Change::Joined(origin("a", 1))
    );
    assert_eq!(p.beat(&origin("a", 1), beat(&["x"]), now), Change::None);
    assert_eq!(
        p.beat(&origin("a", 1), beat(&["x", "y"]), now),
        Change::Updated
    );
    assert_eq!(
        p.beat(&origin("b", 1), beat(&["y"]), now),
        Change::Joined(origin("b", 1))
    );
    assert_eq!(serving(&p, "y"), [origin("a", 1), origin("b", 1)]);
    assert_eq!(
        p.goodbye(&origin("a", 1), now),
        Change::Leaving(origin("a", 1))
    );
    assert_eq!(serving(&p, "x"), []);
    assert_eq!(
        p.beat(&origin("a", 1), beat(&["x"]), now),
        Change::None,
        "it said goodbye"
    );
    assert_eq!(
        p.beat(&origin("a", 2), beat(&["x"]), now),
        Change::Joined(origin("a", 2))
    );
    assert_eq!(p.lost(&origin("a", 2), now), Change::Lost(origin("a", 2)));
    assert_eq!(
        p.beat(&origin("a", 2), beat(&["x"]), now),
        Change::Joined(origin("a", 2)),
        "only suspected"
    );
}

#[test]
fn an_older_boot_never_replaces_a_newer_one() {
    let (mut p, now) = (Presence::default(), Instant::now());
    p.beat(&origin("a", 5), beat(&["x"]), now);
    assert_eq!(p.beat(&origin("a", 4), beat(&["y"]), now), Change::None);
    assert_eq!(p.goodbye(&origin("a", 4), now), Change::None);
    assert_eq!(serving(&p, "x"), [origin("a", 5)]);
}

#[test]
fn only_the_newest_lease_holder_serves() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let once = ComponentId::new("once").expect("valid");
    let under = |fence| {
        let mut beat = beat(&["once", "other"]);
        beat.components[0].fence = fence;
        beat
    };
    p.beat(&origin("a", 1), under(7), now);
    p.beat(&origin("b", 1), under(9), now);
    assert_eq!(serving(&p, "once"), [origin("b", 1)]);
    assert_eq!(p.snapshot().fenced(&once).1, Fence::new(9));
    assert_eq!(serving(&p, "other"), [origin("a", 1), origin("b", 1)]);
    p.beat(&origin("a", 1), under(12), now);
    assert_eq!(serving(&p, "once"), [origin("a", 1)]);
    p.goodbye(&origin("a", 1), now);
    assert_eq!(serving(&p, "once"), [origin("b", 1)]);
}

#[test]
fn a_host_that_reads_none_of_our_frame_versions_is_not_called() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let ours = Versions::OURS.max;
    let reads = |min, max| Beat {
        versions: Versions { min, max },
        ..beat(&["x"])
    };
    p.beat(&origin("later", 1), reads(ours + 1, ours + 2), now);
    assert_eq!(serving(&p, "x"), []);
    p.beat(&origin("both", 1), reads(ours, ours + 1), now);
    assert_eq!(serving(&p, "x"), [origin("both", 1)]);
    assert!(p.snapshot().contains(&origin("later", 1)), "it is there");
    // The holder of the lease can't be called. Then no host is called, least of all the
    // previous holder.
    let mut holds = reads(ours + 1, ours + 1);
    holds.components[0].fence = 9;
    p.beat(&origin("later", 1), holds, now);
    assert_eq!(serving(&p, "x"), []);
}

#[test]
fn a_host_that_is_silent_for_three_intervals_is_removed_and_a_reconnect_restarts_the_timeout() {
    let (mut p, now) = (Presence::default(), Instant::now());
    p.beat(&origin("a", 1), beat(&["x"]), now);
    assert_eq!(p.tick(now + Duration::from_millis(3_000)), Change::None);
    p.reconnected(now + Duration::from_millis(3_000));
    assert_eq!(p.tick(now + Duration::from_millis(6_000)), Change::None);
    assert_eq!(
        p.tick(now + Duration::from_millis(6_001)),
        Change::Left(vec![origin("a", 1)])
    );
    let later = now + Duration::from_secs(9);
    assert_eq!(
        p.beat(&origin("a", 1), beat(&["x"]), later),
        Change::Joined(origin("a", 1))
    );
}

#[test]
fn a_host_that_a_caller_has_lost_is_reported_as_gone_when_it_stays_silent() {
    let (mut p, now) = (Presence::default(), Instant::now());
    p.beat(&origin("a", 3), beat(&["x"]), now);
    assert_eq!(p.lost(&origin("a", 3), now), Change::Lost(origin("a", 3)));
    assert_eq!(p.tick(now + Duration::from_millis(3_000)), Change::None);
    // The calls that it made end then.
    let gone = Change::Left(vec![origin("a", 3)]);
    assert_eq!(p.tick(now + Duration::from_millis(3_001)), gone);
    assert_eq!(p.tick(now + Duration::from_secs(9)), Change::None, "once");
}

fn lost(presence: &Presence) -> Vec<(Origin, Instant)> {
    let peers = presence.snapshot();
    let lost = peers.lost();
    lost.map(|lost| (lost.peer.origin.clone(), lost.heard))
        .collect()
}

#[test]
fn a_host_that_fell_silent_is_kept_until_it_is_back_or_has_said_goodbye() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let (a, b) = (origin("a", 1), origin("b", 1));
    p.beat(&a, beat(&["x"]), now);
    p.beat(&b, beat(&["x"]), now);
    assert_eq!(lost(&p), []);
    p.goodbye(&b, now);
    let later = now + Duration::from_secs(9);
    p.tick(later);
    assert_eq!(lost(&p), [(a.clone(), now)], "the other one has left");
    p.beat(&a, beat(&["x"]), later);
    assert_eq!(lost(&p), [], "it is back");
    p.lost(&a, later);
    p.tick(later + Duration::from_secs(9));
    assert_eq!(lost(&p), [(a.clone(), later)]);
    assert_eq!(p.goodbye(&a, later), Change::Updated);
    assert_eq!(lost(&p), [], "its goodbye was late");
    assert_eq!(p.goodbye(&a, later), Change::None);
}

#[test]
fn hosts_that_fell_silent_are_forgotten_in_time_and_bounded() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let second = Duration::from_secs(1);
    for n in 0..MOST_LOST as u32 + 2 {
        let (host, at) = (origin(&format!("h{n}"), 1), now + n * second / 1_000);
        p.beat(&host, beat(&[]), at);
        p.lost(&host, at);
    }
    let hosts: Vec<Origin> = lost(&p).into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts.len(), MOST_LOST);
    let longest = [origin("h0", 1), origin("h1", 1)];
    assert!(longest.iter().all(|host| !hosts.contains(host)));
    let late = now + 2 * peers::LOST_FOR;
    p.beat(&origin("late", 1), beat(&[]), late);
    p.lost(&origin("late", 1), late);
    assert_eq!(lost(&p), [(origin("late", 1), late)]);
}

#[test]
fn a_host_that_leaves_is_gone_when_it_does_not_repeat_its_goodbye() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let second = Duration::from_secs(1);
    let (old, new) = (origin("a", 1), origin("a", 2));
    p.beat(&old, beat(&["x"]), now);
    assert_eq!(p.goodbye(&old, now), Change::Leaving(old.clone()));
    for later in 1..=20 {
        let now = now + later * second;
        assert_eq!(p.goodbye(&old, now), Change::None, "others know");
        assert_eq!(p.tick(now + 3 * second), Change::None);
        assert!(p.hears(&old));
    }
    let last = now + 20 * second;
    let gone = Change::Left(vec![old.clone()]);
    assert_eq!(p.tick(last + 3 * second + Duration::from_millis(1)), gone);
    assert!(!p.hears(&old));
    // The goodbye of an earlier boot says nothing of a later one.
    p.beat(&new, beat(&["x"]), last);
    assert_eq!(p.goodbye(&old, last + 3 * second), Change::None);
    let gone = Change::Left(vec![new.clone()]);
    assert_eq!(p.tick(last + 4 * second), gone);
}

#[test]
fn replicas_are_counted_instead_of_hosts() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let id = ComponentId::new("x").expect("valid");
    p.beat(&origin("by-hand", 1), beat(&["x"]), now);
    let mut kept = beat(&["x"]);
    let count = |generation, serving| crate::wire::ReplicaCount {
        generation,
        serving,
        kept: serving,
    };
    kept.components[0].replica_counts = vec![count(1, 2), count(2, 3)];
    p.beat(&origin("kept", 1), kept, now);
    assert_eq!(p.snapshot().replicas(&id), 6);
    p.lost(&origin("kept", 1), now);
    assert_eq!(p.snapshot().replicas(&id), 1);
}

#[test]
fn tombstones_are_bounded() {
    let (mut p, now) = (Presence::default(), Instant::now());
    for n in 0..TOMBSTONES + 10 {
        p.goodbye(
            &origin(&format!("h{n}"), 1),
            now + Duration::from_millis(n as u64),
        );
    }
    assert_eq!(p.tombstones.len(), TOMBSTONES);
}

#[test]
fn a_component_that_is_served_elsewhere_is_known_and_gets_no_calls_there() {
    let (mut p, now) = (Presence::default(), Instant::now());
    let mut keeps = beat(&["kept", "x"]);
    keeps.components[0].digest = Served::ELSEWHERE;
    keeps.components[0].replica_counts = vec![crate::wire::ReplicaCount {
        generation: 1,
        serving: 1,
        kept: 1,
    }];
    p.beat(&origin("keeper", 1), keeps, now);
    p.beat(&origin("process", 1), beat(&["kept"]), now);
    assert_eq!(serving(&p, "kept"), [origin("process", 1)]);
    let (snapshot, kept) = (p.snapshot(), ComponentId::new("kept").expect("valid"));
    assert_eq!(snapshot.digest(&kept), Some(Digest([1; 32])));
    assert_eq!(
        snapshot.replicas(&kept),
        1,
        "the process, and not its host too"
    );
    assert_eq!(snapshot.generations(&kept), BTreeMap::from([(1, 1)]));
    let mut hosts = snapshot.iter();
    let keeper = hosts.find(|peer| peer.origin == origin("keeper", 1));
    assert!(keeper.is_some_and(|peer| peer.elsewhere.contains(&kept)));
}
