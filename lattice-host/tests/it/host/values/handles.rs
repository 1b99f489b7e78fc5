//! Every kind of handle, in every placement of three components: `user` uses what `origin` has,
//! directly and through `relay`. The checks are in the guest `values-user`.

use super::{
    place::{Hosts, On, Part, Scene, kind},
    support::*,
};
use lattice_core::call::CallError;
use lattice_host::Instances;
use std::time::Duration;

const THINGS: &str = "lattice-test:values/things@0.1.0";
const FLOWS: &str = "lattice-test:values/flows@0.1.0";
const PASSING: &str = "lattice-test:values/passing@0.1.0";
const CHECKS: &str = "lattice-test:values/checks@0.1.0";

/// The deadline of one check: far longer than it takes, and short enough that some may hang.
const SOON: Duration = Duration::from_secs(20);

/// How a check ends.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Well,
    /// With a trap of `user` whose reason has this text in it, and not the other one.
    WithTrap {
        has: &'static str,
        never: &'static str,
    },
}

const ALL: [(&str, Ends); 22] = [
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
];

impl Ends {
    /// Returns what is wrong with this outcome.
    fn problem(self, outcome: Result<(), CallError>) -> Option<String> {
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
