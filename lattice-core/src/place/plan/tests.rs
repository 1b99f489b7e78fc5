//! The decisions of one host, one by one.

use super::*;
use crate::{
    desired::{Placement, Replicas},
    store::{Incarnation, Revision},
};
use std::collections::BTreeSet;

mod leases;
mod outages;

/// Host `a`, with other hosts whose beats the test sends.
struct Bench {
    reconciler: Reconciler,
    begun: Instant,
    at: u64,
    wanted: BTreeMap<ComponentId, Arc<Wanted>>,
    frozen: BTreeSet<ComponentId>,
    /// Hosts that don't follow the store.
    cut_off: BTreeSet<HostId>,
    revision: u64,
    reports: Vec<Phase>,
}

fn id(host: &str) -> HostId {
    HostId::new(host).expect("valid")
}

fn actor() -> ComponentId {
    ComponentId::new("actor").expect("valid")
}

impl Bench {
    /// Starts with these hosts and this many replicas of generation 1.
    fn new(hosts: &[&str], replicas: Replicas) -> (Self, Vec<String>) {
        let placement = Placement {
            replicas,
            ..Placement::default()
        };
        Self::with(hosts, placement, Run::Replicas)
    }

    fn with(hosts: &[&str], placement: Placement, run: Run) -> (Self, Vec<String>) {
        let wanted = Wanted {
            generation: 1,
            fallback: None,
            has_served: false,
            placement,
            run,
        };
        let mut bench = Self {
            reconciler: Reconciler::new(id("a"), 7),
            begun: Instant::now(),
            at: 0,
            wanted: BTreeMap::from([(actor(), Arc::new(wanted))]),
            frozen: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            revision: 1,
            reports: Vec::new(),
        };
        assert_eq!(bench.desired(), [""; 0], "no host is known yet");
        let actions = bench.hosts(hosts);
        (bench, actions)
    }

    fn handle(&mut self, event: Event) -> Vec<String> {
        let now = self.begun + Duration::from_millis(self.at);
        let actions = self.reconciler.handle(event, now);
        actions
            .iter()
            .filter_map(|action| self.text(action))
            .collect()
    }

    fn text(&mut self, action: &Action) -> Option<String> {
        Some(match action {
            Action::Start {
                replica,
                generation,
                fence,
                ..
            } => {
                let fence = fence.map_or(String::new(), |fence| format!(" fence {fence}"));
                format!("start {} of {generation}{fence}", replica.0)
            }
            Action::Drain(replica) => format!("drain {}", replica.0),
            Action::Stop(replica) => format!("stop {}", replica.0),
            Action::AcquireLease(_) => "acquire".to_owned(),
            Action::ReleaseLease(_) => "release".to_owned(),
            Action::Reject { generation, .. } => format!("reject {generation}"),
            Action::Stale => "stale".to_owned(),
            Action::Current => "current".to_owned(),
            Action::Report { status, .. } => {
                self.reports.push(status.phase);
                return None;
            }
        })
    }

    fn desired(&mut self) -> Vec<String> {
        let revision = self.revision;
        self.snapshot(1, revision)
    }

    fn snapshot(&mut self, incarnation: u64, revision: u64) -> Vec<String> {
        let wanted = Arc::new(self.wanted.clone());
        self.handle(Event::Desired(Snapshot {
            incarnation: Incarnation(incarnation),
            revision: Revision(revision),
            wanted,
            frozen: Arc::new(self.frozen.clone()),
        }))
    }

    fn hosts(&mut self, hosts: &[&str]) -> Vec<String> {
        let placeable = hosts.iter().map(|host| LiveHost {
            host: id(host),
            labels: Arc::default(),
            duty: Duty::Works,
            follows_store: !self.cut_off.contains(&id(host)),
        });
        let hosts = placeable.collect();
        self.handle(Event::Hosts(hosts))
    }

