//! The handles of a native provider, in placements of three components: actors use what `origin`
//! has, directly and through `relay`. The checks are those of `handles`.

use super::{
    handles::{ALL, CHECKS, Ends, FLOWS, PASSING, SOON, THINGS},
    origin::Origin,
    place::{Hosts, On, Part, Scene, kind},
    support::*,
};
use lattice_host::Instances;

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

/// Runs all checks, twice, with `relay` and `origin` on these hosts, and `user` on the first one.
async fn run_all(hosts: Hosts, [relay, origin]: [On; 2], instances: Instances) {
    let part = |id, on| {
        let guest = format!("values_{id}");
        Part::actor(id, on, actor(&guest).instances(instances))
    };
    let provider = Origin::default();
    let parts = vec![
        part("user", On::First),
        part("relay", relay),
        Part::provider("origin", origin, provider.clone()),
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
            if OF_ACTORS.contains(&check) {
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
        "{hosts:?}, relay on {relay:?}, origin on {origin:?}, {}:\n{}",
        kind(instances),
        problems.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_the_handles_of_fresh_actors() {
    run_all(Hosts::One, [On::First; 2], Instances::Fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_the_handles_of_warm_actors() {
    run_all(Hosts::One, [On::First; 2], Instances::warm()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_the_handles_of_actors_on_another_host() {
    run_all(Hosts::OverMemory, [On::First, On::Second], Instances::Fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_the_handles_of_actors_on_two_hosts_over_nats() {
    run_all(Hosts::OverNats, [On::First, On::Second], Instances::warm()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_handles_that_an_actor_on_another_host_passes_on() {
    run_all(Hosts::OverNats, [On::Second, On::First], Instances::Fresh).await;
}
