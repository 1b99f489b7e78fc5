//! Guests that open streams and resources of others without end.

use super::{
    flow::*,
    flow_remote::{Far, programs},
    support::*,
};
use lattice_core::call::CallError;
use lattice_host::{Actor, Limits};
use std::num::NonZeroUsize;

/// Few handles, so that little time is needed.
fn few(actor: Actor) -> Actor {
    let most = NonZeroUsize::new(500).expect("not zero");
    actor.limits(Limits::default().handles(most))
}

/// Whether the guest ended because it has, or its callee has given, as much as it may.
fn is_at_a_limit(error: &CallError) -> bool {
    matches!(
        error,
        CallError::CalleeFailed { .. }
            | CallError::InstanceLost { .. }
            | CallError::LimitExceeded { .. }
    )
}

/// Has the guest open them until it ends, and then do everything that others do.
async fn ends_and_leaves_room(flow: &Flow) {
    for what in ["endless-streams", "endless-handles"] {
        let error = flow.check(what).await.expect_err("it may not");
        assert!(is_at_a_limit(&error), "{what}: {error:?}");
        println!("{what}: {error}");
        // What it had is dropped with it.
        for again in ["resources", "streams"] {
            let checked = flow.check(again).await;
            checked.unwrap_or_else(|error| panic!("{again} after {what}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_opens_without_end_ends_and_leaves_room() {
    let flow = Flow::new(few).await;
    ends_and_leaves_room(&flow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_opens_without_end_on_another_host_ends_and_leaves_room() {
    let [one, other] = programs().await;
    let far = Far::across(&one, other, few).await;
    ends_and_leaves_room(&far.flow).await;
    far.nothing_is_held(PATIENCE).await;
}
