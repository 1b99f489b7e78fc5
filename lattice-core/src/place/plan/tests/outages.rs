//! Changes that an outage must not undo.

use super::*;

impl Bench {
    /// Wants generation 2 after 1, which may have served already.
    fn new_version(&mut self, has_served: bool) -> Vec<String> {
        let old = self.wanted[&actor()].as_ref().clone();
        let new = Wanted {
            generation: 2,
            fallback: Some(1),
            has_served,
            ..old
        };
        self.wanted.insert(actor(), Arc::new(new));
        self.revision += 1;
        self.desired()
    }

    /// Lets every start of generation 2 fail, and returns what else happens.
    fn fail_each(&mut self, times: usize, fail: fn(&mut Self, u64) -> Vec<String>) -> Vec<String> {
        let mut others = Vec::new();
        let mut last = self.wake_or_now();
        for _ in 0..times {
            for action in last {
                match action
                    .strip_prefix("start ")
                    .and_then(|rest| rest.split_once(" of 2"))
                {
                    Some((replica, _)) => {
                        others.extend(fail(self, replica.parse().expect("a number")));
                    }
                    None => others.push(action),
                }
            }
            last = self.wake().1;
        }
        others
    }

    fn wake_or_now(&mut self) -> Vec<String> {
        let starting = self.reconciler.components[&actor()].replicas.iter();
        let starting = starting.filter(|replica| replica.generation == 2);
        starting
            .map(|replica| format!("start {} of 2", replica.id.0))
            .collect()
    }
}

#[test]
fn an_unavailable_image_rejects_nothing_and_the_old_version_keeps_serving() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    assert_eq!(bench.new_version(false), ["start 2 of 2"]);
    assert_eq!(bench.fail_each(30, Bench::is_delayed), NOTHING);
    assert_eq!(bench.phase(), Phase::Starting);
    let replica = bench.wake_or_now();
    assert_eq!(replica.len(), 1, "it is still tried");
}

#[test]
fn a_version_that_has_served_is_never_rejected_whatever_fails() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.new_version(true);
    for fail in [Bench::fails, Bench::is_delayed] {
        assert_eq!(bench.fail_each(10, fail), NOTHING);
    }
}

#[test]
fn the_previous_version_runs_while_the_image_of_the_new_one_is_unavailable() {
    // The host starts while the store has a version that was never seen to serve.
    let (mut bench, _) = Bench::new(&[], Replicas::Exactly(1));
    bench.new_version(false);
    assert_eq!(bench.hosts(&["a"]), ["start 1 of 2"]);
    bench.is_delayed(1);
    bench.wake();
    bench.is_delayed(2);
    bench.wake();
    assert_eq!(bench.is_delayed(3), ["start 4 of 1"]);
    bench.serves(4);
    assert_eq!(bench.wake().1, ["start 5 of 2"], "it is still tried");
    bench.is_delayed(5);
    assert_eq!(bench.wake().1, ["start 6 of 2"]);
    assert_eq!(bench.serves(6), NOTHING);
    assert_eq!(bench.wake().1, ["drain 4"]);
}

#[test]
fn a_failing_fallback_is_retried_with_growing_backoff() {
    let (mut bench, _) = Bench::new(&[], Replicas::Exactly(1));
    bench.new_version(false);
    bench.hosts(&["a"]);
    bench.is_delayed(1);
    bench.wake();
    bench.is_delayed(2);
    bench.wake();
    assert_eq!(bench.is_delayed(3), ["start 4 of 1"]);
    let mut starts = 0;
    let begun = bench.at;
    let mut failing = vec![4];
    while bench.at < begun + 60_000 {
        for replica in failing.drain(..) {
            assert_eq!(bench.fails(replica), NOTHING);
        }
        for action in bench.wake().1 {
            if let Some(replica) = action.strip_suffix(" of 1") {
                let replica = replica.strip_prefix("start ").expect("a start");
                failing.push(replica.parse().expect("a number"));
                starts += 1;
            } else if let Some(replica) = action.strip_suffix(" of 2") {
                let replica = replica.strip_prefix("start ").expect("a start");
                bench.is_delayed(replica.parse().expect("a number"));
            }
        }
    }
    assert!((2..20).contains(&starts), "{starts}");
}

#[test]
fn a_frozen_component_is_neither_stopped_nor_started() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    let wanted = std::mem::take(&mut bench.wanted);
    bench.frozen.insert(actor());
    bench.revision += 1;
    assert_eq!(bench.desired(), NOTHING);
    assert_eq!(bench.fails(1), NOTHING);
    assert_eq!(bench.wake().1, ["start 2 of 1"], "its share is kept");
    bench.serves(2);
    // A host that has never read it starts nothing.
    let (mut fresh, _) = Bench::new(&[], Replicas::Exactly(1));
    fresh.wanted.clear();
    fresh.frozen.insert(actor());
    fresh.reconciler = Reconciler::new(id("a"), 7);
    assert_eq!(fresh.desired(), NOTHING);
    assert_eq!(fresh.hosts(&["a"]), NOTHING);
    // It can be read again, or is deleted.
    bench.wanted = wanted;
    bench.frozen.clear();
    bench.revision += 1;
    assert_eq!(bench.desired(), NOTHING);
    bench.wanted.clear();
    bench.revision += 1;
    assert_eq!(bench.desired(), ["drain 2"]);
}
