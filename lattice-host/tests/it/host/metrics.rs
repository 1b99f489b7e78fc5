//! Instances and guest memory in the metrics of a host.

use super::support::*;
use crate::wait::until;
use lattice_core::telemetry::Metrics;
use lattice_host::{Host, Instances};
use std::{num::NonZeroUsize, time::Duration};

const ACTOR: (&str, &str) = ("lattice.component", "mischief");

fn instances(metrics: &Metrics, state: &str) -> Option<f64> {
    let of = [ACTOR, ("lattice.instance.state", state)];
    metrics.total("lattice.instance.count", &of)
}

fn started_so_far(host: &Host) -> Option<f64> {
    host.metrics().total("lattice.instance.started", &[ACTOR])
}

#[tokio::test]
async fn fresh_instances_are_counted_and_end_with_their_calls() {
    let lattice = lattice().await;
    let host = host_of(&lattice, "mischief", |actor| actor).await;
    assert_eq!(started_so_far(&host), Some(0.0));
    for _ in 0..3 {
        act::<u32>(&lattice, "count", ()).await.expect("answered");
    }
    assert_eq!(started_so_far(&host), Some(3.0));
    let is_over = || instances(&host.metrics(), "busy") == Some(0.0);
    until("no instance is there", is_over).await;
}

#[tokio::test]
async fn a_warm_instance_is_idle_and_one_that_traps_is_counted() {
    let lattice = lattice().await;
    let most = NonZeroUsize::MIN;
    let idle = Duration::from_mins(1);
    let warm = Instances::Warm { most, idle };
    let host = host_of(&lattice, "mischief", |actor| actor.instances(warm)).await;
    act::<u32>(&lattice, "count", ()).await.expect("answered");
    let is_idle = || {
        let metrics = host.metrics();
        let counts = ["busy", "idle", "kept"].map(|state| instances(&metrics, state));
        counts == [0.0, 1.0, 0.0].map(Some)
    };
    until("it is idle", is_idle).await;
    let metrics = host.metrics();
    let used = metrics.total("lattice.guest.memory", &[]);
    assert!(used > Some(0.0), "{used:?}");
    assert!(metrics.total("lattice.guest.memory.limit", &[]) > used);

    let failed = [ACTOR, ("error.type", "callee-failed")];
    let failures = || host.metrics().total("lattice.instance.failed", &failed);
    assert_eq!(failures(), None);
    reason(act::<()>(&lattice, "trap", ()).await);
    assert_eq!(failures(), Some(1.0));
    until("it is gone", || {
        instances(&host.metrics(), "idle") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn an_actor_that_is_started_again_is_counted_anew() {
    let lattice = lattice().await;
    let host = host_of(&lattice, "mischief", |actor| actor).await;
    act::<u32>(&lattice, "count", ()).await.expect("answered");
    let stopped = host.stop("mischief", PATIENCE).await;
    assert!(stopped.expect("it is served").is_clean());
    until("it is forgotten", || started_so_far(&host).is_none()).await;
    host.start_actor("mischief", actor("mischief"))
        .await
        .expect("it starts again");
    assert_eq!(started_so_far(&host), Some(0.0));
}