    fn update(&mut self, generation: Generation, fallback: Option<Generation>) -> Vec<String> {
        let old = self.wanted[&actor()].as_ref().clone();
        let new = Wanted {
            generation,
            fallback,
            ..old
        };
        self.wanted.insert(actor(), Arc::new(new));
        self.revision += 1;
        self.desired()
    }

    fn beat(&mut self, from: &str, replica_counts: &[(Generation, u32, u32)]) -> Vec<String> {
        let replica_count = |(generation, serving, kept): &(Generation, u32, u32)| ReplicaCount {
            generation: *generation,
            serving: *serving,
            kept: *kept,
        };
        let runs = BTreeMap::from([(actor(), replica_counts.iter().map(replica_count).collect())]);
        self.handle(Event::Beat {
            from: id(from),
            runs,
        })
    }

    fn serves(&mut self, replica: u64) -> Vec<String> {
        self.handle(Event::Serves(ReplicaId(replica)))
    }

    fn fails(&mut self, replica: u64) -> Vec<String> {
        self.handle(Event::Failed(ReplicaId(replica)))
    }

    fn is_delayed(&mut self, replica: u64) -> Vec<String> {
        self.handle(Event::Delayed(ReplicaId(replica)))
    }

    fn ends(&mut self, replica: u64) -> Vec<String> {
        self.handle(Event::Ended(ReplicaId(replica)))
    }

    fn wait(&mut self, ms: u64) -> Vec<String> {
        self.at += ms;
        self.handle(Event::Woken)
    }

    /// Waits until the reconciler's next wake-up that leads to actions. Returns the time waited and
    /// the actions.
    fn wake(&mut self) -> (u64, Vec<String>) {
        let before = self.at;
        for _ in 0..20 {
            let wake = self.reconciler.wake().expect("something to wait for");
            // The wake-up may be between two milliseconds, so it is past at the next one.
            self.at = (wake - self.begun).as_millis() as u64 + 1;
            let actions = self.handle(Event::Woken);
            if !actions.is_empty() {
                return (self.at - before, actions);
            }
        }
        panic!("it wakes and does nothing");
    }

