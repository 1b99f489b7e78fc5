//! Components that run once, and their leases.

use super::*;

#[test]
fn a_component_that_runs_once_runs_under_its_lease() {
    let (mut bench, actions) = Bench::with(&["a"], Placement::default(), Run::Once);
    assert_eq!(
        (actions, bench.phase()),
        (vec!["acquire".to_owned()], Phase::WaitingForLease)
    );
    assert_eq!(bench.handle(Event::LeaseLost(actor())), NOTHING);
    let (pause, actions) = bench.wake();
    assert_eq!(actions, ["acquire"]);
    assert!((500..=1_001).contains(&pause));
    let held = Event::LeaseHeld {
        component: actor(),
        fence: 41,
    };
    assert_eq!(bench.handle(held.clone()), ["start 1 of 1 fence 41"]);
    bench.serves(1);
    assert_eq!(bench.update(2, None), ["drain 1"], "break before make");
    assert_eq!(bench.ends(1), ["start 2 of 2 fence 41"]);
    assert_eq!(bench.handle(Event::LeaseLost(actor())), ["stop 2"]);
    bench.ends(2);
    assert_eq!(bench.wake().1, ["acquire"]);
    assert_eq!(bench.handle(held), ["start 3 of 2 fence 41"]);
    bench.serves(3);
    let others = ["b", "c", "d", "e", "f", "g", "h"];
    assert_eq!(bench.hosts(&others), NOTHING, "it is kept for a while");
    assert_eq!(bench.phase(), Phase::HandingOver);
    assert_eq!(bench.hosts(&["a"]), NOTHING, "it is assigned here again");
    assert_eq!(bench.phase(), Phase::Serving);
    assert_eq!(bench.hosts(&others), NOTHING);
    let kept = once::KEEP.as_millis() as u64;
    let (pause, actions) = bench.wake();
    assert!(pause <= kept + 1, "{pause}");
    assert_eq!(actions, ["drain 3"]);
    assert_eq!(
        bench.ends(3),
        ["release"],
        "when nothing runs under it any more"
    );
    assert!(bench.reconciler.is_idle());
}

#[test]
fn a_host_that_shuts_down_gives_its_lease_back_at_once() {
    let (mut bench, _) = Bench::with(&["a"], Placement::default(), Run::Once);
    let held = Event::LeaseHeld {
        component: actor(),
        fence: 1,
    };
    assert_eq!(bench.handle(held), ["start 1 of 1 fence 1"]);
    bench.serves(1);
    let by = bench.begun + Duration::from_secs(60);
    assert_eq!(bench.hosts(&["a", "b"]), NOTHING);
    assert_eq!(bench.handle(Event::Leave { by }), ["drain 1"]);
    assert_eq!(bench.ends(1), ["release"]);
}

#[test]
fn a_lease_that_arrives_too_late_is_released() {
    let (mut bench, _) = Bench::with(&["a"], Placement::default(), Run::Once);
    assert_eq!(bench.hosts(&["b"]), NOTHING);
    assert!(
        !bench.reconciler.is_idle(),
        "the lease request is not settled yet"
    );
    let held = Event::LeaseHeld {
        component: actor(),
        fence: 1,
    };
    assert_eq!(bench.handle(held.clone()), ["release"]);
    assert!(bench.reconciler.is_idle());
    assert_eq!(bench.handle(held), ["release"]);
}

#[test]
fn a_host_that_served_replicas_leaves_the_lease_to_the_assigned_host() {
    let (mut bench, _) = Bench::new(&["a"], Replicas::Exactly(1));
    bench.serves(1);
    bench.hosts(&["b", "c", "d", "e", "f", "g", "h"]);
    let new = Wanted {
        generation: 2,
        run: Run::Once,
        ..bench.wanted[&actor()].as_ref().clone()
    };
    bench.wanted.insert(actor(), Arc::new(new));
    bench.revision += 1;
    assert_eq!(bench.desired(), ["drain 1"]);
}

#[test]
fn a_host_that_loses_the_store_leaves_what_runs_once_to_one_that_follows_it() {
    let (mut bench, _) = Bench::with(&["a"], Placement::default(), Run::Once);
    let held = Event::LeaseHeld {
        component: actor(),
        fence: 1,
    };
    assert_eq!(bench.handle(held), ["start 1 of 1 fence 1"]);
    bench.serves(1);
    bench.cut_off.insert(id("a"));
    assert_eq!(bench.hosts(&["a", "b"]), NOTHING, "while its lease lasts");
    assert_eq!(bench.phase(), Phase::HandingOver);
    assert_eq!(bench.handle(Event::LeaseLost(actor())), ["stop 1"]);
    assert_eq!(bench.ends(1), NOTHING);
    assert!(bench.reconciler.is_idle(), "it doesn't ask for the lease");
    assert_eq!(bench.hosts(&["a"]), ["acquire"], "no host follows it");
}
