//! Calls from one replica of a component to another.

use super::*;
use lattice_core::{
    call::{CallError, Context},
    node::Node,
    serve::{Answer, Request, Service},
    server::{ServeHandle, ServeLimits},
    types::ComponentTypes,
};
use std::{sync::Arc, time::Duration};

/// A service that takes calls of its other replicas.
struct Shared(Serve);

impl Service for Shared {
    fn types(&self) -> Arc<ComponentTypes> {
        self.0.types()
    }

    fn call(&self, request: Request) -> Answer {
        self.0.call(request)
    }

    fn takes_replicas(&self) -> bool {
        true
    }
}

async fn share(node: &Node, component: &str) -> ServeHandle {
    let service = Shared(Serve(Arc::default()));
    let serving = node.serve(id(component), service, ServeLimits::default());
    serving.await.expect("it serves")
}

/// Calls the replica of `component` on the host `to`, in the name of the replica on `from`.
async fn call_replica(from: &Node, to: &Node, component: &str) -> Result<(), CallError> {
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
    let (_on_a, _on_b) = (share(&a, "store").await, share(&b, "store").await);
    let _other = share(&b, "other").await;
    let store = id("store");
    eventually("both hosts are known", async || {
        lattice.peers().serving(&store).len() == 2
    })
    .await;

    // The callee's node hears of the caller's by itself.
    for (from, to) in [(&a, &b), (&b, &a)] {
        eventually("the other replica accepts", async || {
            call_replica(from, to, "store").await.is_ok()
        })
        .await;
    }
    let foreign = call_replica(&a, &b, "other")
        .await
        .expect_err("`a` serves no `other`");
    assert!(matches!(foreign, CallError::NotServed { .. }), "{foreign}");
    let absent = call_replica(&b, &a, "other")
        .await
        .expect_err("`a` serves no `other`");
    assert!(matches!(absent, CallError::NotServed { .. }), "{absent}");
}

#[tokio::test]
async fn a_component_that_takes_no_calls_of_replicas_is_called_over_links_only() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    // Once the one that takes such calls accepts, the callee knows what `a` serves.
    let (_known_a, _known_b) = (share(&a, "store").await, share(&b, "store").await);
    let (_, _on_a) = serve(&a, "closed").await;
    let (_, on_b) = serve(&b, "closed").await;
    eventually("both hosts are known", async || {
        lattice.peers().serving(&id("closed")).len() == 2
    })
    .await;
    eventually("the callee knows what the caller serves", async || {
        let refused = call_replica(&a, &b, "closed").await;
        let reason = refused.expect_err("it takes none").to_string();
        reason.contains("takes none of")
    })
    .await;
    assert_eq!(on_b.in_flight(), 0);
}
