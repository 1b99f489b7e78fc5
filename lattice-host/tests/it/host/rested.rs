//! Warm instances of an actor that passes handles, while nothing uses them.

use super::{flow::Flow, support::*};
use crate::wait::until;
use lattice_host::{Engine, Host, Instances};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};
use tokio::{task::yield_now, time::timeout};

const GIVER: (&str, &str) = ("lattice.component", "giver");

/// Keeps one unused instance, for so long.
fn warm(idle: Duration) -> Instances {
    let most = NonZeroUsize::MIN;
    Instances::Warm { most, idle }
}

/// Returns how many instances of the giver there are.
fn kept(flow: &Flow) -> Option<f64> {
    let kept = [GIVER, ("lattice.instance.state", "kept")];
    flow.metrics().total("lattice.instance.count", &kept)
}

#[tokio::test]
async fn an_unused_instance_is_used_again_and_further_ones_end() {
    let idle = Duration::from_mins(1);
    let flow = Flow::new(|actor| actor.instances(warm(idle))).await;
    let buckets = (flow.open("one").await, flow.open("other").await);
    assert_eq!(kept(&flow), Some(2.0));
    drop(buckets);
    until("one is left", || kept(&flow) == Some(1.0)).await;
    let started = || flow.metrics().total("lattice.instance.started", &[GIVER]);
    let used_again = async {
        loop {
            let before = started();
            drop(flow.open("next").await);
            if started() == before {
                break;
            }
            // The one before may not be unused yet.
            yield_now().await;
        }
    };
    timeout(PATIENCE, used_again).await.expect("it is found");
}

#[tokio::test]
async fn an_unused_instance_ends_after_a_while() {
    let idle = Duration::from_millis(200);
    let flow = Flow::new(|actor| actor.instances(warm(idle))).await;
    drop(flow.open("one").await);
    assert_eq!(kept(&flow), Some(1.0));
    until("it has ended", || kept(&flow) == Some(0.0)).await;
}

#[tokio::test]
async fn an_unused_instance_makes_room_for_calls_of_others() {
    let engine = Engine::builder()
        .without_cache()
        .instances(NonZeroU32::MIN)
        .build();
    let lattice = lattice().await;
    let idle = Duration::from_mins(1);
    let host = Host::builder(&lattice)
        .engine(engine.expect("an engine"))
        .actor("giver", actor("giver").instances(warm(idle)))
        .actor("mischief", actor("mischief"));
    let flow = Flow::on(lattice.clone(), started(host).await).await;
    let count = || act::<u32>(&lattice, "count", ());
    drop(flow.open("one").await);
    assert_eq!(kept(&flow), Some(1.0));
    assert_eq!(count().await, Ok(1), "unused before the call");
    // The call waits already when the instance becomes unused.
    let bucket = flow.open("other").await;
    let mut waits = Box::pin(count());
    let early = timeout(Duration::from_millis(100), &mut waits).await;
    assert!(early.is_err(), "{early:?}");
    drop(bucket);
    assert_eq!(waits.await, Ok(1), "unused meanwhile");
}
