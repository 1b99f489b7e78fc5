//! Tests of homes.

use super::*;
use lattice_core::{
    id::Origin,
    name::{ComponentId, HostId},
};

/// A home with its jobs. Its first use is over.
fn home() -> (Arc<Home>, mpsc::UnboundedReceiver<Job>) {
    let at = InstanceRef {
        origin: Origin::new(HostId::new("here").expect("an id"), 1),
        component: ComponentId::new("owner").expect("an id"),
        instance: 7,
    };
    let (jobs, inbox) = mpsc::unbounded_channel();
    (Home::new(at, jobs, (2, None), None).0, inbox)
}

fn source(id: &str) -> Source {
    Source::Component(ComponentId::new(id).expect("an id"))
}

fn holder(id: &str) -> Holder {
    Holder::Local(source(id))
}

#[test]
fn only_its_holder_gives_a_resource_away_and_only_who_has_it_lends_it() {
    let (home, _inbox) = home();
    let id = home.export(source("one")).expect("room");
    let (one, two) = (holder("one"), holder("two"));
    let stolen = [home.hand_over(id, &two, &two), home.lend(id, &two, &two)];
    assert!(
        stolen.iter().all(|it| matches!(it, Err(Stale::NotHeld(_)))),
        "{stolen:?}"
    );
    home.lend(id, &one, &two).expect("it is one's");
    // What is lent is lent on, and not given away.
    home.lend(id, &two, &holder("three")).expect("it is lent");
    let given = home.hand_over(id, &two, &two);
    assert!(matches!(given, Err(Stale::NotHeld(_))), "{given:?}");
    home.give_back(id, &two);
    let late = home.lend(id, &two, &two);
    assert!(matches!(late, Err(Stale::NotHeld(_))), "{late:?}");
    home.hand_over(id, &one, &two).expect("it is one's");
    let before = home.lend(id, &one, &one);
    assert!(matches!(before, Err(Stale::NotHeld(_))), "{before:?}");
}

#[test]
fn what_was_dropped_is_not_used_and_is_dropped_once() {
    let (home, mut inbox) = home();
    let id = home.export(source("one")).expect("room");
    home.dropped(id);
    home.dropped(id);
    assert!(matches!(inbox.try_recv(), Ok(Job::Drop(dropped)) if dropped == id));
    assert!(inbox.try_recv().is_err(), "once");
    let one = holder("one");
    let used = [home.hand_over(id, &one, &one), home.lend(id, &one, &one)];
    assert_eq!(used, [Err(Stale::Dropped), Err(Stale::Dropped)]);
    // Its number isn't used again.
    assert_ne!(home.export(source("one")).expect("room"), id);
}

#[test]
fn the_resources_of_an_instance_that_has_ended_say_why() {
    let (home, _inbox) = home();
    let id = home.export(source("one")).expect("room");
    home.ended(End::Ended {
        reason: "it panicked".into(),
        culprit: None,
    });
    // Only the first reason counts.
    home.ended(End::Ended {
        reason: "it was stopped".into(),
        culprit: None,
    });
    let one = holder("one");
    let used = [home.hand_over(id, &one, &one), home.lend(id, &one, &one)];
    let ended = || Err(Stale::InstanceEnded("it panicked".into()));
    assert_eq!(used, [ended(), ended()]);
    assert!(home.enter(None).is_none(), "it takes no call");
}

#[test]
fn an_instance_gives_away_no_more_than_it_may() {
    let (home, _inbox) = home();
    let first = home.export(source("one")).expect("room");
    home.export(source("one")).expect("room");
    let refused = home.export(source("one")).expect_err("two at most");
    assert!(refused.to_string().contains("`Limits::handles`"));
    home.taken_back(first);
    home.export(source("one")).expect("room again");
}
