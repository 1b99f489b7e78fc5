//! Every kind of handle, in every placement of three components: `user` uses what `origin` has,
//! directly and through `relay`. The checks are in the guest `values-user`.

use super::{
    place::{Hosts, On, Part, Scene, kind},
    support::*,
};
use lattice_core::call::CallError;
use lattice_host::Instances;
use std::time::Duration;

pub(super) const THINGS: &str = "lattice-test:values/things@0.1.0";
pub(super) const FLOWS: &str = "lattice-test:values/flows@0.1.0";
const PLACES: &str = "lattice-test:values/places@0.1.0";
pub(super) const PASSING: &str = "lattice-test:values/passing@0.1.0";
pub(super) const CHECKS: &str = "lattice-test:values/checks@0.1.0";

/// The deadline of one check: far longer than it takes, and short enough that some may hang.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// How a check ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ends {
    Well,
    /// With a trap of `user` whose reason has this text in it, and not the other one.
    WithTrap {
        has: &'static str,
        never: &'static str,
    },
}

pub(super) const ALL: [(&str, Ends); 29] = [
    ("handles", Ends::Well),
    ("handles in values", Ends::Well),
    ("drops", Ends::Well),
    ("drop during a call", Ends::Well),
    (
        "stale handle",
        Ends::WithTrap {
            has: "the instance that it lives in ended",
            never: "it traps",
        },
    ),
    ("stream of bytes", Ends::Well),
    ("stream of records", Ends::Well),
    ("stream of resources", Ends::Well),
    ("stream of streams", Ends::Well),
    ("futures", Ends::Well),
    ("future of a resource", Ends::Well),
    ("reader gone", Ends::Well),
    ("writer gone", Ends::Well),
    ("never read", Ends::Well),
    (
        "writer traps",
        Ends::WithTrap {
            has: "the instance that wrote it ended",
            never: "a clean end",
        },
    ),
    ("reader traps", Ends::Well),
    ("resource through three", Ends::Well),
    ("streams through three", Ends::Well),
    ("stream back to its sender", Ends::Well),
    ("future through three", Ends::Well),
    ("rest passed on", Ends::Well),
    ("middle traps", Ends::Well),
    ("two types of resources", Ends::Well),
    ("records in streams", Ends::Well),
    ("resources in elements", Ends::Well),
    ("futures that fail", Ends::Well),
    ("large elements", Ends::Well),
    ("streams in values", Ends::Well),
    ("handles in a record", Ends::Well),
];

impl Ends {
    /// Returns what is wrong with this outcome.
    pub(super) fn problem(self, outcome: Result<(), CallError>) -> Option<String> {
        match (self, outcome) {
            (Self::Well, Ok(())) => None,
            (Self::Well, Err(error)) => Some(error.to_string()),
            (Self::WithTrap { .. }, Ok(())) => Some("it didn't trap".to_owned()),
            (Self::WithTrap { has, never }, Err(CallError::CalleeFailed { reason }))
                if reason.contains(has) && !reason.contains(never) =>
            {
                None
            }
            (Self::WithTrap { .. }, Err(error)) => Some(format!("trapped otherwise: {error}")),
        }
    }
}

/// What a component passes that exports the interface that it imports.
const WRAPPED: [&str; 4] = [
    "handles",
    "handles in values",
    "drops",
    "drop during a call",
];

/// Runs checks, twice, of things of `wrapper`, each of which stands for one of `origin`.
async fn run_wrapped(hosts: Hosts, [wrapper, origin]: [On; 2], instances: Instances) {
    let part = |id, on| {
        let guest = format!("values_{id}");
        Part::actor(id, on, actor(&guest).instances(instances))
    };
    let parts = vec![
        part("user", On::First),
        part("wrapper", wrapper),
        part("origin", origin),
    ];
    let links = [("user", THINGS, "wrapper"), ("wrapper", THINGS, "origin")];
    let scene = Scene::start(hosts, parts, &links).await;
    let user = scene.lattice.operator().component("user");
    for round in 1..=2 {
        for check in WRAPPED {
            let outcome = user.call::<()>(CHECKS, "check", (check,)).timeout(SOON);
            let outcome = outcome.await;
            outcome.unwrap_or_else(|error| panic!("{check}, round {round}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_exports_the_resources_that_it_imports() {
    for instances in [Instances::Fresh, Instances::warm()] {
        run_wrapped(Hosts::One, [On::First; 2], instances).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_exports_the_resources_that_it_imports_from_another_host() {
    run_wrapped(Hosts::OverMemory, [On::First, On::Second], Instances::Fresh).await;
    run_wrapped(
        Hosts::OverMemory,
        [On::Second, On::First],
        Instances::warm(),
    )
    .await;
}

/// Runs all checks, twice, with `relay` and `origin` on these hosts, and `user` on the first one.
async fn run_all(hosts: Hosts, [relay, origin]: [On; 2], instances: Instances) {
    let part = |id, on| {
        let guest = format!("values_{id}");
        Part::actor(id, on, actor(&guest).instances(instances))
    };
    let parts = vec![
        part("user", On::First),
        part("relay", relay),
        part("origin", origin),
    ];
    let links = [
        ("user", THINGS, "origin"),
        ("user", FLOWS, "origin"),
        ("user", PLACES, "origin"),
        ("user", PASSING, "relay"),
        ("relay", THINGS, "origin"),
        ("relay", FLOWS, "origin"),
    ];
    let scene = Scene::start(hosts, parts, &links).await;
    let user = scene.lattice.operator().component("user");
    let mut problems = Vec::new();
    for round in 1..=2 {
        for (check, ends) in ALL {
            let outcome = user.call(CHECKS, "check", (check,)).timeout(SOON).await;
            if let Some(problem) = ends.problem(outcome) {
                problems.push(format!("{check}, round {round}: {problem}"));
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{hosts:?}, relay on {relay:?}, origin on {origin:?}, {}:\n{}",
        kind(instances),
        problems.join("\n")
    );
}

/// Makes two tests of each placement: with fresh instances, and with warm ones.
macro_rules! placements {
    ($($name:ident: $hosts:expr, relay $relay:expr, origin $origin:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn fresh() {
                run_all($hosts, [$relay, $origin], Instances::Fresh).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn warm() {
                run_all($hosts, [$relay, $origin], Instances::warm()).await;
            }
        }
    )*};
}

placements! {
    on_one_host: Hosts::One, relay On::First, origin On::First;
    origin_elsewhere: Hosts::OverMemory, relay On::First, origin On::Second;
    relay_elsewhere: Hosts::OverMemory, relay On::Second, origin On::First;
    both_elsewhere: Hosts::OverMemory, relay On::Second, origin On::Second;
    origin_elsewhere_over_nats: Hosts::OverNats, relay On::First, origin On::Second;
    relay_elsewhere_over_nats: Hosts::OverNats, relay On::Second, origin On::First;
    both_elsewhere_over_nats: Hosts::OverNats, relay On::Second, origin On::Second;
}
