//! The calls over links.

use super::*;
use crate::{
    constellation::items::LinkLoad,
    wire::{Latency, LinkCalls, RecentCalls},
};

/// Calls from `source` to `target`, a half of which failed.
fn called((source, target): (u8, u8), calls: u64, p99_us: Option<u32>) -> LinkCalls {
    let link = link(source, target);
    LinkCalls {
        source: link.source,
        interface: link.interface,
        name: link.name,
        target: link.target,
        calls,
        errors: calls / 2,
        latency: p99_us.map(|p99_us| Latency { p50_us: 1, p99_us }),
    }
}

/// Calls of some of these components to the first one.
pub(super) fn recent(reported: &[(u8, u8, u64)]) -> RecentCalls {
    let callers = reported.iter().filter(|(_, _, calls)| calls % 2 == 1);
    RecentCalls {
        over_ms: 1_000,
        links: callers
            .map(|(n, _, calls)| called((*n, 0), *calls, None))
            .collect(),
    }
}

/// The links of a view, without what only reports tell.
pub(super) fn idle(view: &View) -> Vec<LinkView> {
    let bare = |link: &Arc<LinkView>| LinkView {
        load: None,
        ..LinkView::clone(link)
    };
    view.links.values().map(bare).collect()
}

fn said(host_number: u8, epoch: u64, links: Vec<LinkCalls>) -> Event {
    let report = Report {
        recent: RecentCalls {
            over_ms: 2_000,
            links,
        },
        ..report(1_000, Vec::new())
    };
    Event::Report(Origin::new(host(host_number), epoch), vec![report])
}

/// Two hosts, and links from two components to the first one.
fn linked() -> (World, Projection) {
    let (mut world, mut projection) = joined();
    for step in [
        Step::Beat(2, 1, vec![0]),
        Step::Link(1, 0),
        Step::Link(2, 0),
    ] {
        let event = world.take(step);
        projection.handle(event, world.now);
    }
    (world, projection)
}

fn load(projection: &Projection, source: u8) -> Option<LinkLoad> {
    projection.view().links[&link(source, 0).key()].load
}

fn of(calls: f64, errors: f64, p99_us: Option<u64>) -> LinkLoad {
    LinkLoad {
        calls_per_second: calls,
        errors_per_second: errors,
        p99: p99_us.map(Duration::from_micros),
    }
}

#[test]
fn calls_over_a_link_are_those_of_all_hosts_and_the_worst_time() {
    let (world, mut projection) = linked();
    let of_one = vec![
        called((1, 0), 20, Some(300)),
        called((2, 0), 4, None),
        // No such link.
        called((3, 0), 9, None),
    ];
    let deltas = projection.handle(said(1, 2, of_one), world.now);
    let links = deltas
        .iter()
        .filter(|delta| matches!(delta, Delta::Link(_)));
    assert_eq!(links.count(), 2, "{deltas:?}");
    assert_eq!(load(&projection, 1), Some(of(10.0, 5.0, Some(300))));
    assert_eq!(load(&projection, 2), Some(of(2.0, 1.0, None)));
    let of_two = vec![called((1, 0), 6, Some(900))];
    projection.handle(said(2, 1, of_two.clone()), world.now);
    assert_eq!(load(&projection, 1), Some(of(13.0, 6.5, Some(900))));
    assert!(
        projection.handle(said(2, 1, of_two), world.now).is_empty(),
        "nothing is different"
    );
}

#[test]
fn a_link_without_calls_has_no_load_and_a_host_that_is_gone_counts_no_more() {
    let (mut world, mut projection) = linked();
    let calls = || vec![called((1, 0), 20, Some(300))];
    projection.handle(said(1, 2, calls()), world.now);
    projection.handle(said(2, 1, calls()), world.now);
    let event = world.take(Step::Goodbye(2, 1));
    projection.handle(event, world.now);
    assert_eq!(load(&projection, 1), Some(of(10.0, 5.0, Some(300))));
    let deltas = projection.handle(said(1, 2, Vec::new()), world.now);
    let [Delta::Link(ItemChange::Is(quiet))] = &deltas[..] else {
        panic!("{deltas:?}");
    };
    assert_eq!((quiet.load, load(&projection, 1)), (None, None));
    // What the boot before has reported says nothing about a new one.
    projection.handle(said(1, 2, calls()), world.now);
    let event = world.take(Step::Beat(1, 3, vec![0]));
    projection.handle(event, world.now);
    assert_eq!(load(&projection, 1), None);
}

#[test]
fn a_link_keeps_its_load_when_it_changes_and_loses_it_with_its_target() {
    let (mut world, mut projection) = linked();
    projection.handle(said(1, 2, vec![called((1, 0), 20, None)]), world.now);
    let loaded = load(&projection, 1);
    for step in [Step::Refuse(1), Step::Own(1)] {
        let event = world.take(step);
        projection.handle(event, world.now);
        assert!(loaded.is_some() && load(&projection, 1) == loaded);
    }
    // The same key leads to another component, which has no calls.
    let event = world.take(Step::Link(1, 3));
    projection.handle(event, world.now);
    assert_eq!(load(&projection, 1), None);
}

#[test]
fn a_report_over_no_time_has_no_rates() {
    let (world, mut projection) = linked();
    let Event::Report(from, mut parts) = said(1, 2, vec![called((1, 0), 20, None)]) else {
        panic!("it is a report");
    };
    parts[0].recent.over_ms = 0;
    projection.handle(Event::Report(from, parts), world.now);
    assert_eq!(load(&projection, 1), None);
}