    fn phase(&self) -> Phase {
        *self.reports.last().expect("reported")
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_crashed_replica_restarts_with_growing_backoff() {
    let (mut bench, actions) = Bench::new(&["a"], Replicas::Exactly(2));
    assert_eq!(actions, ["start 1 of 1", "start 2 of 1"]);
    assert_eq!((bench.serves(1), bench.phase()), (vec![], Phase::Starting));
    assert_eq!((bench.serves(2), bench.phase()), (vec![], Phase::Serving));
    let mut pauses = Vec::new();
    assert_eq!(bench.fails(2), NOTHING);
    for replica in 3..14 {
        let (pause, actions) = bench.wake();
        assert_eq!(actions, [format!("start {replica} of 1")]);
        pauses.push(pause);
        assert_eq!(bench.fails(replica), NOTHING);
    }
    for (n, pause) in pauses.iter().enumerate() {
        let most = (250 << n).min(60_000);
        assert!((most / 2..=most + 1).contains(pause), "{pauses:?}");
    }
    assert!(matches!(
        bench.phase(),
        Phase::CrashLooping { failures: 12, .. }
    ));
    let (_, actions) = bench.wake();
    assert_eq!(actions, ["start 14 of 1"]);
    bench.serves(14);
    bench.wait(60_000);
    bench.fails(14);
    assert!(bench.wake().0 <= 251, "it had started successfully");
}

#[test]
fn a_start_that_times_out_has_failed() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    assert_eq!(bench.wait(304_999), NOTHING);
    assert_eq!(bench.wait(1), ["stop 1"]);
    assert_eq!(bench.wake().1, ["start 2 of 1"]);
    assert_eq!(bench.serves(1), NOTHING, "too late");
    assert_eq!(bench.ends(1), NOTHING);
}

/// Makes a host that has all replicas of a component, and lets other hosts join. Returns how many
/// replicas are still its share.
fn after_company(replicas: u32) -> (Bench, usize) {
    let (mut bench, actions) = Bench::new(&["a"], Replicas::Exactly(replicas));
    for replica in 1..=actions.len() as u64 {
        bench.serves(replica);
    }
    bench.hosts(&["a", "b", "c", "d", "e", "f", "g"]);
    let left = bench
        .reconciler
        .assignment()
        .slots(&actor())
        .filter(|at| **at == id("a"))
        .count();
    (bench, left)
}

#[test]
fn a_lost_slot_is_served_until_the_new_owners_have_reported_serving_twice() {
    let (mut bench, left) = after_company(2);
    assert!(left < 2);
    assert_eq!(bench.phase(), Phase::HandingOver);
    let owners: Vec<String> = bench
        .reconciler
        .assignment()
        .hosts(&actor())
        .map(|(at, _)| at.to_string())
        .collect();
    let owners: Vec<&str> = owners
        .iter()
        .map(String::as_str)
        .filter(|at| *at != "a")
        .collect();
    // Hosts that run nothing of it, that will not keep what they serve, or that serve another
    // generation.
    let useless = [vec![], vec![(1, 1, 0)], vec![(9, 1, 1)]];
    for replica_counts in useless {
        for owner in owners.iter().cycle().take(3 * owners.len()) {
            assert_eq!(
                bench.beat(owner, &replica_counts),
                NOTHING,
                "{replica_counts:?}"
            );
        }
    }
    for owner in &owners {
        assert_eq!(bench.beat(owner, &[(1, 1, 1)]), NOTHING);
    }
    let mut drained = Vec::new();
    for owner in &owners {
        drained.extend(bench.beat(owner, &[(1, 1, 1)]));
    }
    assert_eq!(drained.len(), 2 - left);
}

#[test]
fn a_component_that_is_deleted_or_not_allowed_here_drains_at_once() {
    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::PerHost);
    bench.serves(1);
    bench.wanted.clear();
    bench.revision += 1;
    assert_eq!(bench.desired(), ["drain 1"]);
    assert_eq!(bench.phase(), Phase::Draining);
    assert_eq!((bench.ends(1), bench.phase()), (vec![], Phase::Gone));
    assert!(bench.reconciler.is_idle());

    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::PerHost);
    bench.serves(1);
    let mut picky = bench.wanted[&actor()].as_ref().clone();
    picky.placement.require = [("disk".to_owned(), "ssd".to_owned())].into();
    bench.wanted.insert(actor(), Arc::new(picky));
    bench.revision += 1;
    assert_eq!(bench.desired(), ["drain 1"]);
}

#[test]
fn an_update_replaces_the_old_generation_slot_by_slot() {
    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::Exactly(4));
    let slots: Vec<bool> = bench
        .reconciler
        .assignment()
        .slots(&actor())
        .map(|at| *at == id("a"))
        .collect();
    assert_eq!(slots, [false, true, false, true]);
    bench.serves(1);
    bench.serves(2);
    bench.beat("b", &[(1, 2, 2)]);
    assert_eq!(bench.update(2, Some(1)), NOTHING, "b is first");
    bench.wait(60_000);
    assert_eq!(bench.beat("b", &[(2, 1, 1), (1, 1, 1)]), NOTHING);
    assert_eq!(bench.wait(4_999), NOTHING);
    assert_eq!(bench.wait(1), ["start 3 of 2"]);
    assert_eq!(
        bench.serves(3),
        NOTHING,
        "the old one stays until the new one has started"
    );
    assert_eq!(bench.wait(5_000), ["drain 2"]);
    assert_eq!(bench.wait(60_000), NOTHING, "b's second is next");
    bench.beat("b", &[(2, 2, 2)]);
    assert_eq!(bench.wait(5_000), ["start 4 of 2"]);
    bench.serves(4);
    assert_eq!(bench.wait(5_000), ["drain 1"]);
    assert_eq!(bench.phase(), Phase::Serving);
}

