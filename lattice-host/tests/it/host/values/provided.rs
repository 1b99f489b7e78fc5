//! Handles between actors and native providers, in placements of three components: `user` uses what
//! `origin` has, directly and through `relay`, and one or both of these are providers. The checks
//! are those of `handles`.

use super::{
    handles::{ALL, CHECKS, Ends, FLOWS, PASSING, SOON, THINGS},
    origin::Origin,
    place::{Hosts, On, Part, Scene, kind},
    relay::Relay,
    support::*,
};
use lattice_host::Instances;

/// Which components are providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Native {
    Origin,
    Relay,
    Both,
}

/// Checks of what this provider has not: the interface `places`, and an instance that ends when it
/// traps.
const OF_ACTORS: [&str; 8] = [
    "stale handle",
    "two types of resources",
    "records in streams",
    "resources in elements",
    "futures that fail",
    "large elements",
    "streams in values",
    "handles in a record",
];

/// Checks of what `relay` passes on.
const THROUGH_RELAY: [&str; 6] = [
    "resource through three",
    "streams through three",
    "stream back to its sender",
    "future through three",
    "rest passed on",
    "middle traps",
];

/// How a check ends, if `origin` is a provider.
fn ending(check: &str, of_actor: Ends) -> Ends {
    if check != "writer traps" {
        return of_actor;
    }
    // It doesn't end, and says why it breaks the stream.
    Ends::WithTrap {
        has: "its writer broke it: on purpose",
        never: "a clean end",
    }
}

/// Runs the checks of the providers, twice, with `relay` and `origin` on these hosts, and `user` on
/// the first one.
async fn run(hosts: Hosts, [relay, origin]: [On; 2], instances: Instances, native: Native) {
    let part = |id, on| {
        let guest = format!("values_{id}");
        Part::actor(id, on, actor(&guest).instances(instances))
    };
    let provider = Origin::default();
    let parts = vec![
        part("user", On::First),
        match native {
            Native::Origin => part("relay", relay),
            Native::Relay | Native::Both => Part::provider("relay", relay, Relay::default()),
        },
        match native {
            Native::Relay => part("origin", origin),
            Native::Origin | Native::Both => Part::provider("origin", origin, provider.clone()),
        },
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
            let is_checked = match native {
                Native::Origin => !OF_ACTORS.contains(&check),
                Native::Relay | Native::Both => THROUGH_RELAY.contains(&check),
            };
            if !is_checked {
                continue;
            }
            let outcome = user.call(CHECKS, "check", (check,)).timeout(SOON).await;
            if let Some(problem) = ending(check, ends).problem(outcome) {
                problems.push(format!("{check}, round {round}: {problem}"));
            }
            // The next check doesn't see what this one has dropped last.
            let dropped = format!("all things of `{check}` are dropped");
            crate::wait::until(&dropped, || provider.things() == 0).await;
        }
    }
    assert!(
        problems.is_empty(),
        "{native:?}, {hosts:?}, relay on {relay:?}, origin on {origin:?}, {}:\n{}",
        kind(instances),
        problems.join("\n")
    );
}

/// Makes a test of each placement.
macro_rules! placements {
    ($($name:ident: $native:ident, $hosts:ident, relay $relay:ident, origin $origin:ident,
        $instances:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(Hosts::$hosts, [On::$relay, On::$origin], $instances, Native::$native).await;
        }
    )*};
}

placements! {
    origin_on_one_host_fresh:
        Origin, One, relay First, origin First, Instances::Fresh;
    origin_on_one_host_warm:
        Origin, One, relay First, origin First, Instances::warm();
    origin_elsewhere:
        Origin, OverMemory, relay First, origin Second, Instances::Fresh;
    origin_elsewhere_over_nats:
        Origin, OverNats, relay First, origin Second, Instances::warm();
    origin_beside_user_over_nats:
        Origin, OverNats, relay Second, origin First, Instances::Fresh;
    relay_on_one_host:
        Relay, One, relay First, origin First, Instances::Fresh;
    relay_elsewhere:
        Relay, OverMemory, relay Second, origin First, Instances::warm();
    both_elsewhere_over_nats:
        Both, OverNats, relay Second, origin Second, Instances::Fresh;
}
