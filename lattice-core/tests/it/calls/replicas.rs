//! Calls from one replica of a component to another.

use crate::support::{echo, eventually, host, id, lattice, serve, text};
use lattice_core::{
    call::{CallError, Context},
    node::Node,
};
use std::time::Duration;

/// Calls the replica of `component` on the host `to`, in the name of the replica on `from`.
async fn say(from: &Node, to: &Node, component: &str) -> Result<(), CallError> {
    let caller = from.caller(component).expect("valid");
    let context = Context::within(Duration::from_secs(5));
    let echo = echo();
    let called = caller.invoke_replica(to.origin(), &echo, text("x"), context);
    called.await.map(|_| ())
}

#[tokio::test]
async fn a_replica_calls_another_one_without_a_link_and_no_other_component() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_, _on_a) = serve(&a, "store").await;
    let (_, _on_b) = serve(&b, "store").await;
    let (_, _other) = serve(&b, "other").await;
    let store = id("store");
    eventually("both hosts are known", async || {
        lattice.peers().serving(&store).len() == 2
    })
    .await;

    // The callee's node hears of the caller's by itself.
    for (from, to) in [(&a, &b), (&b, &a)] {
        eventually("the other replica accepts", async || {
            say(from, to, "store").await.is_ok()
        })
        .await;
    }
    let foreign = say(&a, &b, "other")
        .await
        .expect_err("`a` serves no `other`");
    assert!(matches!(foreign, CallError::NotServed { .. }), "{foreign}");
    let absent = say(&b, &a, "other")
        .await
        .expect_err("`a` serves no `other`");
    assert!(matches!(absent, CallError::NotServed { .. }), "{absent}");
}