#[test]
fn an_update_that_fails_to_start_is_rejected_and_the_old_generation_keeps_serving() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    assert_eq!(bench.update(2, Some(1)), ["start 2 of 2"]);
    bench.fails(2);
    assert_eq!(bench.wake().1, ["start 3 of 2"]);
    bench.serves(3);
    bench.wait(1_000);
    bench.fails(3);
    assert_eq!(bench.wake().1, ["start 4 of 2"]);
    bench.fails(4);
    assert_eq!(bench.wake().1, ["reject 2"]);
    assert!(matches!(
        bench.phase(),
        Phase::CrashLooping { failures: 3, .. }
    ));
    assert_eq!(
        bench.wake().1,
        ["reject 2"],
        "until the rejection is confirmed"
    );
    assert_eq!(bench.update(1, None), NOTHING);
    assert_eq!(bench.phase(), Phase::Serving);
}

#[test]
fn an_update_that_has_started_on_any_host_is_not_rejected() {
    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::PerHost);
    bench.serves(1);
    bench.update(2, Some(1));
    bench.beat("b", &[(2, 1, 1)]);
    bench.wait(5_000);
    for replica in 2..10 {
        assert_eq!(bench.fails(replica), NOTHING);
        assert_eq!(bench.wake().1, [format!("start {} of 2", replica + 1)]);
    }
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    bench.update(2, Some(1));
    bench.serves(2);
    assert_eq!(bench.wait(5_000), ["drain 1"]);
    for replica in 2..10 {
        assert_eq!(bench.fails(replica), NOTHING);
        assert_eq!(bench.wake().1, [format!("start {} of 2", replica + 1)]);
    }
}

#[test]
fn a_replaced_or_rolled_back_store_changes_nothing_until_the_next_apply() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    bench.revision = 10;
    assert_eq!(bench.desired(), NOTHING);
    let kept = std::mem::take(&mut bench.wanted);
    for (incarnation, revision) in [(1, 9), (2, 0), (2, 0), (3, 500)] {
        let actions = bench.snapshot(incarnation, revision);
        assert!(actions.is_empty() || actions == ["stale"], "{actions:?}");
        assert!(bench.reconciler.is_stale());
        assert_eq!(bench.hosts(&["a"]), NOTHING);
    }
    bench.fails(1);
    assert_eq!(
        bench.wake().1,
        ["start 2 of 1"],
        "kept replicas continue to run"
    );
    bench.serves(2);
    bench.wanted = kept;
    assert_eq!(bench.desired(), ["current"], "the old store has returned");
    bench.wanted.clear();
    assert_eq!(bench.snapshot(2, 7), ["stale"]);
    let applied = bench.snapshot(2, 8);
    assert_eq!(
        applied,
        ["current", "drain 2"],
        "the apps were applied again"
    );
}

#[test]
fn a_reconnected_bus_moves_nothing_during_the_grace_period() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    bench.handle(Event::Bus(BusState::Disconnected));
    bench.handle(Event::Bus(BusState::Connected));
    assert_eq!(bench.update(2, None), NOTHING);
    let (pause, actions) = bench.wake();
    assert_eq!(actions, ["start 2 of 2"]);
    assert!(pause <= 1_501, "{pause}");
}

#[test]
fn a_leaving_host_waits_for_its_successors_until_its_deadline() {
    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::PerHost);
    bench.serves(1);
    let by = bench.begun + Duration::from_secs(20);
    assert_eq!(bench.handle(Event::Leave { by }), NOTHING);
    assert_eq!(bench.phase(), Phase::HandingOver);
    bench.beat("b", &[(1, 1, 1)]);
    assert_eq!(bench.beat("b", &[(1, 1, 1)]), ["drain 1"]);
    bench.ends(1);
    assert!(bench.reconciler.is_idle());

    let (mut bench, _) = Bench::new(&["a", "b"], Replicas::PerHost);
    bench.serves(1);
    let by = bench.begun + Duration::from_secs(20);
    assert_eq!(bench.handle(Event::Leave { by }), NOTHING);
    bench.wait(19_999);
    assert_eq!(bench.wait(1), ["drain 1"], "b never started");
}
